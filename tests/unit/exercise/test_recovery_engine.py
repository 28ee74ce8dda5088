"""What recovery does when an engine ends: one of the test's own, beside a real HTTP server."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from slow_server import Handler, turns
from unguided_log import unguided_log

from pairlab.exercise import Declaration, Log
from pairlab.exercise import _recovery_engine as tried
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._recovery_engine import try_engine
from pairlab.model import Instance, SideName
from pairlab.run import Completed
from stacks.pair import WEB

STEADY = 4


@dataclass
class FakeEngine:
    """Carries instances that stop answering with it, or go on; that are new after its start, or the same."""

    carries: bool = True
    restarts: bool = True
    supervised: bool = False
    leaves_door: bool = False
    ends_processes: bool = False
    name: str = "fakerd"
    supervisor: str = "a manager"
    runs: bool = True
    starts: list[str] = field(default_factory=list)

    def answers(self) -> bool:
        return self.runs

    def kill(self) -> None:
        self.runs = False
        if self.carries:
            Handler.status = 503
        if self.supervised:
            threading.Timer(0.1, lambda: self.come_back("a manager")).start()

    def start(self) -> None:
        if not self.runs:
            self.come_back("by hand")

    def come_back(self, by: str) -> None:
        self.starts.append(by)
        self.runs, Handler.status = True, 503 if self.leaves_door else 200


class FakeSide:
    """Instances whose first process is as old as their engine says."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.closed = engine, 0

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Any:
        return self

    def host(self) -> Any:
        return self

    def instances(self) -> list[Instance]:
        return [Instance(SideName.VM, index, "running", handle=f"lab-vm-{index}") for index in range(2)]

    def run(self, argv: list[str], **_: object) -> Completed:
        if "cgroup" in argv[-1]:
            ended = self.engine.ends_processes and not self.engine.runs
            groups = "0::/\n" if ended else "0::/lab-vm-0\n0::/qemu-lab\\x2dvm\\x2d1.scope\n"
            return Completed(argv, 0, groups, "")
        generation = len(self.engine.starts) if self.engine.restarts else 0
        return Completed(argv, 0, f"boot-id\n1 (nginx) {' '.join(str(generation) for _ in range(30))}\n", "")

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeLab:
    """Enough of a lab for an engine that ends."""

    front_door: int
    engine: FakeEngine | str
    workload: Any = WEB
    declared: Declaration = Declaration(2, 2)  # noqa: RUF009
    put_right: int = 0

    def __post_init__(self) -> None:
        engine = FakeEngine() if isinstance(self.engine, str) else self.engine
        self.sides = {side: FakeSide(engine) for side in SideName}

    def port(self, side: SideName) -> int:
        return self.front_door

    def engine_switch(self, side: SideName) -> Any:
        return self.engine

    def declare(self, declaration: Declaration, *, refresh: bool = False) -> None:
        assert (declaration, refresh) == (self.declared, True)
        self.put_right += 1
        Handler.status = 200


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    for name, seconds in (("WATCH_S", 2.0), ("SETTLE_S", 0.2), ("BY_ITSELF_S", 2.0)):
        monkeypatch.setattr(tried, name, seconds)
    Handler.instances = turns()
    return unguided_log("recovery")


def attempt(lab: FakeLab, log: Log) -> tuple[dict[str, str], dict[str, float]]:
    """End the engine of the vm side; returns question -> verdict, and figure -> sample."""
    with log.doing(plan.VM_ENGINE):
        try_engine(lab, log, plan.VM_ENGINE, STEADY)  # type: ignore[arg-type]
    return {f.question: f.verdict for f in log.findings}, {s.figure: s.value for s in log.samples}


def answer_to(question: str, log: Log) -> str:
    (answer,) = (finding.answer for finding in log.findings if finding.question == question)
    return answer


def test_an_engine_that_carries_its_instances_is_started_by_hand_and_timed(port: int, log: Log) -> None:
    engine = FakeEngine()
    lab = FakeLab(port, engine)
    told, measured = attempt(lab, log)
    assert told == {plan.SERVES_ON: "no", plan.WHO: "no", plan.SERVES_AGAIN: "yes", plan.SAME_AFTER: "no"}
    assert measured.keys() == {"by-hand"}  # how long it is away is up to the exercise
    assert 0 < measured["by-hand"] < 60
    assert engine.starts == ["by hand"]
    assert lab.put_right == 1
    assert min(side.closed for side in lab.sides.values()) > 0


def test_instances_that_need_no_engine_go_on_and_are_the_same(port: int, log: Log) -> None:
    told, measured = attempt(FakeLab(port, FakeEngine(carries=False, restarts=False)), log)
    assert told == {plan.SERVES_ON: "yes", plan.WHO: "no", plan.SERVES_AGAIN: "yes", plan.SAME_AFTER: "yes"}
    assert measured == {}
    assert answer_to(plan.SERVES_ON, log).startswith("2 of 2 answered while fakerd was away, and 0 of ")


def test_what_an_engine_does_not_start_itself_is_declared_again(port: int, log: Log) -> None:
    lab = FakeLab(port, FakeEngine(leaves_door=True))
    told, measured = attempt(lab, log)
    assert told[plan.SERVES_AGAIN] == "no"
    assert 0 < measured["by-hand"] < tried.BY_ITSELF_S  # the seconds of watching are not in it
    assert lab.put_right == 1
    assert answer_to(plan.SERVES_AGAIN, log) == (
        "0 of 2 within 2 s, though 2 of 2 ran by then: what was missing is the way to them; all after the lab"
        " was declared again"
    )


@pytest.mark.parametrize(
    ("ends", "told"), [(False, "2 of 2 ran on: what was away is the way to them"), (True, "0 of 2 ran on")]
)
def test_it_is_told_whether_instances_ended_or_only_the_way_to_them(
    port: int, log: Log, ends: bool, told: str
) -> None:
    attempt(FakeLab(port, FakeEngine(ends_processes=ends)), log)
    assert answer_to(plan.SERVES_ON, log).endswith(f" requests failed; processes of {told}")
    assert answer_to(plan.SAME_AFTER, log) == "0 of 2; all were started anew"


def test_that_nobody_starts_an_engine_whom_nobody_told_to_is_no_verdict(port: int, log: Log) -> None:
    told, _ = attempt(FakeLab(port, FakeEngine(supervisor="")), log)
    assert told[plan.WHO] == "fact"
    assert answer_to(plan.WHO, log) == "nobody within 2 s, and nobody is told to: no systemd runs here"


def test_an_engine_that_a_supervisor_starts_is_not_started_again(port: int, log: Log) -> None:
    engine = FakeEngine(supervised=True)
    told, measured = attempt(FakeLab(port, engine), log)
    assert told == {plan.WHO: "yes", plan.SERVES_ON: "fact", plan.SERVES_AGAIN: "yes", plan.SAME_AFTER: "no"}
    assert engine.starts == ["a manager"]
    assert "by-hand" not in measured


def test_an_engine_that_is_others_too_is_left_alone(port: int, log: Log) -> None:
    told, measured = attempt(FakeLab(port, "it carries others"), log)
    assert told == {plan.SERVES_ON: "untried"}
    assert log.findings[0].answer == "it carries others"
    assert measured == {}


def test_an_engine_is_running_again_whatever_fails(
    port: int, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tried, "_watch", fail)
    with pytest.raises(KeyboardInterrupt):
        attempt(FakeLab(port, engine), log)
    assert (engine.runs, engine.starts) == (True, ["by hand"])
