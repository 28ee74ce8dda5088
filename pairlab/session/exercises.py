"""Exercises on a live lab: list them, run them, keep what they measured whatever happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from pairlab import exercise
from pairlab.errors import ConflictError, LabError, UsageError
from pairlab.exercise import Exercise, Log
from pairlab.exercise._guide import sections
from pairlab.exercise._log import Audience
from pairlab.model import load_spec
from pairlab.result_files import read_result, result_files, write_result
from pairlab.results import Environment, RunResult
from pairlab.session import lab as labs
from pairlab.session.environment import load_average, look_around
from pairlab.session.live_lab import LiveLab
from pairlab.session.reports import results_dir
from pairlab.session.workbench import Workbench

Display = Callable[[Log, RunResult], AbstractContextManager[None]]


class Unguided:
    """Nobody follows step by step."""

    def before(self, section: Any) -> None:
        """Nobody waits."""

    def after(self, section: Any, changes: list[str]) -> None:
        """Nobody reads."""


@dataclass(frozen=True)
class Listed:
    """An exercise in the list.

    Attributes:
        name: Its name.
        question: What it answers.
        section: Section of the course that it teaches.
        minutes: What a complete run took here, the median of earlier ones; None if there is none.
    """

    name: str
    question: str
    section: str
    minutes: float | None


def list_exercises() -> list[Listed]:
    """All exercises, with what earlier runs took."""
    took: dict[str, list[float]] = {}
    for path in result_files([results_dir()]):
        try:
            result = read_result(path)
        except LabError:
            continue  # one of another version or damaged says nothing here; `report.show` explains it
        if result.complete:
            took.setdefault(result.exercise, []).append(result.took_s / 60)
    listed = []
    for name in exercise.names():
        kind = exercise.load(name)
        minutes = median(took[name]) if name in took else None
        listed.append(Listed(name, kind.question, kind.section, minutes))
    return listed


def chosen(text: str, *, every: bool) -> list[str]:
    """The exercises that a command line names, separated by commas, or every one.

    Raises:
        UsageError: One does not exist, or none was named.
    """
    wanted = exercise.names() if every else [word for word in re.split(r"[,\s]+", text) if word]
    if not wanted:
        raise UsageError("no exercise was named", hint=f"known exercises: {', '.join(exercise.names())}")
    for name in wanted:
        exercise.load(name)
    return wanted


def run(
    bench: Workbench,
    names: list[str],
    lab: str,
    *,
    repeat: int | None = None,
    ephemeral: bool = False,
    out: Path | None = None,
    audience: Audience | None = None,
    display: Display | None = None,
) -> list[Path]:
    """Run exercises one after the other.

    Args:
        bench: The tools of this run.
        names: Which, as `chosen` gives them.
        lab: On which lab.
        repeat: Repetitions; None takes what each exercise needs for a claim.
        ephemeral: Bring the lab up before, and take it down afterwards whatever happens.
        out: Folder for the results; None takes the user's.
        audience: Follows step by step.
        display: Shows progress while an exercise runs.

    Returns:
        The result files.

    Raises:
        UsageError: There is no such lab, or the number of repetitions makes no sense.
        ExerciseError: One failed; what it had measured is kept, marked incomplete.
    """
    if repeat is not None and not 1 <= repeat <= 100:
        raise UsageError(f"{repeat} repetitions are not possible", hint="give --repeat a number of 1 to 100")
    if ephemeral and load_spec(lab) is not None:
        raise ConflictError(
            f"lab {lab!r} is up, and --ephemeral would take it down at the end",
            hint="leave --ephemeral out, or give another --lab",
        )
    try:
        if ephemeral:
            labs.up(bench, lab, {})
        return [
            _run_one(bench, name, lab, repeat, out or results_dir(), audience or Unguided(), display)
            for name in names
        ]
    finally:
        if ephemeral:
            labs.down(bench, lab)


def _run_one(
    bench: Workbench,
    name: str,
    lab: str,
    repeat: int | None,
    out: Path,
    audience: Audience,
    display: Display | None,
) -> Path:
    live = LiveLab(bench, lab)
    kind = exercise.load(name)
    log = Log(
        lambda values: sections(name, {**kind.example, **values}), audience, bench.progress, lambda: None
    )
    subject = kind(live, log)
    repetitions = repeat or subject.repeat
    run = _Run(name, subject, live, log, repetitions, look_around(bench, live.base), out)
    log.saved = run.save
    with display(log, run.result()) if display else nullcontext():
        run.perform()
    return run.path


class _Run:
    """One run: performs it, and keeps what is known so far on disk at all times."""

    def __init__(
        self,
        name: str,
        subject: Exercise,
        live: LiveLab,
        log: Log,
        repetitions: int,
        environment: Environment,
        out: Path,
    ) -> None:
        self._name, self._subject, self._live, self._log = name, subject, live, log
        self._repetitions, self._environment = repetitions, environment
        self._started = datetime.now(UTC)
        self._worked_on = ""
        self._reason = "it is still running"
        self._declared = live.declared
        self.path = out / f"{self._started:%Y%m%dT%H%M%SZ}-{name}.json"

    def perform(self) -> None:
        """Do it all; a failure or an interruption is kept as the reason why it is incomplete."""
        try:
            self._live.await_commands()
            self._worked_on = self._subject.prepare()
            for number in range(self._repetitions):
                self._log.repetition = number
                self._subject.repetition(number)
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

    def save(self) -> None:
        """Write what is known so far."""
        write_result(self.result(), self.path)

    def result(self) -> RunResult:
        """What is known so far."""
        subject, log = self._subject, self._log
        document = RunResult(
            exercise=self._name,
            title=subject.title,
            question=subject.question,
            section=subject.section,
            lab=self._live.name,
            vms=self._declared.vms,
            replicas=self._declared.replicas,
            started=self._started,
            ended=datetime.now(UTC),
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
        )
        if document.complete:
            claims = sorted(subject.conclude(document), key=lambda conclusion: not conclusion.carried)
            return document.model_copy(update={"conclusions": claims})
        return document
