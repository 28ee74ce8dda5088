"""Exercises one after the other: one that fails does not stop the rest, and what is left of each is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from pairlab import exercise
from pairlab.circumstances import RunSet
from pairlab.errors import ExerciseError, LabError
from pairlab.exercise import Log
from pairlab.exercise._guide import sections
from pairlab.exercise._log import Audience
from pairlab.results import RunResult
from pairlab.session.forecast import Forecast, Part, foretold_s, read_past
from pairlab.session.one_run import OneRun
from pairlab.session.resume import Planned, check_same
from pairlab.session.stage import Stage

Display = Callable[[Log, RunResult, Callable[[], list[str]]], AbstractContextManager[None]]
"""Shows an exercise while it runs: what it logs, what is known at its begin, and lines on the time left."""


@dataclass(frozen=True)
class Ended:
    """What became of one exercise.

    Attributes:
        name: Its name.
        path: Its result, complete or not; None where it was not begun.
        was_complete: It was measured before, and not run again.
        failure: Why it is not complete; None where it is.
    """

    name: str
    path: Path | None
    was_complete: bool = False
    failure: LabError | None = None


@dataclass(frozen=True)
class Ran:
    """What became of all of them.

    Attributes:
        run_set: Id of the set that they belong to.
        ended: Each, in the order in which they were to run.
    """

    run_set: str
    ended: list[Ended]

    @property
    def paths(self) -> list[Path]:
        """Results of those that are complete."""
        return [each.path for each in self.ended if each.path and not each.failure]

    def check(self) -> None:
        """Nothing where all are complete.

        Raises:
            ExerciseError: Some are not; its details have the cause of each.
        """
        failed = [(each, each.failure) for each in self.ended if each.failure]
        if failed:
            names = ", ".join(each.name for each, _ in failed)
            raise ExerciseError(
                f"{len(failed)} of {len(self.ended)} exercises are not complete: {names}",
                hint="the same command with --resume runs only what is not complete",
                details="\n".join(_told(each.name, failure) for each, failure in failed),
            )


def _told(name: str, failure: LabError) -> str:
    lines = [f"{name}: {failure.message}", *failure.details.splitlines(), f"next: {failure.hint}"]
    return "\n  ".join(line for line in lines if line)


def _reused(planned: Planned) -> Ended:
    return Ended(planned.name, planned.kept.path if planned.kept else None, was_complete=True)


@dataclass
class Course:
    """Runs exercises on a lab.

    Attributes:
        stage: The lab.
        run_set: The command that they belong to.
        planned: The exercises.
        out: Folder for new results.
        known: Folders of results that tell how long exercises take.
        elsewhere: Folder of another machine's, for those that have not run here.
        tell: Told what happens, in short lines.
        audience: Follows step by step.
        display: Shows progress while an exercise runs.
    """

    stage: Stage
    run_set: RunSet
    planned: Sequence[Planned]
    out: Path
    known: Sequence[Path]
    elsewhere: Path
    tell: Callable[[str], None]
    audience: Audience
    display: Display | None = None
    _ended: list[Ended] = field(default_factory=list[Ended])
    _broken: LabError | None = None
    _lab_is_ours: bool = False

    def run(self, *, ephemeral: bool) -> Ran:
        """Run them all.

        Args:
            ephemeral: Make the lab before, and take it down afterwards whatever happens.

        Raises:
            ConflictError: Another run has made the lab meanwhile, or what was kept cannot be continued here.
            LabError: The only one failed.
        """
        for each in self.planned:
            if each.told:
                self.tell(each.told)
        if all(each.is_done for each in self.planned):
            return Ran(self.run_set.id, [_reused(each) for each in self.planned])
        try:
            if ephemeral:
                self.stage.up(self._own_lab)
            self._check_kept(fresh=ephemeral)
            return self._run_all()
        except KeyboardInterrupt:
            self.tell("stopping: what was measured is kept, and the same command with --resume goes on")
            raise
        finally:
            if self._lab_is_ours:
                self.stage.down()

    def _own_lab(self) -> None:
        self._lab_is_ours = True

    def _check_kept(self, *, fresh: bool) -> None:
        kept = [each for each in self.planned if each.kept]
        if kept:
            declared = self.stage.live().configured
            check_same(kept, self.stage.environment(), declared.vms, declared.replicas)
            if not fresh:
                self.stage.restore()

    def _run_all(self) -> Ran:
        forecast = self._forecast()
        for number, each in enumerate(self.planned):
            if each.is_done:
                self._ended.append(_reused(each))
            elif self._broken:
                self._ended.append(Ended(each.name, None, failure=self._broken))
            else:
                self._try(each, forecast, is_last=all(later.is_done for later in self.planned[number + 1 :]))
        return Ran(self.run_set.id, self._ended)

    def _try(self, each: Planned, forecast: Forecast, *, is_last: bool) -> None:
        """Run one; if it fails and is not the only one, keep why, and make the lab fit for the next."""
        self._ended.append(Ended(each.name, None))
        try:
            self._run_one(each, forecast)
            return
        except LabError as error:
            failure = error
            if len(self.planned) == 1:
                raise
        except Exception as error:
            if len(self.planned) == 1:
                raise
            failure = ExerciseError(
                f"a fault of pairlab itself: {type(error).__name__}: {error}",
                hint="tell its authors, with these lines",
                details=traceback.format_exc(),
            )
        self._ended[-1] = replace(self._ended[-1], failure=failure)
        self.tell(f"{each.name} failed: {failure.message}")
        if not is_last:
            self._restore(each.name)

    def _restore(self, failed: str) -> None:
        try:
            self.stage.restore()
        except LabError as error:
            self._broken = ExerciseError(
                f"not run: the lab could not be put back after {failed}: {error.message}",
                hint=error.hint,
                details=error.details,
            )

    def _run_one(self, planned: Planned, forecast: Forecast) -> None:
        forecast.begin()
        name, kind = planned.name, exercise.load(planned.name)
        log = Log(
            lambda values: sections(name, {**kind.example, **values}), self.audience, self.tell, lambda: None
        )
        live = self.stage.live()
        run = OneRun(
            name,
            kind(live, log),
            live,
            log,
            environment=self.stage.environment(),
            run_set=self.run_set,
            repetitions=self._repetitions(planned),
            out=self.out,
            kept=planned.kept,
        )
        self._ended[-1] = replace(self._ended[-1], path=run.path)
        log.saved = run.save
        for line in forecast.lines():
            self.tell(line)
        with self.display(log, run.result(), forecast.lines) if self.display else nullcontext():
            run.perform(forecast)

    def _repetitions(self, planned: Planned) -> int:
        if planned.kept:
            return planned.kept.result.repetitions
        return self.run_set.repeat or exercise.usual_repetitions(planned.name, self.run_set.exercises)

    def _forecast(self) -> Forecast:
        accelerator = self.stage.environment().accelerator
        past, elsewhere = read_past(self.known), read_past([self.elsewhere])
        parts = []
        for each in self.planned:
            if not each.is_done:
                every = self._repetitions(each)
                left = every - (each.kept.result.finished if each.kept else 0)
                whole_s, is_elsewhere = foretold_s(past, elsewhere, each.name, every, accelerator)
                left_s = None if whole_s is None else whole_s * left / every
                parts.append(Part(each.name, left, left_s, is_elsewhere))
        return Forecast(parts)
