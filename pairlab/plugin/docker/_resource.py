"""What every Docker resource shares: comparing, and recording what the engine tells."""

from __future__ import annotations

from typing import Any

from pairlab.plugin.docker._mapping import Mapped, refusals, same
from pairlab.plugin.docker.client import Client
from pairlab.plugin.resource import Failure, Resource, Values


class DockerResource(Resource[Client]):
    """A resource whose properties say where they stand in the engine's JSON."""

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse what cannot be written in the engine's JSON."""
        return refusals(cls.properties, inputs)

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """Values are compared as the engine would keep them: `5s` is `5000ms`."""
        return not same(cls.properties[name], old, new)

    @classmethod
    def deletes_first(cls, old: Values, new: Values) -> bool:
        """Only a kept name is in the way: with another one, users move over before the old one goes."""
        return bool(old.get("name") == new.get("name"))

    @classmethod
    def settled(cls, recorded: Values, found: Values) -> Values:
        """What to record after a look at the real thing.

        A recorded value that means the same as the found one stays as it was written, and so does what the
        engine does not keep. On import nothing is recorded, and defaults stand for what it does not keep.

        Args:
            recorded: The state; empty on import.
            found: What the engine tells of inputs and outputs.
        """
        if not recorded:
            defaults = {name: rule.default for name, rule in cls.properties.items()}
            return {name: value for name, value in (defaults | found).items() if value is not None}
        values = dict(found)
        for name, rule in cls.properties.items():
            kept = recorded.get(name)
            if kept is None:
                continue
            told = name in found or (isinstance(rule, Mapped) and rule.key)
            if not told or same(rule, found.get(name), kept, subset=True):
                values[name] = kept
            else:
                # What is gone is recorded as empty: that is a difference, where nothing recorded is none.
                values[name] = found.get(name, rule.type())
        return values
