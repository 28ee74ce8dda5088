"""How a start is read inside an instance, and how it is taken apart."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pairlab.errors import ExerciseError
from pairlab.exercise import _startup_figures as plan
from pairlab.exercise._start_clock import SEED_UNITS, Inside, look_inside
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
UserspaceTimestampMonotonic=3000000
InactiveExitTimestampMonotonic=5500000
ActiveEnterTimestampMonotonic=6500000
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
    arrivals = iter([110.5, 110.5, 110.11, *[111.0] * 6])
    telling = Telling([(next(arrivals), line) for line in OF_A_VM.splitlines()])
    found = look_inside(telling, WEB, machine=True, now=lambda: telling.now)
    assert found.kernel == pytest.approx(100.1)
    assert found.init == pytest.approx(103.1)
    assert found.unit == pytest.approx(105.6)
    assert found.serving == pytest.approx(106.6)
    assert telling.argv[-2 - len(SEED_UNITS) :] == ["nginx", WEB.unit, *SEED_UNITS]


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


def told_of(*units: tuple[int, int]) -> str:
    """What systemd tells of when units were begun and had ended, in microseconds."""
    return "".join(
        f"InactiveExitTimestampMonotonic={begun}\nActiveEnterTimestampMonotonic={ended}\n\n"
        for begun, ended in units
    )


@pytest.mark.parametrize(
    ("units", "seed_s"),
    [
        ([(3_100_000, 4_600_000), (0, 0)], 1.5),
        # Of cloud-init the stages before the workload, each once, and none that failed or still runs.
        ([(3_100_000, 3_600_000), (4_000_000, 5_000_000), (4_000_000, 5_000_000)], 1.5),
        ([(3_100_000, 3_600_000), (5_200_000, 6_000_000), (5_300_000, 0)], 0.5),
        ([(0, 0), (0, 0)], None),
    ],
)
def test_seconds_of_the_seed_are_those_for_which_the_workload_waited(
    units: list[tuple[int, int]], seed_s: float | None
) -> None:
    telling = Telling([(110, line) for line in (OF_A_VM + told_of(*units)).splitlines()])
    found = look_inside(telling, WEB, machine=True, now=lambda: telling.now)
    assert found.seed_s == (None if seed_s is None else pytest.approx(seed_s))


def test_systemd_is_asked_for_all_moments(served: str, tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    systemctl = bin_folder / "systemctl"
    systemctl.write_text(
        '#!/bin/sh\n[ "$2" = --property=UserspaceTimestampMonotonic ] && exec echo "${2#*=}=7"\n'
        'shift 2\nfor unit; do\ncase $unit in pairlab*) at="8 9";; cloud*) at="0 0";; *) at="10 0";; esac\n'
        "printf 'InactiveExitTimestampMonotonic=%s\\nActiveEnterTimestampMonotonic=%s\\n\\n' $at\ndone\n"
    )
    systemctl.chmod(0o755)
    runner = LocalRunner({"PATH": f"{bin_folder}:{os.environ['PATH']}"})
    found = look_inside(runner, dataclasses.replace(WEB, command=(served,)), machine=True)
    assert found.kernel is not None
    assert found.init == pytest.approx(found.kernel + 7e-6)
    assert found.unit == pytest.approx(found.kernel + 10e-6)
    assert found.seed_s == pytest.approx(1e-6)


A_VM = Course(100, Started(100.2), Inside(106, kernel=101, init=103, unit=105, seed_s=1.5), 106.5)
A_CONTAINER = Course(100, Started(104, trusted=106.5), Inside(104.2), 107, provider=102.5)


def test_phases_add_up_to_the_whole() -> None:
    assert {phase.key: pytest.approx(took) for phase, took in A_VM.phases()} == {
        "provide": 0.2,
        "firmware": 0.8,
        "kernel": 2,
        "init": 0.5,
        "seed": 1.5,
        "app": 1,
        "door": 0.5,
    }
    unseeded = dataclasses.replace(A_VM, inside=dataclasses.replace(A_VM.inside, seed_s=None))
    assert dict(unseeded.phases())[plan.INIT] == 2
    assert plan.SEED not in dict(unseeded.phases())
    assert {phase.key: pytest.approx(took) for phase, took in A_CONTAINER.phases()} == {
        "declare": 2.5,
        "provide": 1.5,
        "app": 0.2,
        "trust": 2.3,
        "door": 0.5,
    }
    for course in (A_VM, unseeded, A_CONTAINER):
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
    phases = {
        "firmware": [1, 1, 1],
        "kernel": [2, 2, 2],
        "init": [0.2, 0.1, 0.3],
        "seed": [0.3] * 3,
    }
    claim = "Most of a VM's start is its machine"
    for app, carried in (([1, 2, 3], True), ([1, 2, 4], False), ([1, 2], False)):
        starts = [sum(each) for each in zip(*phases.values(), app, strict=False)]
        measured = {
            (key, "vm-warm"): values for key, values in {**phases, "app": app, "start": starts}.items()
        }
        found = [c for c in plan.conclude(result(measured)) if c.text.startswith(claim)]
        assert [c.carried for c in found] == [carried]
        assert found[0].variants == ["vm-warm"]
    assert "too few" in found[0].basis
