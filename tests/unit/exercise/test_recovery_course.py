"""The course of the recovery exercise on a fault of the test's own, at a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest
from slow_server import Handler, turns
from unguided_log import unguided_log

from pairlab.errors import ExerciseError
from pairlab.exercise import Declaration, Log
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._client import Request
from pairlab.exercise._recovery_faults import Fault
from pairlab.exercise.recovery import LabExercise
from pairlab.model import SideName
from stacks.pair import WEB


class FakeSide:
    kind = "fake"


@dataclass
class FakeLab:
    """Enough of a lab for one fault."""

    front_door: int
    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = Declaration(2, 2)  # noqa: RUF009
    sides: dict[SideName, Any] = field(default_factory=lambda: dict.fromkeys(SideName, FakeSide()))

    def port(self, side: SideName) -> int:
        return self.front_door

    looked: int = 0

    def drift(self) -> list[str]:
        self.looked += 1
        return ["Domain vm-0: running differs"]


def alone() -> Iterator[str]:
    while True:
        yield "vm/1"


class Lost(Fault):
    """vm/0 answers no more, until somebody repairs it."""

    variant = plan.VM_APP
    watch_s = 0.5
    starts = 0

    def strike(self) -> None:
        Handler.instances = alone()

    def repair(self) -> None:
        Lost.starts += 1
        Handler.instances = turns()

    def stack_says(self) -> tuple[str, bool]:
        return "fake says 'off'", True

    def start(self) -> str:
        return str(self.starts)


class Supervised(Lost):
    """Somebody repairs it half a second later."""

    watch_s = 10.0

    def strike(self) -> None:
        super().strike()
        threading.Timer(0.5, self.repair).start()


class Imagined(Lost):
    """Nothing happens."""

    def strike(self) -> None:
        pass


@pytest.fixture
def log() -> Log:
    return unguided_log("recovery")


def attempt(kind: type[Fault], lab: Any, log: Log) -> dict[str, float]:
    """Try one fault; returns figure -> sample."""
    fault, exercise = kind(lab), LabExercise(lab, log)
    with log.doing(fault.variant):
        exercise._try(fault)
    return {sample.figure: sample.value for sample in log.samples}


def test_what_nobody_brings_back_is_repaired_by_hand_and_timed_apart(port: int, log: Log) -> None:
    lab = FakeLab(port)
    measured = attempt(Lost, lab, log)
    assert 0 < measured["by-hand"] < 0.5
    assert "out" not in measured
    assert measured["failed"] == 0
    assert measured["noticed"] == 0
    told = {finding.question: (finding.verdict, finding.answer) for finding in log.findings}
    assert told[plan.WHO] == ("no", "nobody within 0.5 s, and nobody is told to")
    assert told[plan.KNOWS] == ("yes", "fake says 'off'")
    assert told[plan.SEES] == ("yes", "Domain vm-0: running differs")
    assert lab.looked == 2  # and once more when it was repaired, so that the next look does not see that
    assert [mark.text for mark in log.timelines[0].marks][-2:] == ["Who knows of it?", "Repair it by hand"]


def test_what_comes_back_by_itself_is_timed_by_its_silence(port: int, log: Log) -> None:
    measured = attempt(Supervised, FakeLab(port), log)
    assert 0.4 < measured["out"] < 2
    assert "by-hand" not in measured
    assert [(finding.question, finding.verdict) for finding in log.findings] == [(plan.WHO, "yes")]


def test_one_that_somebody_has_begun_to_bring_back_gets_the_time_that_it_takes(port: int, log: Log) -> None:
    class Booting(Supervised):
        watch_s = 0.1

        def is_coming_back(self) -> bool:
            return True

    attempt(Booting, FakeLab(port), log)
    told = [(finding.verdict, finding.answer) for finding in log.findings]
    assert told == [("yes", "somebody else than pairlab")]


def test_who_was_told_and_did_not_is_named(port: int, log: Log) -> None:
    class Ignored(Lost):
        supervisor = "the orchestrator"

    attempt(Ignored, FakeLab(port), log)
    (who,) = (finding.answer for finding in log.findings if finding.question == plan.WHO)
    assert who == "nobody within 0.5 s, though the orchestrator is told to"


def test_of_many_the_one_that_fails_has_had_its_turn_before(port: int, log: Log) -> None:
    many = [*(f"vm/{index}" for index in range(1, 12)), "vm/0"]
    Handler.instances = cycle(many)
    measured = attempt(Supervised, FakeLab(port, declared=Declaration(len(many), 2)), log)
    assert 0.4 < measured["out"] < 3


def test_failures_while_it_is_away_are_counted_and_end_when_the_front_door_avoids_it(
    port: int, log: Log
) -> None:
    class Failing(Lost):
        def strike(self) -> None:
            super().strike()
            Handler.status = 503
            self.noticed = threading.Timer(0.3, lambda: setattr(Handler, "status", 200))
            self.noticed.start()

    measured = attempt(Failing, FakeLab(port), log)
    assert 3 <= measured["failed"] <= 12
    assert 0.2 < measured["noticed"] < 1
    assert 0.2 < measured["longest-gap"] < 1


@pytest.mark.parametrize(("renews", "noticed_s"), [(True, 0.5), (False, 19.0)])
def test_late_answers_of_one_that_was_started_anew_are_no_lack_of_notice(
    renews: bool, noticed_s: float, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lost, "renews", renews)
    lab: Any = FakeLab(0)
    requests = [
        Request(0.9, 1.0, 200, "vm/0", "1"),
        Request(1.5, 3.5, 200, "vm/1", "1"),  # was sent to vm/0 first
        Request(20.0, 21.5, 200, "vm/0", "1"),
        Request(21.9, 22.0, 200, "vm/0", "1"),
    ]
    told: Any = SimpleNamespace(failed=lambda: 0, held=lambda: 2, longest_gap_s=lambda: 2.0)
    log.timelines.append(told)
    with log.doing(Lost.variant):
        LabExercise(lab, log)._measure(Lost(lab), requests, 1.2, 22.0, alone=True)
    (noticed,) = (sample.value for sample in log.samples if sample.figure == plan.NOTICED.key)
    assert noticed == pytest.approx(noticed_s)


def test_a_fault_that_did_not_happen_is_an_error(port: int, log: Log) -> None:
    with pytest.raises(ExerciseError, match="vm/0 still runs what ran before"):
        attempt(Imagined, FakeLab(port), log)
    assert log.samples == []
