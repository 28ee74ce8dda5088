"""Property values on the wire (protobuf Struct) to plain Python and back.

Source: Pulumi's provider protocol, `proto/pulumi/provider.proto`, and its property value signatures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import struct_pb2

from pairlab.plugin.resource import UNKNOWN, Values

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def from_wire(struct: struct_pb2.Struct) -> Values:
    """Plain values; whole numbers become int, what a preview does not know becomes UNKNOWN."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def to_wire(values: Mapping[str, Any], secret: Collection[str] = ()) -> struct_pb2.Struct:
    """A Struct; None is left out, and the keys in `secret` are marked as secrets."""
    struct = struct_pb2.Struct()
    for key, value in values.items():
        if value is None:
            continue
        plain = _packed(value)
        struct.update({key: {SIGNATURE: SECRET, "value": plain} if key in secret else plain})
    return struct


def known(value: Any) -> bool:
    """Whether there is no UNKNOWN in a value."""
    if isinstance(value, Mapping):
        return all(known(item) for item in value.values())
    if isinstance(value, list):
        return all(known(item) for item in value)
    return value is not UNKNOWN


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
