"""Lifecycle experiments on both sides of a live lab; each exercise is one module here.

An exercise is a module without a leading underscore, with a class `LabExercise`. Its file name is its name on
the command line, and `templates/exercise/<name>.md.j2` holds what it teaches. It sees a `Lab`, never Pulumi,
Docker or libvirt.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from pairlab.differences import Row, SummaryCell
from pairlab.errors import UsageError
from pairlab.exercise._log import Log
from pairlab.host.engine_switch import EngineSwitch
from pairlab.model import Accelerator, Outcome, SideName, Tools, Update, Workload
from pairlab.results import Conclusion, Figure, RunResult, Variant
from pairlab.run import Runner
from pairlab.side import Side

__all__ = [
    "ContainerArchive",
    "Declaration",
    "Exercise",
    "ExerciseKind",
    "Lab",
    "Log",
    "as_taught",
    "load",
    "names",
    "usual_repetitions",
]


@dataclass(frozen=True)
class Declaration:
    """What a lab is declared to be while an exercise works on it, beside its settings.

    Attributes:
        vms: Instances on the vm side.
        replicas: Instances on the container side.
        updated_vms: Indexes of the VMs that run the updated image.
        updated_containers: Whether the containers run the updated image.
        own_kernel_vms: Indexes of the VMs that boot the kernel on their own disk.
        engine_vms: Indexes of the VMs that have a container engine in the place of the workload, and answer
            only when a container in them does.
        machine: The container side also runs one VM of the lab in a container.
        at_once: Containers are replaced all at once, whatever the settings say; else one after the other.
        fresh_vms: Raised by one, every VM is replaced by a fresh one.
        fresh_containers: Likewise for containers.
        updates: The lab serves the update from its own package repository.
        supervised: The orchestrator brings back containers that end.
        broken_vms: Indexes of the VMs that run a release whose health check fails.
        broken_containers: Whether the containers run that release.
        standby_vms: Indexes of the VMs that run, and to which the front door sends nobody.
        restarting_vms: Indexes of the VMs that their hypervisor starts again when their kernel panics.
        cpus: CPUs of each instance of either side; 0 for what the settings say.
        memory_mib: Memory of each, likewise.
    """

    vms: int
    replicas: int
    updated_vms: frozenset[int] = frozenset()
    updated_containers: bool = False
    own_kernel_vms: frozenset[int] = frozenset()
    engine_vms: frozenset[int] = frozenset()
    machine: bool = False
    at_once: bool = False
    fresh_vms: int = 0
    fresh_containers: int = 0
    updates: bool = False
    supervised: bool = True
    broken_vms: frozenset[int] = frozenset()
    broken_containers: bool = False
    standby_vms: frozenset[int] = frozenset()
    restarting_vms: frozenset[int] = frozenset()
    cpus: int = 0
    memory_mib: int = 0

    def count(self, side: SideName) -> int:
        """Number of instances on a side."""
        return self.vms if side is SideName.VM else self.replicas

    def at_least(self, vms: int, replicas: int) -> Declaration:
        """The same with that many instances, where it has fewer."""
        return replace(self, vms=max(self.vms, vms), replicas=max(self.replicas, replicas))


@dataclass(frozen=True)
class ContainerArchive:
    """A container image in one file, as `docker save` writes it.

    Attributes:
        path: The file.
        image_id: The image's id: SHA-256 of its configuration, in hexadecimal.
    """

    path: Path
    image_id: str

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


class Lab(Protocol):
    """A live lab, as exercises see it. Changes of what is declared go through Pulumi.

    Attributes:
        name: Its name.
        accelerator: How its VMs run.
        workload: What its front tier runs.
        sides: Its halves.
        declared: What it is declared to be now.
        owns_kernels: Its VMs start from their own disks, also where no exercise declares so.
        deployed: Paths of the files that instances of its front tier get when they are deployed.
    """

    name: str
    accelerator: Accelerator
    workload: Workload
    sides: Mapping[SideName, Side]
    declared: Declaration
    owns_kernels: bool
    deployed: Sequence[str]

    def port(self, side: SideName) -> int:
        """Loopback port of a side's front door."""

    def neighbours(self) -> AbstractContextManager[Mapping[str, str]]:
        """`address:port` -> what of another lab serves there, such as `vm/0 of three`.

        Where no other is up, a small one is while this is open.
        """

    def engine_switch(self, side: SideName) -> EngineSwitch | str:
        """Ends the daemon that carries a side's instances, and starts it; or why that is not to be done."""

    def declare(
        self, declaration: Declaration, *, refresh: bool = False, commands: bool = True, ready: bool = True
    ) -> Outcome:
        """Make the lab what is declared, and wait until every instance answers.

        Args:
            declaration: What it is to be.
            refresh: Look at what is really there first, so that drift is put right.
            commands: Wait also until commands can be run in every instance, where a VM was changed.
            ready: Wait until every instance answers well; one of a broken release never does.

        Raises:
            RolledBackError: The orchestrator took it back by itself; its own words are in the message.
            EngineError: The engine failed.
            SideError: An instance never answered.
        """

    def drift(self) -> list[str]:
        """What Pulumi's refresh finds to differ from its state, a line a resource."""

    def update(self) -> Update:
        """The newer package that the update exercises work with, found by asking apt; asked once."""

    def kernel_update(self) -> Update | str:
        """A newer kernel package, or why there is none."""

    def build_updated(self, side: SideName) -> int:
        """Build one side's image with the update, anew; returns the bytes that were built."""

    def transfer_bytes(self, side: SideName) -> int:
        """Bytes of the updated image that the side's host does not have already in the image before."""

    def image_bytes(self, side: SideName) -> int:
        """Bytes of the files of the image that a side's instances start from."""

    def container_archive(self) -> ContainerArchive:
        """The image of the container side's instances, to be taken elsewhere."""

    def nested_bytes(self, side: SideName) -> int:
        """Bytes of the image that holds the other stack: a VM's with an engine, a container's with a VM."""

    def machine(self) -> Runner:
        """Runs commands in the VM that is in a container, which `Declaration.machine` declares.

        Raises:
            SideError: It does not run.
        """

    def manifest(self, side: SideName, *, updated: bool) -> Mapping[str, str]:
        """Package -> version, as the image was built."""

    def broken_images(self) -> Mapping[SideName, str]:
        """Versions of the images of a release whose health check fails; built if they are missing.

        Raises:
            ExerciseError: The workload has no such release.
        """

    def broken_files(self) -> Mapping[str, str]:
        """Path -> text of the files in which that release differs, as a VM has them."""

    def update_bytes(self) -> int:
        """Bytes of the update's package files."""

    def tools(self) -> Tools:
        """Programs to measure with, which are no part of any instance's image; built once."""

    def use_updates(self, runner: Runner) -> None:
        """Make the lab's package repository the one that an instance installs from, and read its list.

        Args:
            runner: Runs commands in the instance as its administrator.
        """


class Exercise(Protocol):
    """One experiment.

    Attributes:
        title: For a person.
        question: What it answers.
        section: Section of the course that it teaches.
        repeat: Repetitions unless the command line says otherwise.
        figures: What it measures.
        variants: What it compares.
        summary: What of it stands in the table of key differences.
        vms: Fewest VMs that it needs.
        replicas: Fewest containers that it needs.
    """

    title: str
    question: str
    section: str
    repeat: int
    figures: Sequence[Figure]
    variants: Sequence[Variant]
    summary: Sequence[SummaryCell]
    vms: int
    replicas: int

    def prepare(self) -> str:
        """Do what all repetitions need; returns what is worked on, in a sentence."""

    def repetition(self, number: int) -> None:
        """Do it all once.

        Raises:
            ExerciseError: What was to be measured did not really happen.
        """

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """What the samples of a complete run say."""


def names() -> list[str]:
    """Names of all exercises."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


class ExerciseKind(Protocol):
    """The class of an exercise.

    Attributes:
        is_long: It has one repetition where every exercise is run: all of them are to fit into half an hour.
        example: A value for each name in its text.
    """

    title: str
    question: str
    section: str
    repeat: int
    is_long: bool
    vms: int
    replicas: int
    figures: Sequence[Figure]
    variants: Sequence[Variant]
    summary: Sequence[SummaryCell]
    example: Mapping[str, Any]

    def __call__(self, lab: Lab, log: Log) -> Exercise:
        """Make one for a run on a lab."""


def load(name: str) -> ExerciseKind:
    """The class of an exercise.

    Raises:
        UsageError: There is none of that name; the hint lists the known ones.
    """
    if name not in names():
        raise UsageError(f"no exercise is named {name!r}", hint=f"known exercises: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return cast(ExerciseKind, module.LabExercise)


def as_taught() -> list[str]:
    """Names of all exercises, in the order of the rows that they fill first in the table of key differences.

    The one that reads both stacks comes first: on instances that nothing has worked on yet.
    """
    rows = list(Row)
    return sorted(names(), key=lambda name: rows.index(load(name).summary[0].row))


def usual_repetitions(name: str, among: Sequence[str]) -> int:
    """How often an exercise is repeated unless somebody says otherwise.

    Args:
        name: Which.
        among: All that are run together with it.
    """
    kind, every_one = load(name), {*among} == {*names()}
    return 1 if kind.is_long and every_one else kind.repeat
