"""The course of one start: who reached what when, taken apart into phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from pairlab.errors import CommandError, ExerciseError, SideError
from pairlab.exercise import _startup_figures as plan
from pairlab.exercise._fleet import POLL_S, Fleet
from pairlab.exercise._start_clock import Inside, look_inside
from pairlab.model import SideName
from pairlab.results import Figure
from pairlab.side import Started

if TYPE_CHECKING:
    from pairlab.exercise import Log

INSIDE_TIMEOUT_S = 120.0
T = TypeVar("T")
TOLERANCE_S = 0.3
"""How far two clocks may disagree before a start counts as another one than was measured."""


@dataclass(frozen=True)
class Course:
    """One start, in seconds of `time.monotonic`.

    Attributes:
        asked: The request.
        outside: How it was seen from outside; None where nobody tells.
        inside: How it was seen from inside.
        answered: The end of the first request that it answered.
        provider: A provider turned to the first resource; None where nothing was declared.
    """

    asked: float
    outside: Started | None
    inside: Inside
    answered: float
    provider: float | None = None

    def phases(self) -> Iterator[tuple[Figure, float]]:
        """Each phase that is known, and its seconds; they add up to the whole."""
        inside, outside = self.inside, self.outside or Started(self.inside.serving)
        steps = [
            (plan.DECLARE, self.provider),
            (plan.PROVIDE, outside.process),
            (plan.FIRMWARE, inside.kernel),
            (plan.KERNEL, inside.init),
            (plan.INIT, None if inside.unit is None else inside.unit - (inside.seed_s or 0.0)),
            (plan.SEED, None if inside.seed_s is None else inside.unit),
            (plan.APP, inside.serving),
            (plan.TRUST, outside.trusted),
            (plan.DOOR, self.answered),
        ]
        before = self.asked
        for phase, at in steps:
            if at is not None:
                yield phase, at - before
                before = at

    def check(self, name: str) -> None:
        """The sanity check: what answered must be what was started after the request.

        Raises:
            ExerciseError: It is another start.
        """
        process = self.outside.process if self.outside else self.inside.serving
        order = (self.asked, process, self.inside.serving, self.answered)
        if any(later < earlier - TOLERANCE_S for earlier, later in pairwise(order)):
            told = ", ".join(f"{at - self.asked:.2f} s" for at in order[1:])
            raise ExerciseError(
                f"the start of {name} that was measured is not the one that was asked for: its process and"
                f" its server began, and it answered, at {told} after the request",
                hint="something else may restart this lab's instances: run it while nobody uses the lab",
            )


def follow(
    fleet: Fleet, index: int, asked: float, answered: float, *, provider: float | None = None
) -> Course:
    """Find out how a start went that is over.

    Args:
        fleet: Its side.
        index: The instance.
        asked: When it was asked for.
        answered: When it first answered.
        provider: When a provider turned to the first resource.

    Raises:
        ExerciseError: It cannot be asked, or it is another start.
    """
    machine, side = fleet.side is SideName.VM, fleet.lab.sides[fleet.side]

    def ask() -> tuple[Started | None, Inside]:
        runner = side.runner(index, admin=machine)
        return side.started(index), look_inside(runner, fleet.lab.workload, machine=machine)

    course = Course(asked, *_patiently(ask, fleet.name(index)), answered, provider)
    course.check(fleet.name(index))
    return course


def keep(log: Log, course: Course, name: str) -> str:
    """Keep the samples of a start; returns it in a line."""
    took_s = course.answered - course.asked
    log.sample(plan.START, took_s, instance=name)
    log.sample(plan.SERVING, course.inside.serving - course.asked, instance=name)
    parts = []
    if course.outside is None:
        log.finding(
            "when did its first process begin?", "its daemon is on a machine with another clock", "cannot"
        )
    else:
        for phase, phase_s in course.phases():
            log.sample(phase, phase_s, instance=name)
            parts.append(f"{phase.title.removeprefix('phase: ')} {phase_s:.2f} s")
    return f"{name} answers after {took_s:.2f} s: {', '.join(parts)}"


def _patiently(ask: Callable[[], T], name: str) -> T:
    """Ask an instance that answers, but may let nobody in yet, or be known to run.

    A VM's ssh begins after its workload; the front door may trust a container sooner than its orchestrator.
    """
    deadline = time.monotonic() + INSIDE_TIMEOUT_S
    while True:
        try:
            return ask()
        except (CommandError, SideError) as error:
            if time.monotonic() > deadline:
                raise ExerciseError(
                    f"{name} answers, but nobody can look into it: {error.message}",
                    hint="`invoke lab.logs` may show why",
                ) from error
            time.sleep(POLL_S)
