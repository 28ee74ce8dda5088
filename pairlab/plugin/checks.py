"""Checks and differences that every resource shares, from its table of properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pairlab.plugin.resource import UNFINISHED, UNKNOWN, Failure, Property, Resource, Values
from pairlab.plugin.wire import Path, known, overlap, secret_paths

TYPE_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
TYPE_WORDS |= {list: "a list", dict: "a mapping"}


def check_values(values: Values, properties: Mapping[str, Property], who: str, at: str = "") -> list[Failure]:
    """Refuse what is not served, missing, or of a wrong type.

    Args:
        values: What was given.
        properties: What is served.
        who: The plugin, for the reason, such as `docker`.
        at: Path of `values` in the resource.

    Returns:
        A failure for each property that is refused; defaults are filled into `values`.
    """
    failures: list[Failure] = []
    for name in [name for name in values if name not in properties and not name.startswith("__")]:
        failures.append(Failure(at + name, f"is not served by the embedded {who} plugin"))
    for name, rule in properties.items():
        value = values.get(name)
        if value is None:
            values.pop(name, None)
            if rule.required:
                failures.append(Failure(at + name, "is required"))
            elif rule.default is not None:
                values[name] = rule.default
            continue
        values[name], found = _check_one(value, rule, who, at + name)
        failures += found
    return failures


def _check_one(value: Any, rule: Property, who: str, path: str) -> tuple[Any, list[Failure]]:
    if value is UNKNOWN:
        return value, []
    if rule.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # A YAML program may quote a number or a truth value; the official plugins take both.
    if rule.type is int and isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if rule.type is bool and value in ("true", "false"):
        value = value == "true"
    if rule.type is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    wrong = not isinstance(value, rule.type) or (rule.type is int and isinstance(value, bool))
    if wrong:
        return value, [Failure(path, f"must be {TYPE_WORDS[rule.type]}", value)]
    if rule.choices and value not in rule.choices:
        allowed = ", ".join(map(str, rule.choices))
        return value, [Failure(path, f"is not one of those allowed: {allowed}", value)]
    if rule.fields is None:
        return value, []
    if isinstance(value, dict):
        return value, check_values(value, rule.fields, who, f"{path}.")
    failures: list[Failure] = []
    for index, item in enumerate(value):
        if isinstance(item, dict):
            failures += check_values(item, rule.fields, who, f"{path}[{index}].")
        elif item is not UNKNOWN:
            failures.append(Failure(f"{path}[{index}]", "must be a mapping", item))
    return value, failures


def tell(failure: Failure, secret: Iterable[Path]) -> tuple[str, str]:
    """A failure's property and reason for the engine; of a secret the reason alone, without the value."""
    if any(overlap(failure.property, path) for path in secret):
        # Not as its property: of that the engine prints the value itself.
        return "", f"{failure.property}: {failure.reason} (its value is a secret)"
    given = "" if failure.given is None else f" (given: {failure.given!r})"
    return failure.property, failure.reason + given


def all_secrets(served: type[Resource[Any]], *given: Any) -> set[Path]:
    """Where secrets are: what the resource says is one, and what is marked as one in Structs."""
    named: set[Path] = {(name,) for name, rule in served.properties.items() if rule.secret}
    return named.union(*map(secret_paths, given))


def changed_paths(
    served: type[Resource[Any]], state: Values, old_inputs: Values, new: Values
) -> dict[str, tuple[str, bool]]:
    """What differs between a resource and what is wanted.

    Args:
        served: The resource's class.
        state: Its recorded outputs.
        old_inputs: Its recorded inputs.
        new: Checked new inputs.

    Returns:
        Property path -> (`add`, `delete` or `update`; whether it replaces the resource).
    """
    changes = {UNFINISHED: ("delete", True)} if state.get(UNFINISHED) else {}
    for name, rule in served.properties.items():
        old = state.get(name, old_inputs.get(name))
        wanted = new.get(name)
        if wanted is None:
            there = old_inputs.get(name)
            # What can change in place may have been changed by hand; the rest is as the daemon made it.
            if there is None and not rule.replace:
                there = state.get(name)
            # Empty, false or 0 is as good as none.
            if there and not rule.computed and served.differs(name, there, None):
                changes[name] = ("delete", rule.replace or not rule.removable)
        elif not known(wanted) or served.differs(name, old, wanted):
            recorded = old_inputs.get(name, old)
            changes |= dict(_leaves(rule, recorded, wanted, name)) or {name: ("update", rule.replace)}
    return changes


def _leaves(
    rule: Property | None, old: Any, new: Any, path: str, replaces: bool = False
) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Paths below which two values differ, as deep as both have the same shape, and whether they replace."""
    replaces = replaces or (rule is not None and rule.replace)
    fields = (rule and rule.fields) or {}
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _leaves(fields.get(key), old.get(key), new.get(key), f"{path}.{key}", replaces)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        item = Property(dict, fields=fields)
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(item, before, after, f"{path}[{index}]", replaces)
    elif old != new:
        yield path, ("add" if old is None else "delete" if new is None else "update", replaces)


def refreshed_inputs(served: type[Resource[Any]], old_inputs: Values, found: Values) -> Values:
    """Inputs after a look at the real thing: as they were written, but for those that really differ."""
    inputs = {}
    for name, value in old_inputs.items():
        actual = found.get(name)
        if not served.differs(name, actual, value):
            inputs[name] = value
        elif actual is not None:
            inputs[name] = actual
    return inputs
