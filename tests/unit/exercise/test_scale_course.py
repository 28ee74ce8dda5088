"""The course of the scale exercise on a lab in memory, at a real HTTP server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import pytest
from slow_server import Handler
from unguided_log import unguided_log

from pairlab.errors import ExerciseError
from pairlab.exercise import Declaration, Log, _fleet, _spike, scale
from pairlab.exercise import _scale_figures as plan
from pairlab.exercise.scale import LabExercise
from pairlab.model import Instance, Outcome, SideName
from stacks.pair import WEB

CONTAINER = SideName.CONTAINER


@dataclass
class MemorySide:
    """As many containers as are declared; each look at them takes a tenth of a second of CPU time."""

    lab: MemoryLab
    cpu_s: float = 0.0
    is_local: bool = True
    left: list[str] = field(default_factory=list)

    def instances(self) -> list[Instance]:
        self.cpu_s += 0.1
        return [
            Instance(CONTAINER, index, "running", cpu_s=self.cpu_s, memory_bytes=1000 + index)
            for index in range(self.lab.declared.replicas)
        ]

    def leftovers(self) -> list[str]:
        return [f"container {index}" for index in range(self.lab.declared.replicas)] + self.left

    def written_bytes(self, index: int) -> int:
        return 10 * index


@dataclass
class MemoryLab:
    """Enough of a lab for its container side to grow and shrink."""

    front_door: int
    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = Declaration(2, 2)  # noqa: RUF009

    def __post_init__(self) -> None:
        self.side = MemorySide(self)
        self.sides = {CONTAINER: self.side}
        self.declare(self.declared)

    def port(self, side: SideName) -> int:
        return self.front_door

    def declare(self, declaration: Declaration, *, refresh: bool = False, commands: bool = True) -> Outcome:
        self.declared = declaration
        Handler.instances = cycle(f"container/{index}" for index in range(declaration.replicas))
        return Outcome([], 0.25, 0.5)


@pytest.fixture
def exercise(port: int, monkeypatch: pytest.MonkeyPatch) -> tuple[LabExercise, Log, MemoryLab]:
    monkeypatch.setattr(scale, "IDLE_S", 0.5)
    monkeypatch.setattr(_fleet, "REST_S", 0.1)
    monkeypatch.setattr(_fleet, "REST_CPU", 1.5)
    monkeypatch.setattr(_spike, "SPIKE_HZ", 200)
    monkeypatch.setattr(_spike, "SPIKE_S", 1.0)
    monkeypatch.setattr(_spike, "CALM_S", 1.0)
    # What counts as normal is tested apart: a busy machine never becomes so.
    monkeypatch.setattr(_spike, "MOST", 0.1)
    monkeypatch.setattr(plan, "OF_SIDE", {CONTAINER: plan.CONTAINERS})
    log = unguided_log("scale")
    lab = MemoryLab(port)
    monkeypatch.setattr(scale, "free_memory_bytes", lambda: 10_000 - 500 * lab.declared.replicas)
    return LabExercise(lab, log), log, lab  # type: ignore[arg-type]


def test_a_repetition_grows_weighs_spares_sends_spikes_and_shrinks(
    exercise: tuple[LabExercise, Log, MemoryLab],
) -> None:
    made, log, lab = exercise
    assert made.prepare() == "2 to 4 instances and back, one side after the other"
    made.repetition(0)
    assert lab.declared == Declaration(2, 2)
    values: dict[tuple[str, str], list[float]] = {}
    for sample in log.samples:
        values.setdefault((sample.figure, sample.variant), []).append(sample.value)
    out, back = plan.CONTAINERS.out.key, plan.CONTAINERS.back.key
    assert 0 < values["first-ready", out][0] <= values["last-ready", out][0] < 5
    assert values["engine", out] == [0.25]
    assert values["spare-memory", out] == [1002, 1003]
    assert values["spare-disk", out] == [20, 30]
    assert values["host-memory-taken", out] == values["host-memory-back", back] == [500]
    assert all(5 < percent < 25 for percent in values["spare-cpu", out])  # 0.1 s in somewhat more than 0.5 s
    assert 0 <= values["given-back", back][0] < 5
    rates = [(timeline.variant, timeline.rate_hz) for timeline in log.timelines]
    few, many = plan.CONTAINERS.spike_few.key, plan.CONTAINERS.spike_many.key
    assert rates == [(few, 20), (few, 200), (out, 20), (many, 20), (many, 200), (back, 20)]
    for steady, burst in ((log.timelines[0], log.timelines[1]), (log.timelines[3], log.timelines[4])):
        step, begins, ends = sorted(steady.marks, key=lambda mark: mark.at_s)
        assert (begins.text, ends.text) == (_spike.BEGINS, _spike.ENDS)
        assert begins.at_s > step.at_s  # after a second's requests of calm
        assert ends.at_s - begins.at_s == pytest.approx(burst.at_s[-1], abs=0.01)
    for variant in (few, many):
        assert {figure for figure, of in values if of == variant} == {
            figure.key
            for figure in (
                plan.FAILED,
                plan.HELD,
                plan.GAP,
                *plan.BEFORE,
                *plan.DURING,
                *plan.AFTER,
                plan.NORMAL,
            )
        }


def test_what_is_not_given_back_is_an_error_that_names_it(
    exercise: tuple[LabExercise, Log, MemoryLab], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, log, lab = exercise
    monkeypatch.setattr(scale, "GONE_TIMEOUT_S", 0.3)
    known = set(lab.side.leftovers())
    lab.declare(replace(lab.declared, replicas=4))
    lab.side.left = ["task 7 (shutdown)"]
    with pytest.raises(ExerciseError, match=r"not given back within 0.3 s: task 7 \(shutdown\)"):
        made._shrink(scale.Fleet(lab, CONTAINER), plan.CONTAINERS.back, known)  # type: ignore[arg-type]
    assert log.samples == []


def test_one_that_answers_after_it_is_gone_is_an_error(
    exercise: tuple[LabExercise, Log, MemoryLab], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _, lab = exercise
    known = set(lab.side.leftovers())
    lab.declare(replace(lab.declared, replicas=4))

    def declare(declaration: Declaration, **_: Any) -> Outcome:
        lab.declared = declaration  # nothing else happens
        return Outcome([], 0.1, 0.1)

    monkeypatch.setattr(lab, "declare", declare)
    with pytest.raises(ExerciseError, match="container/2, container/3 still answered"):
        made._shrink(scale.Fleet(lab, CONTAINER), plan.CONTAINERS.back, known)  # type: ignore[arg-type]
