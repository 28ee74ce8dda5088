"""One run of one exercise: begun or continued, performed, and kept on disk at all times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pairlab.circumstances import Environment, RunSet, Stretch
from pairlab.errors import ExerciseError, LabError
from pairlab.exercise import Declaration, Exercise, Lab, Log
from pairlab.result_files import write_result
from pairlab.results import RunResult
from pairlab.session.environment import load_average
from pairlab.session.forecast import Forecast
from pairlab.session.run_sets import Kept


class Live(Lab, Protocol):
    """A live lab, with what a run does to it before and after its exercise."""

    @property
    def configured(self) -> Declaration:
        """What its last `lab.up` declared."""

    def await_commands(self) -> None:
        """Wait until commands can be run in every VM."""

    def put_back(self) -> None:
        """Make it again what its last `lab.up` declared."""


class OneRun:
    """Performs an exercise, and keeps what is known so far on disk.

    Args:
        name: The exercise's name.
        subject: The exercise.
        live: Where it works.
        log: Where it tells what it measures.
        environment: Where and with what.
        run_set: The command that it belongs to.
        repetitions: How many in all.
        out: Folder for the result of a run that begins.
        kept: The run that it continues; None begins one.
        now: Tells the time, with its zone.
    """

    def __init__(
        self,
        name: str,
        subject: Exercise,
        live: Live,
        log: Log,
        *,
        environment: Environment,
        run_set: RunSet,
        repetitions: int,
        out: Path,
        kept: Kept | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._name, self._subject, self._live, self._log = name, subject, live, log
        self._repetitions, self._run_set = repetitions, run_set
        self._kept, self._now, self._began = kept.result if kept else None, now, now()
        self._environment = self._kept.environment if self._kept else environment
        self._worked_on = self._kept.subject if self._kept else ""
        self._done = 0
        self._reason = "it is still running"
        self.path = kept.path if kept else out / f"{self._began:%Y%m%dT%H%M%SZ}-{name}.json"
        self._refill()

    @property
    def first(self) -> int:
        """Number of the repetition that it begins with, from 0."""
        return self._kept.finished if self._kept else 0

    def perform(self, forecast: Forecast) -> None:
        """Do it all; a failure or an interruption is kept as the reason why it is incomplete.

        Args:
            forecast: Told of each repetition.
        """
        try:
            self._live.await_commands()
            if self.first < self._repetitions:
                self._prepare()
                self._repeat(forecast)
            self._live.put_back()
            self._reason = ""
        except KeyboardInterrupt:
            self._reason = "it was interrupted"
            raise
        except LabError as error:
            self._reason = error.message
            error.details = "\n".join(
                part for part in (error.details, f"what was measured is kept in {self.path}") if part
            )
            raise
        except BaseException as error:
            self._reason = f"a fault of pairlab itself: {type(error).__name__}: {error}"
            raise
        finally:
            self.save()

    def _prepare(self) -> None:
        worked_on = self._subject.prepare()
        if self._kept and worked_on != self._kept.subject:
            raise ExerciseError(
                f"it would go on with something else: {worked_on} It began with: {self._kept.subject}",
                hint="leave --resume out: it must be measured anew",
            )
        self._worked_on = worked_on
        if self._kept:
            self._refill()  # what a preparation tells was told by the first one

    def _repeat(self, forecast: Forecast) -> None:
        forecast.repetitions_begin()
        for number in range(self.first, self._repetitions):
            self._log.repetition = number
            for line in forecast.lines() if number > self.first else ():
                self._log.progress(line)
            self._log.progress(f"{self._name}: repetition {number + 1} of {self._repetitions}")
            self._subject.repetition(number)
            self._done += 1
            forecast.repetition_ends()
            self.save()

    def _refill(self) -> None:
        """Give the log what finished repetitions left; what an unfinished one did is no part of the run."""
        kept, log = self._kept, self._log
        if not kept or not self.first:
            return
        log.repetition = self.first
        log.samples = [each for each in kept.samples if each.repetition < self.first]
        log.findings = [each for each in kept.findings if each.repetition < self.first]
        log.timelines = [each for each in kept.timelines if each.repetition < self.first]
        log.layers = list(kept.layers)

    def save(self) -> None:
        """Write what is known so far."""
        write_result(self.result(), self.path)

    def result(self) -> RunResult:
        """What is known so far."""
        subject, log, kept, now = self._subject, self._log, self._kept, self._now()
        declared = self._live.configured
        stretch = Stretch(started=self._began, ended=now, repetitions=self._done)
        document = RunResult(
            exercise=self._name,
            title=subject.title,
            question=subject.question,
            section=subject.section,
            lab=self._live.name,
            vms=declared.vms,
            replicas=declared.replicas,
            started=kept.started if kept else self._began,
            ended=now,
            repetitions=self._repetitions,
            complete=not self._reason,
            incomplete_reason=self._reason,
            subject=self._worked_on,
            environment=self._environment.model_copy(update={"load_after": load_average()}),
            figures=list(subject.figures),
            variants=list(subject.variants),
            samples=list(log.samples),
            findings=list(log.findings),
            timelines=list(log.timelines),
            conclusions=[],
            summary=list(subject.summary),
            layers=list(log.layers),
            stretches=[*(kept.stretches if kept else ()), stretch],
            run_set=self._run_set,
        )
        if document.complete:
            claims = sorted(subject.conclude(document), key=lambda conclusion: not conclusion.carried)
            return document.model_copy(update={"conclusions": claims})
        return document
