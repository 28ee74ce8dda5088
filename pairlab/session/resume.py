"""Going on with what was interrupted: which set it is, what of it stands, and whether it may be continued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pairlab import exercise
from pairlab.circumstances import Environment, RunSet
from pairlab.errors import ConflictError, UsageError
from pairlab.report import comparison
from pairlab.results import RunResult, Variant
from pairlab.session.run_sets import Kept, find_sets

VARIES = {"load_before", "load_after", "accelerator_reason"}
"""Fields of an environment that differ from run to run on the same host."""
ANEW = "leave --resume out to measure all of it anew"


@dataclass(frozen=True)
class Planned:
    """What becomes of one exercise.

    Attributes:
        name: Its name.
        kept: What it continues, or what takes its place where it is complete; None begins it anew.
        told: That, for a person.
    """

    name: str
    kept: Kept | None = None
    told: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is to be run."""
        return self.kept is not None and self.kept.result.complete


def plan(folder: Path, lab: str, names: Sequence[str], repeat: int | None) -> tuple[RunSet, list[Planned]]:
    """What of some exercises is reused, what is continued, and what begins anew.

    Args:
        folder: Holds earlier results.
        lab: On which lab they ran.
        names: The exercises.
        repeat: Repetitions that are asked for; None takes those that the set began with.

    Returns:
        The set that goes on, and what becomes of each exercise, in the order of their names.

    Raises:
        UsageError: No set has a result of any of them, or the set had other repetitions.
    """
    sets = [each for each in find_sets(folder, lab) if each.kept.keys() & {*names}]
    if not sets:
        raise UsageError(
            f"there is nothing to resume: no result of {', '.join(names)} on lab {lab!r} in {folder}",
            hint="leave --resume out to begin",
        )
    # Of those with most of what is asked for, the newest: a single run later on is another command.
    earlier = max(sets, key=lambda each: len({*names} & {*each.run_set.exercises}))
    if repeat is not None and repeat != earlier.run_set.repeat:
        began = "without --repeat" if earlier.run_set.repeat is None else f"--repeat {earlier.run_set.repeat}"
        raise UsageError(
            f"--repeat {repeat} would mix two kinds of runs: set {earlier.run_set.id} began with {began}",
            hint=f"leave --repeat out to go on with it; {ANEW}",
        )
    return earlier.run_set, [_planned(name, earlier.kept.get(name)) for name in names]


def _planned(name: str, kept: Kept | None) -> Planned:
    if kept is None:
        return Planned(name, told=f"{name}: not begun yet")
    result = kept.result
    if not _measures_the_same(result):
        return Planned(name, told=f"{name}: begins anew: it measures something else than when it ran")
    if result.complete:
        return Planned(name, kept, f"{name}: complete since {comparison.when(result)}, not run again")
    if not result.finished:
        return Planned(name, told=f"{name}: begins anew: it had not finished a repetition")
    if result.finished == result.repetitions:
        return Planned(name, kept, f"{name}: all repetitions are measured, and it ends now")
    going_on = f"goes on with repetition {result.finished + 1} of {result.repetitions}"
    return Planned(name, kept, f"{name}: {going_on}; the ones before are from {comparison.when(result)}")


def _measures_the_same(result: RunResult) -> bool:
    kind = exercise.load(result.exercise)
    return (result.figures, _untitled(result.variants)) == (list(kind.figures), _untitled(kind.variants))


def _untitled(variants: Sequence[Variant]) -> list[Variant]:
    """Variants without their titles, in which an exercise may say what of the lab it found."""
    return [variant.model_copy(update={"title": ""}) for variant in variants]


def check_same(planned: Sequence[Planned], environment: Environment, vms: int, replicas: int) -> None:
    """Refuse to mix what was measured in another environment.

    Args:
        planned: What is reused or continued.
        environment: The one of now.
        vms: The lab's VMs now.
        replicas: Its containers.

    Raises:
        ConflictError: The environment, the settings or the size of the lab changed.
    """
    for each in planned:
        if each.kept:
            changes = list(_changes(each.kept.result, environment, vms, replicas))
            if changes:
                raise ConflictError(
                    f"{each.kept.path.name} was measured elsewhere than here: {'; '.join(changes)}",
                    hint=f"put that back as it was, or {ANEW}",
                )


def _changes(result: RunResult, environment: Environment, vms: int, replicas: int) -> Iterator[str]:
    then = {**_flat(result.environment), "VMs": str(result.vms), "containers": str(result.replicas)}
    now = {**_flat(environment), "VMs": str(vms), "containers": str(replicas)}
    for what in dict.fromkeys((*then, *now)):
        before, after = then.get(what, "nothing"), now.get(what, "nothing")
        if before != after:
            yield f"{what} {before} then, {after} now"


def _flat(environment: Environment) -> dict[str, str]:
    flat: dict[str, str] = {}
    for field, value in environment.model_dump(exclude=VARIES).items():
        if isinstance(value, dict):
            flat |= {f"{field.removesuffix('s')} {key}": str(each) for key, each in value.items()}
        else:
            flat[field.replace("_", " ")] = str(value)
    return flat
