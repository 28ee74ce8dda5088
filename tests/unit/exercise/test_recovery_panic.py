"""A VM's kernel that the recovery exercise crashes: what is done, what is declared, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from unguided_log import unguided_log

from pairlab.errors import CommandError, ExerciseError
from pairlab.exercise import Declaration, Log, _inside
from pairlab.exercise._recovery_panic import VmPanic, VmPanicTold
from pairlab.model import Instance, SideName
from pairlab.run import Completed

DECLARED = Declaration(2, 2)
TOLD = replace(DECLARED, restarting_vms=frozenset({0}))


@dataclass
class Lab:
    """Its one VM, that VM's half of it, and what happened to both in turn.

    Attributes:
        crashes: Its kernel can be made to panic.
    """

    crashes: bool = True
    declared: Declaration = DECLARED
    boots: int = 1
    is_dead: bool = False
    has_driver: bool = False
    happened: list[Any] = field(default_factory=list)
    kind: str = "libvirt"
    name: SideName = SideName.VM

    def __post_init__(self) -> None:
        self.sides = {SideName.VM: self}

    def runner(self, index: int, *, admin: bool = False) -> Any:
        return self

    def run(self, argv: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        if self.is_dead:
            raise CommandError("it did not answer", hint="wait")
        printed = f"boot-{self.boots}\n1 (init) {' '.join('0' for _ in range(30))}\n"
        if argv[0] == "modprobe":
            self.happened.append(" ".join(argv))
            self.has_driver = True
        elif "sysrq-trigger" in argv[-1] and self.crashes:
            self.happened.append("panicked")
            if self.declared.restarting_vms and self.has_driver:
                self.boots += 1
            else:
                self.is_dead = True
        return Completed(tuple(argv), 0, printed if argv[0] == "cat" else "", "")

    def instances(self) -> list[Instance]:
        return [Instance(SideName.VM, 0, "running")]

    def kill(self, index: int) -> None:
        self.happened.append("switched off")

    def declare(self, declaration: Declaration, *, refresh: bool = False) -> None:
        self.happened.append((declaration, refresh))
        self.declared, self.is_dead, self.boots = declaration, False, self.boots + 1


@pytest.fixture
def log() -> Log:
    return unguided_log("recovery")


def test_a_panic_that_libvirt_is_not_told_of_is_ended_and_declared_again_by_hand(log: Log) -> None:
    lab = Lab()
    fault = VmPanic(lab)  # type: ignore[arg-type]
    with fault.arranged(log):
        fault.strike()
        assert fault.stack_says() == ("libvirt says 'running'", False)
        assert not fault.is_coming_back()
        fault.repair()
    assert lab.happened == ["panicked", "switched off", (DECLARED, True)]


@pytest.mark.parametrize("struck", [False, True])
def test_no_dead_kernel_is_left_by_an_exercise_that_ends_early(struck: bool, log: Log) -> None:
    lab = Lab()
    fault = VmPanic(lab)  # type: ignore[arg-type]

    def end_early() -> None:
        with fault.arranged(log):
            if struck:
                fault.strike()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end_early()
    assert lab.happened == (["panicked", "switched off"] if struck else [])


def test_where_libvirt_is_told_the_vm_alone_is_declared_so_and_its_guest_reports(log: Log) -> None:
    lab = Lab()
    fault = VmPanicTold(lab)  # type: ignore[arg-type]
    with fault.arranged(log):
        fault.strike()
        assert lab.boots == 3
    told = [(TOLD, False), "modprobe pvpanic-mmio", "panicked"]
    assert lab.happened == told
    with VmPanic(lab).arranged(log):  # type: ignore[arg-type]
        assert lab.happened == [*told, (DECLARED, False)]


def test_a_kernel_that_goes_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inside, "END_TIMEOUT_S", 0.1)
    with pytest.raises(ExerciseError, match="vm/0 still runs commands") as told:
        VmPanic(Lab(crashes=False)).strike()  # type: ignore[arg-type]
    assert "vm/0 'cat /proc/sys/kernel/sysrq'" in told.value.hint
