"""Property values on the wire (protobuf Struct) to plain Python and back.

Source: Pulumi's provider protocol, `proto/pulumi/provider.proto`, and its property value signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

from pairlab.plugin.resource import UNKNOWN, Values

Path = tuple[str | int, ...]
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def from_wire(struct: struct_pb2.Struct) -> Values:
    """Plain values; whole numbers become int, what a preview does not know becomes UNKNOWN."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def secret_paths(struct: struct_pb2.Struct) -> set[Path]:
    """Where secrets are, as paths of keys and indices."""
    return {path for key, value in struct.fields.items() for path in _secrets(value, (key,))}


def to_wire(values: Mapping[str, Any], secret: Iterable[Path] = ()) -> struct_pb2.Struct:
    """A Struct; None is left out.

    Args:
        values: Plain values.
        secret: Paths that are marked as secrets; where one leads nowhere, what it came through is one.
    """
    packed = _packed(values)
    for path in sorted(secret, key=len):
        _mark(packed, path)
    struct = struct_pb2.Struct()
    struct.update(packed)
    return struct


def overlap(named: str, path: Path) -> bool:
    """Whether a property's name, such as `a.b[0]`, leads to a path, above it, or below it."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    short, long = sorted((named, text), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def known(value: Any) -> bool:
    """Whether there is no UNKNOWN in a value."""
    if isinstance(value, Mapping):
        return all(known(item) for item in value.values())
    if isinstance(value, list):
        return all(known(item) for item in value)
    return value is not UNKNOWN


def _secrets(value: struct_pb2.Value, path: Path) -> Iterator[Path]:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
            yield path
            return
        for key, item in fields.items():
            yield from _secrets(item, (*path, key))
    elif kind == "list_value":
        for index, item in enumerate(value.list_value.values):
            yield from _secrets(item, (*path, index))


def _mark(packed: dict[str, Any], path: Path) -> None:
    """Make a secret of what a path leads to, or of the last thing on it."""
    holder: Any = packed
    step = path[0]
    if not _has(holder, step):
        return
    for next_step in path[1:]:
        if not _has(holder[step], next_step) or _is_secret(holder[step]):
            break
        holder, step = holder[step], next_step
    if not _is_secret(holder[step]):
        holder[step] = {SIGNATURE: SECRET, "value": holder[step]}


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def _has(holder: Any, step: Any) -> bool:
    if isinstance(holder, dict):
        return step in holder
    return isinstance(holder, list) and isinstance(step, int) and step < len(holder)


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = {key: _plain(item) for key, item in value.struct_value.fields.items()}
        return fields.get("value") if fields.get(SIGNATURE) == SECRET else fields
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_TEXT else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    return value.bool_value if kind == "bool_value" else None


def _packed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _packed(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_packed(item) for item in value]
    return UNKNOWN_TEXT if value is UNKNOWN else value
