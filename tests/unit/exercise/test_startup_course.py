"""How often the startup exercise starts what, on a lab in memory."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from unguided_log import unguided_log

from pairlab.exercise import Declaration, _fleet, startup
from pairlab.exercise import _startup_figures as plan
from pairlab.exercise._guide import sections
from pairlab.exercise._start_clock import Inside
from pairlab.exercise._start_course import Course
from pairlab.exercise.startup import LabExercise
from pairlab.model import Accelerator, Instance, Outcome, SideName
from pairlab.run import Completed
from pairlab.side import Started
from stacks.pair import WEB

BASE = Declaration(2, 2)


class MemorySide:
    """As many instances as are declared, each at rest and back at once."""

    supervisor = "a manager"

    def __init__(self, lab: MemoryLab, name: SideName) -> None:
        self.lab, self.name = lab, name

    def instances(self) -> list[Instance]:
        return [Instance(self.name, i, "running", cpu_s=1) for i in range(self.lab.declared.count(self.name))]

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> MemorySide:
        return self

    def run(self, argv: list[str], **_: Any) -> Completed:
        return Completed(tuple(argv), 0, "", "")

    def stop(self, index: int) -> None: ...


@dataclass
class MemoryLab:
    """Counts the instances that are declared anew; of each name no other may answer before."""

    accelerator: Accelerator
    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = BASE
    fresh: Counter[SideName] = field(default_factory=Counter[SideName])
    gone: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.sides = {side: MemorySide(self, side) for side in SideName}

    def declare(self, declaration: Declaration) -> Outcome:
        for side in SideName:
            if declaration.count(side) > self.declared.count(side):
                assert declaration.count(side) == BASE.count(side) + 1, "each meets the same neighbours"
                assert self.gone.pop() == f"{side}/{BASE.count(side)}"
                self.fresh[side] += 1
        self.declared = declaration
        return Outcome([], 0.0, 0.0)


def seen(fleet: Any, index: int, asked: float, answered: float, *, provider: float | None = None) -> Course:
    return Course(asked, Started(asked), Inside(answered), answered, provider)


@pytest.mark.parametrize(("accelerator", "vms"), [(Accelerator.TCG, 1), (Accelerator.KVM, startup.STARTS)])
def test_a_default_run_has_ten_starts_of_a_kind_but_few_of_emulated_vms(
    accelerator: Accelerator, vms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = MemoryLab(accelerator)
    client = SimpleNamespace(
        await_answer=lambda name, since, timeout_s: SimpleNamespace(ended=since + 1),
        await_without=lambda name, count: lab.gone.append(name),
    )
    monkeypatch.setattr(_fleet, "REST_S", 0.0)
    monkeypatch.setattr(startup, "follow", seen)
    monkeypatch.setattr(LabExercise, "_client", lambda self, fleet: nullcontext(client))
    log = unguided_log("startup")
    LabExercise(lab, log).repetition(0)  # type: ignore[arg-type]
    starts = Counter(sample.variant for sample in log.samples if sample.figure == plan.START.key)
    for of_side in (plan.COLD, plan.WARM):
        assert starts[of_side[SideName.CONTAINER].key] * LabExercise.repeat >= 10
        assert starts[of_side[SideName.VM].key] == vms
    assert lab.fresh == {SideName.CONTAINER: startup.STARTS, SideName.VM: vms}
    assert lab.declared == BASE


def test_starts_that_others_measured_are_read_in_a_step_with_their_sources() -> None:
    rows = [
        row for row in sections("startup", LabExercise.example)["all"].text.splitlines() if row[:1] == "|"
    ]
    for who, figure in (
        ("Manco", "2.3 ms"),
        ("SPECIFICATION.md", "125 ms"),
        ("Agache", "900 ms"),
        ("van Rijn", "800 ms"),
        ("Young", "1.117 s"),
        ("Harter", "76 %"),
    ):
        assert [figure in row for row in rows if who in row] == [True]
