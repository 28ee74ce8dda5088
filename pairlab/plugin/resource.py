"""What one served resource is: its properties, and create, read, update and delete on plain Python values.

A resource is one module in `pairlab/plugin/<package>/`, found by its file name, with a class named
`Served` that derives from `Resource`. Values are plain: dict, list, str, int, float, bool, None, and
`UNKNOWN` for what a preview does not know yet.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pairlab.errors import LabError, PluginError

Values = dict[str, Any]
Client = TypeVar("Client")


class _Unknown:
    """A value that only the daemon can give, later."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN = _Unknown()
UNFINISHED = "__unfinished"
"""Output that marks what could neither be finished nor deleted again: the next run replaces it."""


@dataclass(frozen=True)
class Property:
    """One input that a resource serves.

    Attributes:
        type: Python type of the plain value; `int` takes whole floats, as the wire has only floats.
        required: It must be given.
        default: The official plugin's default, filled in by `check`; None for none.
        replace: A change replaces the resource instead of updating it.
        computed: When not given, the daemon chooses; never a difference then.
        removable: It can be taken away in place; else the resource is replaced when it is given no more.
        secret: Always a secret, however it was given.
        choices: The values allowed, where they are few.
        fields: For `dict`, or `list` of dicts: the nested properties; None for free keys.
    """

    type: type
    required: bool = False
    default: Any = None
    replace: bool = False
    computed: bool = False
    removable: bool = True
    secret: bool = False
    choices: tuple[Any, ...] = ()
    fields: Mapping[str, Property] | None = None


@dataclass(frozen=True)
class Failure:
    """A property that was refused, and why.

    Attributes:
        property: Its path.
        reason: Why, without its value.
        given: The value, told beside the reason unless it is a secret; None to tell none.
    """

    property: str
    reason: str
    given: Any = None


class PartialError(PluginError):
    """Something was made or changed, but not all: the engine must record it, so that the next run sees to it.

    Args:
        resource_id: Id of what was made or changed.
        outputs: Its state, as far as it is known.
    """

    def __init__(self, message: str, *, hint: str, resource_id: str, outputs: Values) -> None:
        super().__init__(message, hint=hint)
        self.resource_id = resource_id
        self.outputs = outputs


@dataclass
class Making:
    """What `create` has made so far.

    Attributes:
        resource_id: Its id; empty as long as nothing is there.
    """

    resource_id: str = ""


@dataclass
class Context:
    """What a request brings beside its values.

    Attributes:
        timeout_s: Seconds that the request may take.
        cancelled: Set when the engine is interrupted; long waits must look at it.
    """

    timeout_s: float = 300.0
    cancelled: threading.Event = field(default_factory=threading.Event)


class Resource(ABC, Generic[Client]):
    """One served resource type.

    Class attributes:
        token: Pulumi type token, such as `docker:index/network:Network`.
        properties: Every input that is served; another one is refused by name.
        outputs: Names of outputs beyond the inputs that only the daemon knows: unknown in a preview.
        stable: Outputs that an update never changes.
        delete_before_replace: The old one must go first, as names are taken.
        create_timeout_s: Seconds for create where the program gives no custom time-out.
    """

    token: ClassVar[str]
    properties: ClassVar[Mapping[str, Property]]
    outputs: ClassVar[tuple[str, ...]] = ()
    stable: ClassVar[tuple[str, ...]] = ()
    delete_before_replace: ClassVar[bool] = False
    create_timeout_s: ClassVar[float] = 300.0

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse what types alone cannot: called after the generic checks, must not touch a daemon."""
        return []

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """Whether a property's recorded and wanted values mean different things."""
        return bool(old != new)

    @classmethod
    def deletes_first(cls, old: Values, new: Values) -> bool:
        """Whether a replacement by other inputs needs the old one gone first."""
        return cls.delete_before_replace

    @abstractmethod
    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Make it.

        Returns:
            Its id and its outputs (the inputs with what the daemon added).

        Raises:
            PluginError: Nothing was made, or all that was made was removed again.
            PartialError: Something was left that must be recorded.
        """

    @contextmanager
    def making(self, state: Values, context: Context) -> Iterator[Making]:
        """Let a block of `create` make it; if that fails half-way, what it made is deleted again.

        The block must set `resource_id` as soon as something is there.

        Args:
            state: What `delete` needs to know of it.
            context: Of the request.

        Raises:
            PartialError: It could not be deleted, perhaps because the daemon went away.
        """
        made = Making()
        try:
            yield made
        except PartialError:
            raise
        except Exception as error:
            if not made.resource_id:
                raise
            try:
                self.delete(made.resource_id, state, context)
            except LabError as left:
                raise PartialError(
                    f"{error}; and what was made could not be removed: {left}",
                    hint=f"{left.hint}; what was made is then replaced",
                    resource_id=made.resource_id,
                    outputs={**state, UNFINISHED: True},
                ) from error
            raise

    @abstractmethod
    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """Its outputs as they are now; None if it is gone. `state` is empty on import."""

    @abstractmethod
    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Change it in place and return its outputs.

        Raises:
            PluginError: It is as it was.
            PartialError: Something was changed that must be recorded.
        """

    @abstractmethod
    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """Remove it, wait until it is really gone; fine if it is gone already."""

    @classmethod
    def inputs_of(cls, outputs: Values) -> Values:
        """The inputs that would declare what was read: for import and refresh."""
        return {name: outputs[name] for name in cls.properties if outputs.get(name) is not None}
