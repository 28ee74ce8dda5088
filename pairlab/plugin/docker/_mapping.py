"""Properties that say where they stand in the engine's JSON: one table to write, to read and to compare.

Source: Docker Engine API, https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pairlab.plugin.resource import UNKNOWN, Failure, Property, Values

WHOLE = "*"
"""Key of a property that is spread over the whole document: its codec gets and gives all of it."""


def _same(value: Any) -> Any:
    return value


def _no_reason(value: Any) -> str:
    return ""


@dataclass(frozen=True)
class Codec:
    """How a value is written in the engine's JSON.

    Attributes:
        encode: Plain value (nested properties encoded already) -> JSON.
        decode: JSON -> plain value (nested properties are decoded after it).
        refusal: Why a plain value cannot be encoded, without the value; empty if it can.
    """

    encode: Callable[[Any], Any] = _same
    decode: Callable[[Any], Any] = _same
    refusal: Callable[[Any], str] = _no_reason


PLAIN = Codec()


@dataclass(frozen=True)
class Mapped(Property):
    """A property with its place in the engine's JSON.

    Attributes:
        key: Path of keys joined by dots; empty for what the engine does not keep.
        codec: How it is written there.
        unordered: The order of its items means nothing.
    """

    key: str = ""
    codec: Codec = PLAIN
    unordered: bool = False


def encode(properties: Mapping[str, Property], values: Values) -> Values:
    """The engine's JSON for plain values."""
    document: Values = {}
    for name, rule in properties.items():
        value = values.get(name)
        if value is None or not isinstance(rule, Mapped) or not rule.key:
            continue
        encoded = encode_value(rule, value)
        if rule.key == WHOLE:
            merge(document, encoded)
            continue
        for key in reversed(rule.key.split(".")):
            encoded = {key: encoded}
        merge(document, encoded)
    return document


def encode_value(rule: Property, value: Any) -> Any:
    """One property's value in the engine's JSON."""
    if rule.fields and isinstance(value, Mapping):
        value = encode(rule.fields, dict(value))
    elif rule.fields and isinstance(value, list):
        value = [encode(rule.fields, dict(item)) if isinstance(item, Mapping) else item for item in value]
    return rule.codec.encode(value) if isinstance(rule, Mapped) else value


def decode(properties: Mapping[str, Property], document: Any) -> Values:
    """Plain values that would give such a document; what is empty or not kept there is left out."""
    values: Values = {}
    for name, rule in properties.items():
        if not isinstance(rule, Mapped) or not rule.key:
            continue
        found = document if rule.key == WHOLE else _at(document, rule.key.split("."))
        if found is None:
            continue
        value = _decode_value(rule, found)
        if value not in (None, "", [], {}):
            values[name] = value
    return values


def _decode_value(rule: Mapped, found: Any) -> Any:
    value = rule.codec.decode(found)
    if rule.fields and isinstance(value, Mapping):
        return decode(rule.fields, value)
    if rule.fields and isinstance(value, list):
        return [decode(rule.fields, item) for item in value]
    return value


def _at(document: Any, keys: list[str]) -> Any:
    for key in keys:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def merge(into: Values, more: Mapping[str, Any]) -> None:
    """Add a document's keys to another one, however deep."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def refusals(properties: Mapping[str, Property], values: Values, at: str = "") -> list[Failure]:
    """What cannot be written in the engine's JSON, such as a duration that is none."""
    failures: list[Failure] = []
    for name, rule in properties.items():
        value = values.get(name)
        if value is None or value is UNKNOWN:
            continue
        reason = rule.codec.refusal(value) if isinstance(rule, Mapped) else ""
        if reason:
            failures.append(Failure(at + name, reason, value))
        for path, item in _nested(rule, value, at + name):
            failures += refusals(rule.fields or {}, item, f"{path}.")
    return failures


def _nested(rule: Property, value: Any, path: str) -> list[tuple[str, Values]]:
    if not rule.fields:
        return []
    if isinstance(value, Mapping):
        return [(path, dict(value))]
    items = value if isinstance(value, list) else []
    return [(f"{path}[{number}]", item) for number, item in enumerate(items) if isinstance(item, dict)]


def same(rule: Property, old: Any, new: Any, *, subset: bool = False) -> bool:
    """Whether two plain values mean the same to the engine.

    Args:
        rule: The property. One that is computed and not wanted always fits.
        old: A value as recorded or found.
        new: A value as wanted.
        subset: A computed collection may hold more than is wanted: an image adds to it, or the engine.
    """
    if new is None and rule.computed:
        return True
    if rule.fields and not _folds(rule):
        if isinstance(old, Mapping | None) and isinstance(new, Mapping | None):
            return all(
                same(inner, _given(inner, old, name), _given(inner, new, name), subset=subset)
                for name, inner in rule.fields.items()
            )
        if isinstance(old, list) and isinstance(new, list):
            return _same_items(rule, old, new, subset)
    before, after = _canonical(rule, old), _canonical(rule, new)
    if subset and rule.computed and isinstance(before, Mapping) and isinstance(after, Mapping):
        return all(before.get(key) == value for key, value in after.items())
    if subset and rule.computed and isinstance(rule, Mapped) and rule.unordered:
        return set(after or ()) <= set(before or ())
    return bool(before == after)


def _given(rule: Property, values: Any, name: str) -> Any:
    value = (values or {}).get(name)
    return rule.default if value is None and values else value


def _folds(rule: Property) -> bool:
    """Its codec makes another shape of its items, in which they compare."""
    return isinstance(rule, Mapped) and rule.codec is not PLAIN and rule.key != WHOLE


def _same_items(rule: Property, old: list[Any], new: list[Any], subset: bool) -> bool:
    if len(old) != len(new):
        return False
    one = Mapped(dict, fields=rule.fields)
    if not (isinstance(rule, Mapped) and rule.unordered):
        return all(same(one, before, after, subset=subset) for before, after in zip(old, new, strict=True))
    rest = list(old)
    for wanted in new:
        match = next((i for i, item in enumerate(rest) if same(one, item, wanted, subset=subset)), None)
        if match is None:
            return False
        del rest[match]
    return True


def _canonical(rule: Property, value: Any) -> Any:
    """The encoded value; what the engine takes for not given is None."""
    if value in (None, "", [], {}, 0, False):
        return None
    encoded = encode_value(rule, value)
    if isinstance(encoded, list) and isinstance(rule, Mapped) and rule.unordered:
        encoded = sorted(encoded, key=repr)
    return None if encoded in (None, "", [], 0) else encoded
