"""Attacks from inside: that they are bounded, never made without a limit, and what is said of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from stack_worlds import Reader, log_of

from pairlab.errors import CommandError, ExerciseError, SideError
from pairlab.exercise import Log, _isolation_busy
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._isolation_bounded import (
    ALARMED,
    BURN,
    EXHAUST,
    FORK,
    KILLED,
    Attack,
    Target,
    bounded,
    detached,
    memory_limit_bytes,
    perl,
)
from pairlab.exercise._isolation_busy import Neighbour
from pairlab.exercise._isolation_containment import PROCESS_LIMIT, Containment
from pairlab.exercise._isolation_panic import panic
from pairlab.results import RunResult, Sample
from pairlab.run import LocalRunner
from tests.report_worlds import patch_result
from tests.unit.host.answering_runner import Answer, AnsweringRunner

LOCAL = LocalRunner()
MIB = 1024**2
TIMED_OUT = 124


# -- bounds --------------------------------------------------------------------------------------


def test_memory_is_taken_a_mib_at_a_time_and_no_more_than_was_asked_for() -> None:
    ended = bounded(LOCAL, perl(EXHAUST, 3, 20), 20)
    assert (ended.status, ended.said) == (0, ("1", "2", "3", "ended 0"))


def test_a_bomb_makes_no_more_than_was_asked_for_and_all_of_it_ends() -> None:
    with Attack(LOCAL, perl(FORK, 4, 5, 20), 20) as attack:
        assert attack.first_line() == "4 0"
        assert attack.goes_on
    assert not attack.goes_on
    assert attack.ended.status == 0


@pytest.mark.parametrize(("life_s", "watched_s", "status"), [(1, 20, ALARMED), (20, 3, TIMED_OUT)])
def test_a_bomb_that_is_ended_early_tells_how_far_it_came(
    life_s: float, watched_s: float, status: int
) -> None:
    slowly = "BEGIN { *CORE::GLOBAL::fork = sub { select undef, undef, undef, 0.3; CORE::fork() } } "
    ended = bounded(LOCAL, perl(slowly + FORK, 100, 5, life_s), watched_s)
    assert ended.status == status
    made, error = ended.said[0].split()
    assert 1 <= int(made) <= 10
    assert (error, ended.said[1:]) == ("0", (f"ended {status}",))


def test_an_attack_that_ends_without_a_word_has_said_nothing() -> None:
    with (
        pytest.raises(ExerciseError, match="said nothing until it ended with status 3"),
        Attack(LOCAL, ["sh", "-c", "exit 3"], 20) as attack,
    ):
        attack.first_line()


def test_what_burns_ends_by_its_own_alarm() -> None:
    assert bounded(LOCAL, perl(BURN, 2, 1), 20).status == ALARMED
    # So does what takes all memory, or all processes: the kernel needs neither to end it.
    assert bounded(LOCAL, perl(EXHAUST, 3, 1), 20).status == ALARMED
    assert bounded(LOCAL, perl(FORK, 1, 3, 1), 20).status == ALARMED


def test_what_burns_is_ended_before_its_time_with_all_its_processes() -> None:
    with Attack(LOCAL, perl(BURN, 3, 60), 60) as attack:
        group = attack.first_line()
        attack.end_group(group)
    assert attack.ended.status == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        until_gone(int(group))


def until_gone(group: int, timeout_s: float = 10.0) -> None:
    """Asks for a process group until there is none; who reaps its processes may take a moment."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        os.killpg(group, 0)
        time.sleep(0.05)


def test_an_attack_that_goes_on_is_ended_from_inside() -> None:
    assert bounded(LOCAL, ["sleep", "30"], 0.3).status == TIMED_OUT
    # Also one that will not hear.
    assert bounded(LOCAL, ["sh", "-c", "trap '' TERM; sleep 30; :"], 0.3).status == KILLED


def test_how_the_kernel_ended_it_is_told() -> None:
    assert bounded(LOCAL, ["sh", "-c", "kill -KILL $$"], 20).status == KILLED


def test_an_attack_that_nobody_saw_end_is_an_error() -> None:
    gone = AnsweringRunner({"sh -c life=": "7"})
    with pytest.raises(ExerciseError, match="the shell that watched it is gone"):
        bounded(gone, ["true"], 1)
    with pytest.raises(ExerciseError, match="the shell"), Attack(gone, ["true"], 1) as attack:
        attack.first_line()


def test_a_way_in_that_breaks_says_why_itself() -> None:
    broken = AnsweringRunner({"sh -c life=": 255})
    with pytest.raises(CommandError, match="exit status 255"):
        bounded(broken, ["true"], 1)


def test_an_attack_that_outlives_its_session_is_awaited() -> None:
    ended = detached(LOCAL, ["sh", "-c", "echo 7; kill -KILL $$"], 20)
    assert ended.status == KILLED
    assert "7" in ended.said


# -- a limit first -------------------------------------------------------------------------------


@dataclass
class FakeFleet:
    """Two instances that answer from a table, of which only the first is asked."""

    answers: dict[str, Answer]
    side: Any
    indexes: range = range(2)

    def __post_init__(self) -> None:
        self.runner = AnsweringRunner(self.answers)

    def name(self, index: int) -> str:
        return f"{self.side}/{index}"

    def usual(self, index: int) -> AnsweringRunner:
        return self.runner

    admin = usual


@dataclass
class FakeSide:
    """A half that can limit processes, or not."""

    limits: bool
    threads: Iterator[int] = field(default_factory=lambda: iter((3, 64)))
    kind: str = "fake"
    held_to: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def limited(self, index: int, **limits: Any) -> Iterator[None]:
        if not self.limits:
            raise SideError("no such limit", hint="a fake")
        self.held_to.append(limits)
        yield
        self.held_to.append({})

    def footprint(self, index: int) -> Any:
        return SimpleNamespace(threads=next(self.threads))

    def host(self) -> AnsweringRunner:
        return AnsweringRunner({"cat /proc/meminfo": "MemTotal: 4096 kB\n", "nproc": "2\n"})


class Calm(Containment):
    """Nobody is lost."""

    def missing(self, target: Target, *, itself: bool = True) -> list[str]:
        return []


BOMBED = {"true": "", "sh -c life=": "61 11\nended 0\n", "sh -c cat /proc/loadavg": 2}
HELD: dict[str, Answer] = {**BOMBED, 'sh -c cat "$@"': f"{PROCESS_LIMIT}\n"}
OPEN: dict[str, Answer] = {**BOMBED, 'sh -c cat "$@"': "max\n"}


def target(answers: dict[str, Answer], *, own_kernel: bool = False, limits: bool = True) -> Target:
    variant = plan.VM if own_kernel else plan.CONTAINER
    fleet: Any = FakeFleet(answers, variant.side)
    side: Any = FakeSide(limits)
    return Target(variant, side, fleet, own_kernel)


def attacked(of: Target) -> tuple[Log, list[str]]:
    """The log and the lines of a process bomb."""
    log = log_of("isolation", Reader())
    with log.doing(of.variant):
        return log, list(Calm(SimpleNamespace(), log).processes(of))  # type: ignore[arg-type]


def verdicts(log: Log) -> dict[str, str]:
    return {finding.question: finding.verdict for finding in log.findings}


def test_a_container_is_bombed_only_under_a_limit_that_is_in_force() -> None:
    held = target(HELD)
    log, _ = attacked(held)
    assert held.side.held_to == [{"processes": PROCESS_LIMIT}, {}]  # type: ignore[attr-defined]
    assert {sample.figure: sample.value for sample in log.samples} == {
        "processes-made": 61,
        "host-threads": 61,
    }
    found = verdicts(log)
    assert (found[plan.PROCESSES_LIMIT], found[plan.PROCESSES_ALONE]) == ("yes", "yes")
    # Who looks in needs a process too.
    assert found[plan.PROCESSES_WAY_IN] == "no"


@pytest.mark.parametrize(("answers", "limits"), [(OPEN, True), (OPEN, False), (HELD, False)])
def test_without_a_limit_nothing_is_tried_that_could_reach_this_host(
    answers: dict[str, Answer], limits: bool
) -> None:
    free = target(answers, limits=limits)
    with pytest.raises((ExerciseError, SideError)):
        attacked(free)
    assert not any(line.startswith("sh -c life=") for line in free.fleet.runner.lines())  # type: ignore[attr-defined]


def test_a_kernel_of_its_own_is_a_limit() -> None:
    log, _ = attacked(target({**BOMBED, "sh -c cat /proc/loadavg": ""}, own_kernel=True, limits=False))
    found = verdicts(log)
    assert (found[plan.PROCESSES_LIMIT], found[plan.PROCESSES_ALONE]) == ("cannot", "yes")
    assert (found[plan.PROCESSES_DECLARED], found[plan.PROCESSES_WAY_IN]) == ("yes", "yes")


def test_to_work_where_no_limit_was_reached_is_no_merit() -> None:
    unlimited = {"sh -c cat /proc/loadavg": "", "sh -c life=": "150 0\nended 0\n"}
    log, _ = attacked(target({**BOMBED, **unlimited}, own_kernel=True, limits=False))
    assert verdicts(log)[plan.PROCESSES_WAY_IN] == "fact"


def test_a_limit_of_memory_is_read_from_the_kernel_that_keeps_it() -> None:
    assert memory_limit_bytes(target({'sh -c cat "$@"': f"{MIB}\n"})) == MIB
    own = target({"cat /proc/meminfo": "MemTotal: 2048 kB\n"}, own_kernel=True)
    assert memory_limit_bytes(own) == 2 * MIB
    # As large as all of this host, or none at all, is none.
    for told in (f"{4 * MIB}\n", "9223372036854771712\n", "max\n", ""):
        with pytest.raises(ExerciseError, match="no limit of memory is in force"):
            memory_limit_bytes(target({'sh -c cat "$@"': told}))


def test_a_kernel_that_others_share_is_never_made_to_panic() -> None:
    log, shared = log_of("isolation", Reader()), target({})
    with log.doing(shared.variant):
        lines = list(panic(SimpleNamespace(), log, SimpleNamespace(), shared))  # type: ignore[arg-type]
    assert len(lines) == 1
    assert verdicts(log) == {plan.PANIC_ALONE: "untried"}
    assert shared.fleet.runner.asked == []  # type: ignore[attr-defined]


# -- a busy neighbour ----------------------------------------------------------------------------


def test_only_what_others_answered_in_a_window_counts() -> None:
    log, busy = log_of("isolation", Reader()), target({})
    neighbour = Neighbour(SimpleNamespace(), log, busy)  # type: ignore[arg-type]
    neighbour._spans = {"calm": (10.0, 20.0)}

    def asked(sent: float, took: float, instance: str, status: int = 200) -> Any:
        return SimpleNamespace(sent=sent, ended=sent + took, instance=instance, status=status)

    requests = [
        asked(11, 0.010, "container/1"), asked(12, 0.020, "container/1"), asked(13, 0.030, "container/1"),
        asked(14, 9.0, "container/0"), asked(15, 9.0, "", 0), asked(9, 9.0, "container/1"),
    ]  # fmt: skip
    with log.doing(busy.variant):
        assert len(list(neighbour._tell(requests))) == 1
    found = {sample.figure: sample.value for sample in log.samples}
    assert found["p50-calm"] == pytest.approx(20)
    assert 20 < found["p99-calm"] <= 30
    with pytest.raises(ExerciseError, match="nobody but container/0"):
        list(neighbour._tell(requests[3:]))


@pytest.mark.parametrize(
    ("goes_on", "cpu_s", "told"),
    [(False, 9.0, "ended its burning"), (True, 0.5, "was to be busy, and used 0.10 CPUs beside a busy one")],
)
def test_a_window_in_which_nobody_is_busy_is_an_error(
    goes_on: bool, cpu_s: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, busy = log_of("isolation", Reader()), target({})
    neighbour = Neighbour(SimpleNamespace(), log, busy)  # type: ignore[arg-type]
    monkeypatch.setattr(neighbour, "_watch", lambda *_: None)
    monkeypatch.setattr(neighbour, "_cpu_s", iter([0.0, cpu_s]).__next__)
    monkeypatch.setattr(_isolation_busy, "now", iter([0.0, 5.0]).__next__)
    attack: Any = SimpleNamespace(goes_on=goes_on)
    with pytest.raises(ExerciseError, match=f"container/0 {told}"):
        neighbour._burned(SimpleNamespace(), attack, "declared", None)  # type: ignore[arg-type]
    assert log.samples == []


# -- what may be concluded -----------------------------------------------------------------------


def result_of(repetitions: int) -> RunResult:
    amounts = {
        "host-threads": (1, 61), "disk-kept": (64 * MIB, 0),
    }  # fmt: skip
    samples = [
        Sample(figure=figure, variant=variant.key, repetition=number, value=value)
        for number in range(repetitions)
        for figure, values in amounts.items()
        for variant, value in zip(plan.VARIANTS, values, strict=True)
    ]
    return RunResult.model_validate(
        patch_result().model_dump()
        | {
            "figures": [figure.model_dump() for figure in plan.FIGURES],
            "variants": [variant.model_dump() for variant in plan.VARIANTS],
            "samples": [sample.model_dump() for sample in samples],
            "findings": [],
            "timelines": [],
            "summary": [],
            "conclusions": [],
        }
    )


def test_what_an_attack_cost_is_claimed_of_three_repetitions() -> None:
    claims = {claim.text: claim.carried for claim in plan.conclude(result_of(3))}
    assert list(claims.values()) == [True, True]
    assert not any(claim.carried for claim in plan.conclude(result_of(2)))
