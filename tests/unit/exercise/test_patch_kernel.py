"""The kernel step of the patch exercise on VMs in memory: both at once, and only what there is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import Declaration, _fleet, _kernel
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise.patch import LabExercise
from pairlab.model import SideName
from pairlab.run import Completed
from tests.unit.exercise.stack_worlds import Reader, log_of

OLD, NEW = "6.1.0-1-amd64", "6.1.0-2-amd64"


@dataclass
class Machine:
    """A VM, or a container that nobody upgrades."""

    owns_kernel: bool
    meet: threading.Barrier
    installed: str = OLD
    release: str = OLD
    boots: int = 0
    comes_back: bool = True

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        said = ""
        if argv[0] == "uname":
            said = self.release
        elif argv[0] == "cat":
            said = f"boot-{self.boots}\n1 (init) {'0 ' * 30}\n"
        elif argv[0] == "apt-get":
            self.meet.wait(timeout=10)  # one after the other would never meet
            self.installed = NEW
        return Completed(tuple(argv), 0, said, "")

    def restart(self) -> None:
        if self.comes_back:
            self.boots += 1
            self.release = self.installed if self.owns_kernel else self.release


@dataclass
class Machines:
    """One side."""

    machines: list[Machine]

    def runner(self, index: int, *, admin: bool = False) -> Machine:
        return self.machines[index]

    def restart(self, index: int) -> None:
        self.machines[index].restart()


@dataclass
class KernelLab:
    owns_kernels: bool = False
    declared: Declaration = field(default_factory=lambda: Declaration(2, 2))

    def __post_init__(self) -> None:
        meet = threading.Barrier(1 if self.owns_kernels else 2)
        self.vms = [Machine(owns_kernel=self.owns_kernels or not index, meet=meet) for index in range(2)]
        self.sides = {
            SideName.VM: Machines(self.vms),
            SideName.CONTAINER: Machines([Machine(owns_kernel=False, meet=meet)]),
        }

    def kernel_update(self) -> Any:
        return SimpleNamespace(packages={"linux-image-amd64": "6.1.2"})

    def declare(self, declaration: Declaration) -> None:
        self.declared = declaration

    def use_updates(self, runner: Machine) -> None:
        pass


def tried(lab: KernelLab) -> dict[str, tuple[str, str]]:
    """Question -> answer and verdict, in the order in which they were told."""
    log = log_of("patch", Reader())
    log.values |= LabExercise.example
    _kernel.try_kernel(lab, log)  # type: ignore[arg-type]
    return {found.question: (found.answer, found.verdict) for found in log.findings}


def test_both_vms_are_upgraded_at_once_and_told_in_order() -> None:
    found = tried(KernelLab())
    assert list(found) == [plan.OWN_KERNEL, plan.GIVEN_KERNEL, plan.CONTAINERS_KERNEL]
    assert found[plan.OWN_KERNEL][0].startswith(f"yes: {OLD} -> {NEW}; ")
    assert found[plan.GIVEN_KERNEL][1] == "no"


def test_no_kernel_of_the_host_is_spoken_of_where_all_vms_own_theirs() -> None:
    lab = KernelLab(owns_kernels=True)
    assert list(tried(lab)) == [plan.OWN_KERNEL, plan.CONTAINERS_KERNEL]
    assert [machine.boots for machine in lab.vms] == [1, 0]


def test_a_vm_that_does_not_come_back_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernel, "REBOOT_TIMEOUT_S", 2.0)
    monkeypatch.setattr(_fleet, "POLL_S", 0.01)
    lab = KernelLab()
    lab.vms[1].comes_back = False
    with pytest.raises(ExerciseError, match=r"vm/1 did not come back"):
        tried(lab)


def test_what_fails_in_one_of_them_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(index: int) -> None:
        raise SideError(f"vm/{index} does not stop", hint="look at it")

    lab = KernelLab()
    monkeypatch.setattr(lab.sides[SideName.VM], "restart", fail)
    with pytest.raises(SideError, match="vm/0"):
        tried(lab)
