"""The two halves of a live lab behind one protocol; each kind of side is one module here.

A kind is a module without a leading underscore, with a class `LabSide`. Its file name is its name; the class
says which half it is.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from pairlab.errors import SideError, UsageError
from pairlab.model import Instance, Layer, Operation, Settings, SideName
from pairlab.run import LocalRunner, Runner
from pairlab.side._footprint import Footprint
from pairlab.side._front_door import Answer, await_all, probe

__all__ = [
    "Answer",
    "Footprint",
    "Given",
    "Side",
    "SideContext",
    "Started",
    "await_all",
    "kind_of",
    "kinds",
    "load",
    "pick",
    "probe",
]


@dataclass(frozen=True)
class SideContext:
    """What a side must know of its lab; no stack's state, so that it works when that was lost.

    Attributes:
        lab: The lab's name.
        settings: Its settings; they hold the daemons' addresses.
        key: Private ssh key that opens its VMs.
        known_hosts: File with its VMs' pinned host keys.
        bridge: Name of its VMs' network bridge.
        pool_path: Directory of its libvirt pool, on libvirt's machine.
        local: Runs commands on this machine.
    """

    lab: str
    settings: Settings
    key: Path
    known_hosts: Path
    bridge: str
    pool_path: str
    local: Runner = field(default_factory=LocalRunner)


@dataclass(frozen=True)
class Started:
    """When an instance's latest start got how far, as seen from outside; in seconds of `time.monotonic`.

    Attributes:
        process: Its first process on the host began.
        trusted: Its orchestrator took it for fit to serve; None where none judges that.
    """

    process: float
    trusted: float | None = None


@dataclass(frozen=True)
class Given:
    """What a running instance is given of its host; None for what nobody limits.

    Attributes:
        memory_bytes: A VM's memory, or the limit of a container's.
        cpus: A VM's virtual processors, or how many at once a container may use.
    """

    memory_bytes: int | None
    cpus: float | None


class Side(Protocol):
    """One half of a lab, as it is now. Every method may raise `HostError` where its daemon is away.

    Attributes:
        name: Which half.
        kind: Name of its module.
        package: Provider package whose objects it can find and remove. Front doors are containers.
        engine: Program of the daemon that carries its instances.
        supervisor: Who starts another in the place of an instance that ended; empty for nobody.
    """

    name: SideName
    kind: str
    package: str
    engine: str
    supervisor: str

    @property
    def is_local(self) -> bool:
        """Whether its instances run on this machine."""

    def instances(self) -> list[Instance]:
        """Every instance of every tier, ordered by tier and index."""

    def strangers(self) -> list[str]:
        """Names of all that runs on its engine and is not this lab's."""

    def helpers(self) -> Mapping[str, str]:
        """What its engine carries for the lab beside its instances: names, and what they are there for."""

    def given(self, instances: Iterable[Instance]) -> Mapping[str, Given]:
        """Name of each of some instances that runs -> what it is given now, whatever was declared."""

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Runner:
        """Runs commands inside an instance, as its usual account or as its administrator.

        Raises:
            SideError: It does not exist, or does not run.
        """

    def argv(self, index: int, words: Sequence[str], *, tier: str = "") -> list[str]:
        """The command line on this machine that runs words in an instance, input and output passed on.

        Raises:
            SideError: It does not exist, or does not run.
        """

    def copy_in(self, index: int, source: Path, target: str, *, tier: str = "") -> None:
        """Copy a file of this machine into an instance, to a path that its usual account may write.

        Raises:
            SideError: It does not exist, or does not run.
            CommandError: The copy failed.
        """

    def restart(self, index: int, *, tier: str = "") -> None:
        """Restart an instance in the way its stack offers; returns when that has begun."""

    def kill(self, index: int, *, tier: str = "") -> None:
        """End an instance at once, as a power cut would; whoever supervises it finds out by itself."""

    def stop(self, index: int, *, tier: str = "") -> None:
        """End an instance in good order; returns when it has ended. A supervisor starts another then.

        Raises:
            SideError: It does not run, or did not end in time.
        """

    def start(self, index: int, *, tier: str = "") -> None:
        """Start an instance that was stopped, on the disk that it had; returns when that has begun.

        Raises:
            SideError: It runs; or a supervisor does that here, and nobody else.
        """

    def started(self, index: int, *, tier: str = "") -> Started | None:
        """How an instance's latest start went; None where its daemon's machine has another clock than this.

        Raises:
            SideError: It does not run.
        """

    def footprint(self, index: int, *, tier: str = "") -> Footprint:
        """What an instance takes of its host now.

        Raises:
            SideError: It does not run, or its host is not this one, or this account may not look.
        """

    def freeze(self, index: int, *, tier: str = "") -> None:
        """Stop an instance where it is, with all that it holds in memory; fine if it is frozen."""

    def thaw(self, index: int, *, tier: str = "") -> None:
        """Let a frozen instance go on; fine if it is not frozen."""

    def keep(self, index: int, *, tier: str = "") -> None:
        """Keep a running instance as it is, disk and memory, while it goes on; there is one place for it.

        Raises:
            SideError: It does not run; or its stack cannot put a running instance back.
        """

    def put_back(self, index: int, *, tier: str = "") -> None:
        """Make an instance what it was when it was kept, its clock too, and forget what was kept.

        Raises:
            SideError: It was not kept; or its stack cannot put a running instance back.
        """

    def rollbacks(self) -> list[str]:
        """What an orchestrator took back by itself at the latest update of each service, in words.

        Two of one service differ at least in the time that they name.
        """

    def limited(
        self, index: int, *, tier: str = "", cpus: float | None = None, processes: int | None = None
    ) -> AbstractContextManager[None]:
        """While open, the host holds a running instance to other limits; then to those before.

        Args:
            index: Number of the instance.
            tier: Its tier.
            cpus: Processors that it may use at once; more than declared where its stack can give them.
            processes: Processes and threads that it may have.

        Raises:
            SideError: It does not run, or its stack has no such limit.
        """

    def written_bytes(self, index: int, *, tier: str = "") -> int:
        """Bytes of disk that an instance has of its own, beside the image that it shares."""

    def host(self) -> Runner:
        """Runs commands on the machine whose kernel carries the instances.

        Raises:
            SideError: It is another one than this.
        """

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        """What of its stack lies outside of a running instance, from this host's kernel upwards.

        The parts are `host-kernel`, `engine`, `orchestrator`, `image`, `runner`, `boundary`, `own-disk`.
        What the boundary holds is all that the instance has inside.

        Raises:
            SideError: The instance does not run, or on another machine, whose processes cannot be seen.
        """

    def operations(self, index: int, folder: Path, *, tier: str = "") -> Mapping[str, Operation]:
        """Everyday operations on a running instance by the stack's own tools, each of which can be undone.

        Args:
            index: Number of the instance.
            folder: With a file `note` that is copied in; what is taken out is laid there.
            tier: Its tier.

        Returns:
            `list`, `log`, `shell`, `copy`, `limit`, `pause`, `inspect`, `metrics`, `snapshot`, `export`,
            `events` and `update` -> how.

        Raises:
            SideError: The instance does not run, or on another machine, where those tools are not at hand.
        """

    def logs(
        self,
        index: int,
        *,
        tier: str = "",
        lines: int = 100,
        follow: bool = False,
        on_line: Callable[[str], None],
    ) -> None:
        """Pass on the last `lines` lines of an instance's log; with `follow`, new ones until interrupted."""

    def console(self, index: int, *, tier: str = "") -> int:
        """Attach this terminal to an instance's serial console until the user leaves it.

        Returns:
            The exit status of what was attached.

        Raises:
            SideError: There is no such instance, or this kind has no serial console.
        """

    def watching(self) -> AbstractContextManager[None]:
        """While open, keep what instances print for `console_tail`; may begin before they exist."""

    def console_tail(self, index: int, lines: int = 30, *, tier: str = "") -> str:
        """The last lines that an instance printed while watched; for the error when it never answers."""

    def leftovers(self) -> list[str]:
        """All on the host that is labelled as this lab's, in words such as `network pairlab-dev`."""

    def sweep(self, *, progress: Callable[[str], None]) -> list[str]:
        """Remove exactly what `leftovers` lists, for a lab whose state was lost, and wait until it is gone.

        Returns:
            What was removed, in the words of `leftovers`.

        Raises:
            SideError: Something would not go; it says what, and why.
        """

    def discard(self, names: Collection[str], *, progress: Callable[[str], None]) -> list[str]:
        """Remove those of the lab's own objects that have one of these names: an interrupted run's.

        Returns:
            What was removed, in the words of `leftovers`.
        """

    def close(self) -> None:
        """Give back connections; the side can be used again."""


def kinds() -> list[str]:
    """Names of all kinds of side."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def kind_of(half: SideName) -> str:
    """Name of the kind that is a half of every lab."""
    return next(kind for kind in kinds() if _class_of(kind).name is half)


def load(kind: str) -> Callable[[SideContext], Side]:
    """The class of a kind of side.

    Raises:
        UsageError: There is no such kind; the hint lists those there are.
    """
    if kind not in kinds():
        raise UsageError(f"no kind of side is named {kind!r}", hint=f"known kinds: {', '.join(kinds())}")
    return cast(Callable[[SideContext], Side], _class_of(kind))


def _class_of(kind: str) -> Any:
    return importlib.import_module(f"{__name__}.{kind}").LabSide


def pick(instances: Iterable[Instance], side: SideName, tier: str, index: int) -> Instance:
    """The instance of that name.

    Raises:
        SideError: None has it; the hint lists those there are.
    """
    known = {instance.name: instance for instance in instances}
    wanted = Instance(side, index, "", tier=tier).name
    if wanted not in known:
        there = f"there are: {', '.join(known)}" if known else "there are none: run `invoke lab.up`"
        raise SideError(f"the lab has no instance {wanted}", hint=there)
    return known[wanted]
