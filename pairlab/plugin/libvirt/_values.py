"""Comparing recorded values with found ones, and building XML from values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.plugin.resource import Property, Resource, Values


def element(tag: str, text: object = None, *children: ET.Element | None, **attributes: object) -> ET.Element:
    """An XML element; attributes and children that are None are left out, booleans become yes and no."""
    made = ET.Element(tag, {name.rstrip("_"): _word(v) for name, v in attributes.items() if v is not None})
    made.text = None if text is None else _word(text)
    made.extend([child for child in children if child is not None])
    return made


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def to_xml(root: ET.Element) -> str:
    """The XML text of an element."""
    return ET.tostring(root, encoding="unicode")


def text_of(root: ET.Element, path: str) -> str:
    """Text of the element at a path; empty if there is none."""
    return (root.findtext(path) or "").strip()


def attribute(root: ET.Element, path: str, name: str) -> str:
    """An attribute of the element at a path; empty if there is none."""
    node = root.find(path)
    return "" if node is None else node.get(name, "")


def reconcile(recorded: Any, found: Any) -> Any:
    """What to record after a read: the found values in the recorded shape.

    Args:
        recorded: What inputs or state hold.
        found: What libvirt tells. A key that is missing is one that libvirt does not tell, so the recorded
            value stays; None says that there is no such thing.
    """
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        merged: Values = {}
        for name in {**recorded, **found}:
            old = recorded.get(name)
            if name not in found or (found[name] is None and name in recorded and not old):
                merged[name] = old
            elif found[name] is not None:
                merged[name] = reconcile(old, found[name])
        return merged
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        return [reconcile(old, new) for old, new in zip(recorded, found, strict=True)]
    return _without_none(found)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def settle(resource: type[Resource[Any]], recorded: Values, found: Values) -> Values:
    """`reconcile`, but a recorded value that means the same as the found one stays as it was written."""
    # Compared first as found: lists may come in another order, and must not be merged item by item then.
    alike = {
        name: recorded[name]
        for name, value in found.items()
        if isinstance(value, list) and name in recorded and not resource.differs(name, value, recorded[name])
    }
    merged = reconcile(recorded, {**found, **alike})
    return {
        name: reconcile(value, recorded[name])
        if name in recorded and not resource.differs(name, value, recorded[name])
        else value
        for name, value in merged.items()
    }


def equivalent(rule: Property | None, actual: Any, wanted: Any) -> bool:
    """Whether what is there fits what is wanted.

    Args:
        rule: The property; what it says of nested ones counts: one that is computed and not wanted always
            fits, and one that is not there fits its default.
        actual: A value as recorded or found.
        wanted: A checked input.
    """
    fields = rule.fields if rule else None
    if fields and isinstance(actual, Mapping) and isinstance(wanted, Mapping):
        return all(_field_fits(inner, actual.get(name), wanted.get(name)) for name, inner in fields.items())
    if fields and isinstance(actual, list) and isinstance(wanted, list):
        pairs = zip(actual, wanted, strict=False)
        return len(actual) == len(wanted) and all(equivalent(rule, old, new) for old, new in pairs)
    return bool(actual == wanted)


def _field_fits(rule: Property, actual: Any, wanted: Any) -> bool:
    if not wanted and not actual:
        return True
    if wanted is None:
        return rule.computed
    if actual is None:
        return bool(wanted == rule.default)
    return equivalent(rule, actual, wanted)
