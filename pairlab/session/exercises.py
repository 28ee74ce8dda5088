"""Exercises on a live lab: list them, run them, keep what they measured whatever happens."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pairlab import exercise
from pairlab.circumstances import RunSet
from pairlab.errors import UsageError
from pairlab.exercise._log import Audience
from pairlab.model import check_lab_name
from pairlab.session import measured
from pairlab.session.course import Course, Display, Ran
from pairlab.session.exclusive import running_exercises
from pairlab.session.forecast import foretold_s, read_past
from pairlab.session.lab import refuse_known
from pairlab.session.reports import results_dir
from pairlab.session.resume import Planned, plan
from pairlab.session.stage import LabStage
from pairlab.session.workbench import Workbench


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
        minutes: What a run takes, as earlier complete ones took; None if there are none.
        minutes_in_all: Likewise as one of all, where a long one has fewer repetitions.
        elsewhere: How VMs ran on another machine, whose runs those were; empty where it has run here.
    """

    name: str
    question: str
    section: str
    minutes: float | None
    minutes_in_all: float | None
    elsewhere: str = ""


def list_exercises() -> list[Listed]:
    """All exercises, with what earlier runs took: here, else those in the documentation."""
    here, elsewhere, every = read_past([results_dir()]), read_past([measured.FOLDER]), exercise.as_taught()
    ways = {past.exercise: past.accelerator for past in elsewhere}

    def minutes(name: str, among: list[str]) -> tuple[float | None, bool]:
        took_s, is_elsewhere = foretold_s(here, elsewhere, name, exercise.usual_repetitions(name, among))
        return None if took_s is None else took_s / 60, is_elsewhere

    listed = []
    for name in every:
        kind = exercise.load(name)
        (alone, is_elsewhere), (in_all, _) = minutes(name, [name]), minutes(name, every)
        way = ways[name] if is_elsewhere else ""
        listed.append(Listed(name, kind.question, kind.section, alone, in_all, way))
    return listed


def chosen(text: str, *, every: bool) -> list[str]:
    """The exercises that a command line names, separated by commas, or every one.

    Raises:
        UsageError: One does not exist or is named twice, none was named, or some and every one.
    """
    if text and every:
        raise UsageError(f"{text} and --all exclude each other", hint="give names, or --all without any")
    wanted = exercise.as_taught() if every else [word for word in re.split(r"[,\s]+", text) if word]
    if not wanted:
        raise UsageError("no exercise was named", hint=f"known exercises: {', '.join(exercise.names())}")
    for name in wanted:
        exercise.load(name)
        if wanted.count(name) > 1:
            raise UsageError(f"{name} is named twice", hint="--repeat says how often it runs")
    return wanted


def check(lab: str, *, repeat: int | None = None, ephemeral: bool = False, out: Path | None = None) -> None:
    """Refuse what cannot be run, before anything is set up or touched; for the arguments see `run`.

    Raises:
        UsageError: No lab may have this name, repetitions make no sense, or the results cannot be kept.
        ConflictError: The lab is up, and would be taken down.
    """
    check_lab_name(lab)
    if repeat is not None and not 1 <= repeat <= 100:
        raise UsageError(f"{repeat} repetitions are not possible", hint="give --repeat a number of 1 to 100")
    folder = out or results_dir()
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        cause = "may not be written" if there.is_dir() else "is not a directory"
        raise UsageError(
            f"results cannot be kept in {folder}: {there} {cause}",
            hint="give --out a folder of yours",
        )
    if ephemeral:
        refuse_known(lab)


def run(
    bench: Workbench,
    names: list[str],
    lab: str,
    *,
    repeat: int | None = None,
    ephemeral: bool = False,
    resume: bool = False,
    out: Path | None = None,
    audience: Audience | None = None,
    display: Display | None = None,
) -> Ran:
    """Run exercises one after the other; of several, one that fails does not stop the rest.

    Args:
        bench: The tools of this run.
        names: Which, as `chosen` gives them.
        lab: On which lab.
        repeat: Repetitions; None takes what each exercise needs for a claim.
        ephemeral: Make the lab before, and take it down afterwards whatever happens.
        resume: Go on with the last set of runs: what is complete is not run again, and what was
            interrupted goes on with its first missing repetition.
        out: Folder for the results; None takes the user's.
        audience: Follows step by step.
        display: Shows progress while an exercise runs.

    Returns:
        What became of each; its `check` raises for those that failed.

    Raises:
        UsageError: There is no such lab, the number of repetitions makes no sense, or nothing can be resumed.
        ConflictError: Exercises run on this lab already, or another run made it, or images are being
            removed, or what is to be resumed was measured elsewhere.
        ExerciseError: The only one failed; what it had measured is kept, marked incomplete.
    """
    check(lab, repeat=repeat, ephemeral=ephemeral, out=out)
    folder = out or results_dir()
    with running_exercises(lab):
        if resume:
            run_set, planned = plan(folder, lab, names, repeat)
        else:
            run_set = RunSet(id=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{lab}", exercises=names, repeat=repeat)
            planned = [Planned(name) for name in names]
        known = [results_dir(), folder]
        course = Course(
            LabStage(bench, lab),
            run_set,
            planned,
            folder,
            known,
            measured.FOLDER,
            bench.progress,
            audience or Unguided(),
            display,
        )
        return course.run(ephemeral=ephemeral)
