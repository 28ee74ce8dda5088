"""How a start is read inside an instance, and how it is taken apart."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pairlab.errors import ExerciseError
from pairlab.exercise import _startup_figures as plan
from pairlab.exercise._start_clock import Inside, look_inside
from pairlab.exercise._start_course import Course
from pairlab.results import RunResult, Sample
from pairlab.run import Completed, LocalRunner
from pairlab.side import Started
from stacks.pair import WEB
from tests.report_worlds import patch_result

OF_A_VM = """\
ticks 100
uptime 10.00
uptime 10.01
init 3000000
unit 5500000
process 300 1 600
process 301 300 650
process 302 300 652
"""


class Telling:
    """An instance that tells prepared lines, each at its time of this host."""

    def __init__(self, lines: Sequence[tuple[float, str]]) -> None:
        self._lines = lines
        self.now = 0.0
        self.argv: list[str] = []

    def run(self, argv: Sequence[str], *, on_line: Any = None, **_: Any) -> Completed:
        self.argv = list(argv)
        for at, line in self._lines:
            self.now = at
            on_line(line)
        return Completed(tuple(argv), 0, "", "")

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        raise AssertionError


def test_a_machines_clock_is_set_by_the_line_that_came_fastest() -> None:
    arrivals = iter([110.5, 110.5, 110.11, *[111.0] * 5])
    telling = Telling([(next(arrivals), line) for line in OF_A_VM.splitlines()])
    found = look_inside(telling, WEB, machine=True, now=lambda: telling.now)
    assert found.kernel == pytest.approx(100.1)
    assert found.init == pytest.approx(103.1)
    assert found.unit == pytest.approx(105.6)
    assert found.serving == pytest.approx(106.6)
    assert telling.argv[-2:] == ["nginx", WEB.unit]


@pytest.mark.parametrize(
    "lines", [[], ["uptime 10"], ["nonsense", ""], ["ticks 100", "uptime 10", "process 1 0"]]
)
def test_an_instance_that_tells_no_start_is_an_error(lines: list[str]) -> None:
    telling = Telling([(1.0, line) for line in lines])
    with pytest.raises(ExerciseError, match="did not tell how it started"):
        look_inside(telling, WEB, machine=False)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Name of a program that has just begun."""
    program = tmp_path / "pl-serves"
    shutil.copy(shutil.which("sleep") or "", program)
    process = subprocess.Popen([str(program), "60"])
    try:
        yield str(program)
    finally:
        process.kill()
        process.wait()


def test_a_process_of_this_host_began_when_it_did(served: str) -> None:
    now = time.monotonic()
    found = look_inside(LocalRunner(), dataclasses.replace(WEB, command=(served,)), machine=False)
    assert found == Inside(pytest.approx(now, abs=0.5))


A_VM = Course(100, Started(100.2), Inside(106, kernel=101, init=103, unit=105), 106.5)
A_CONTAINER = Course(100, Started(104, trusted=106.5), Inside(104.2), 107, provider=102.5)


def test_phases_add_up_to_the_whole() -> None:
    assert [phase.key for phase, _ in A_VM.phases()] == [
        "provide",
        "firmware",
        "kernel",
        "init",
        "app",
        "door",
    ]
    assert {phase.key: pytest.approx(took) for phase, took in A_CONTAINER.phases()} == {
        "declare": 2.5,
        "provide": 1.5,
        "app": 0.2,
        "trust": 2.3,
        "door": 0.5,
    }
    for course in (A_VM, A_CONTAINER):
        assert sum(took for _, took in course.phases()) == pytest.approx(course.answered - course.asked)


def test_another_start_than_was_asked_for_is_refused() -> None:
    A_VM.check("vm/0")
    for other in (
        dataclasses.replace(A_VM, asked=101),
        dataclasses.replace(A_VM, answered=105),
        dataclasses.replace(A_VM, outside=Started(107)),
        dataclasses.replace(A_VM, outside=None, asked=107),
    ):
        with pytest.raises(ExerciseError, match="vm/0 that was measured is not the one"):
            other.check("vm/0")


def result(values: Mapping[tuple[str, str], Sequence[float]]) -> RunResult:
    samples = [
        Sample(figure=figure, variant=variant, repetition=number, value=value)
        for (figure, variant), listed in values.items()
        for number, value in enumerate(listed)
    ]
    changes = {"figures": list(plan.FIGURES), "variants": list(plan.VARIANTS), "samples": samples}
    return patch_result().model_copy(update=changes)


def test_what_a_start_consists_of_is_claimed_by_each_sample() -> None:
    phases = {"firmware": [1, 1, 1], "kernel": [2, 2, 2], "init": [0.5, 0.4, 0.6], "app": [1, 2, 3]}
    claim = "Most of a VM's start is its machine"
    for app, carried in ((phases["app"], True), ([1, 2, 3.5], False), ([1, 2], False)):
        measured = {(key, "vm-warm"): values for key, values in {**phases, "app": app}.items()}
        found = [c for c in plan.conclude(result(measured)) if c.text.startswith(claim)]
        assert [c.carried for c in found] == [carried]
        assert found[0].variants == ["vm-warm"]
    assert "3.5 s (3.4 to 3.6, n = 3)" in found[0].basis


def test_no_sample_no_claim() -> None:
    assert not any(conclusion.carried for conclusion in plan.conclude(result({})))
