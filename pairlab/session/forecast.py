"""How long exercises will still take: reckoned from what was measured, or said to be unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pairlab.errors import ResultError
from pairlab.report import figures
from pairlab.result_files import read_result, result_files

ELSEWHERE = "runs on another machine"


@dataclass(frozen=True)
class Past:
    """How long a complete run took.

    Attributes:
        exercise: Its exercise.
        accelerator: How its VMs ran.
        repetitions: How many it had.
        took_s: Seconds at work.
    """

    exercise: str
    accelerator: str
    repetitions: int
    took_s: float


def read_past(folders: Iterable[Path]) -> list[Past]:
    """Every complete run that some folders know of."""
    past = []
    for path in result_files(dict.fromkeys(folders)):
        try:
            result = read_result(path)
        except ResultError:
            continue  # one of another version or damaged says nothing here; `report.list` explains it
        if result.complete:
            accelerator = result.environment.accelerator
            past.append(Past(result.exercise, accelerator, result.repetitions, result.took_s))
    return past


def expected_s(
    past: Sequence[Past], exercise: str, repetitions: int, accelerator: str | None = None
) -> float | None:
    """Seconds that a run will take, as earlier ones did.

    Args:
        past: Earlier runs.
        exercise: Which one.
        repetitions: How many it is to have.
        accelerator: How its VMs run; None counts runs by any.

    Returns:
        The median of runs with as many repetitions; where there are none, that of all others, each taken
        in proportion to its repetitions; None without any.
    """
    own = [each for each in past if each.exercise == exercise and accelerator in (None, each.accelerator)]
    same = [each for each in own if each.repetitions == repetitions]
    if not own:
        return None
    return median(each.took_s * repetitions / each.repetitions for each in same or own)


def foretold_s(
    here: Sequence[Past],
    elsewhere: Sequence[Past],
    exercise: str,
    repetitions: int,
    accelerator: str | None = None,
) -> tuple[float | None, bool]:
    """Seconds as `expected_s` has them: of runs here, else of those on another machine; and whether of these.

    Args:
        here: Earlier runs on this machine.
        elsewhere: Earlier runs on another one.
        exercise: See `expected_s`, as for the others.
        repetitions: Likewise.
        accelerator: Likewise.
    """
    own_s = expected_s(here, exercise, repetitions, accelerator)
    if own_s is not None:
        return own_s, False
    there_s = expected_s(elsewhere, exercise, repetitions, accelerator)
    return there_s, there_s is not None


@dataclass(frozen=True)
class Part:
    """One exercise of those that will run.

    Attributes:
        name: Its name.
        repetitions: How many it has still to do.
        expected_s: What that will take by earlier runs; None if there are none.
        elsewhere: Those ran on another machine.
    """

    name: str
    repetitions: int
    expected_s: float | None
    elsewhere: bool = False


class Forecast:
    """What is left of the exercise that runs, and of those after it.

    Args:
        parts: The exercises that will run, in their order.
        clock: Tells seconds.
    """

    def __init__(self, parts: Sequence[Part], clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._number = -1
        self._began = clock()
        self._ends: list[float] = []

    def begin(self) -> None:
        """The next exercise begins."""
        self._number += 1
        self._began = self._clock()
        self._ends = []

    def repetitions_begin(self) -> None:
        """What all repetitions need is done: the first of them begins."""
        self._ends = [self._clock()]

    def repetition_ends(self) -> None:
        """One more repetition ran to its end."""
        self._ends.append(self._clock())

    def left_s(self) -> tuple[float | None, str]:
        """Seconds until the exercise ends and what that rests on; None and why, where nothing tells."""
        part, now = self._parts[self._number], self._clock()
        runs = ELSEWHERE if part.elsewhere else "earlier runs"
        past_left_s = 0.0 if part.expected_s is None else part.expected_s - (now - self._began)
        has_own = len(self._ends) > 1
        if past_left_s > 0 and not (has_own and part.elsewhere):
            return past_left_s, f"as {runs} took"
        if has_own:
            done = len(self._ends) - 1
            each_s = (self._ends[-1] - self._ends[0]) / done
            left_s = each_s * (part.repetitions - done) - (now - self._ends[-1])
            return max(left_s, 0.0), "as its finished repetitions took"
        if part.expected_s is not None:
            return None, f"longer than {runs}"
        return None, "it has not run here to its end yet"

    def lines(self) -> list[str]:
        """What is left, for a person: of the exercise that runs, and of all where there are more."""
        part = self._parts[self._number]
        left_s, basis = self.left_s()
        took = figures.duration(self._clock() - self._began)
        left = "time left unknown" if left_s is None else f"about {figures.duration(left_s)} left"
        lines = [f"{part.name}: {took} so far, {left}: {basis}"]
        if len(self._parts) > 1:
            lines.append(self._all(left_s, basis))
        return [line.replace(figures.BOUND, " ") for line in lines]

    def _all(self, own_s: float | None, basis: str) -> str:
        later = self._parts[self._number + 1 :]
        by_elsewhere = own_s is not None and ELSEWHERE in basis
        known = [each for each in [own_s, *(part.expected_s for part in later)] if each is not None]
        unknown = [] if own_s is not None else [self._parts[self._number].name]
        unknown += [part.name for part in later if part.expected_s is None]
        told = f"exercise {self._number + 1} of {len(self._parts)}; "
        if not known:
            return f"{told}time left for all of them unknown"
        told += f"about {figures.duration(sum(known))} left for "
        told += f"all but {', '.join(unknown)}, of which it is unknown" if unknown else "all of them"
        if by_elsewhere or any(part.elsewhere for part in later):
            told += f"; for those new here, as {ELSEWHERE} took"
        return told
