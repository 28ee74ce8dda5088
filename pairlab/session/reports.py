"""Results that exercises left: finding, reading and showing them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pairlab.errors import ResultError, UsageError
from pairlab.model import data_dir
from pairlab.result_files import read_result, result_files
from pairlab.results import RunResult
from pairlab.session.run_sets import find_sets

if TYPE_CHECKING:
    from pairlab.report.html import Lesson
    from pairlab.report.pairing import Pairing, SetPairing
    from pairlab.report.summary import Summary

LATEST = "latest"
FILE_NAME = re.compile(r"\d{8}T\d{6}Z-(?P<exercise>.+)\.json")
"""Of a result: when it began, in UTC, then its exercise."""
SET_ID = re.compile(r"\d{8}T\d{6}Z-.+(?<!\.json)")
"""Of a set: when its command began, in UTC, then its lab."""


def results_dir() -> Path:
    """Where exercises leave their results."""
    return data_dir() / "results"


def stored() -> dict[str, list[Path]]:
    """Files of results of each exercise, oldest first."""
    found: dict[str, list[Path]] = {}
    for path in result_files([results_dir()]):
        if match := FILE_NAME.fullmatch(path.name):
            found.setdefault(match["exercise"], []).append(path)
    return found


def list_results(exercise: str = "") -> list[tuple[Path, RunResult | str]]:
    """Results, newest first: each file with its result, or with what is wrong with it.

    Args:
        exercise: Of this one only; of all if empty.

    Raises:
        UsageError: There are results, but none of that exercise.
    """
    files = _newest_first(exercise) if exercise or stored() else []
    found: list[tuple[Path, RunResult | str]] = []
    for path in files:
        try:
            found.append((path, read_result(path)))
        except ResultError as error:
            found.append((path, error.message.removeprefix(f"{path} ")))
    return found


def _newest_first(exercise: str = "") -> list[Path]:
    kept = stored()
    files = kept.get(exercise, []) if exercise else [path for each in kept.values() for path in each]
    if files:
        return sorted(files, key=lambda path: path.name, reverse=True)
    if kept:
        raise UsageError(
            f"there is no result of {exercise!r}", hint="there are some of " + ", ".join(sorted(kept))
        )
    raise UsageError(f"there are no results in {results_dir()}", hint="run an exercise first")


def find(name: str) -> Path:
    """The file of one result.

    Args:
        name: `latest`, an exercise's name for its newest one, or a file: its path, or its name among the
            stored ones.

    Raises:
        UsageError: There is none.
    """
    path = Path(name)
    if len(path.parts) > 1 or path.exists():
        return path
    if path.suffix == ".json":
        return results_dir() / path
    return _newest_first("" if name == LATEST else name)[0]


def read(name: str) -> RunResult:
    """One result, by a name as `find` takes it.

    Raises:
        UsageError: There is none.
        ResultError: It cannot be read.
    """
    return read_result(find(name))


def write_html(names: Sequence[str], out: Path, *, run_set: str = "") -> Path:
    """Write one page about some results; about several, with an overview at its top.

    Args:
        names: As `find` takes them; none means the newest of each exercise.
        out: The file to write.
        run_set: Instead of names, the results of one command: its id, `latest`, or a folder whose newest
            ones are meant.

    Returns:
        Where it is, absolute.

    Raises:
        UsageError: A result is not there, or the file cannot be written.
        ResultError: A result cannot be read.
    """
    from pairlab.report.html import page

    if run_set:
        results = _of_set(run_set)
    else:
        results = [read_result(find(name)) for name in names or sorted(stored()) or [LATEST]]
    overview = overlook(results) if len(results) > 1 else None
    return _write(page(results, overview, lesson_of), out, "--out")


def lesson_of(result: RunResult) -> Lesson | None:
    """What the text of a result's exercise says around its steps; None if there is no such exercise."""
    from pairlab import exercise
    from pairlab.exercise._guide import introduction, limits_apart
    from pairlab.report.html import Lesson

    if result.exercise not in exercise.names():
        return None
    own = {"lab": result.lab, "accelerator": result.environment.accelerator}
    text, limits = limits_apart(result.exercise, {**exercise.load(result.exercise).example, **own})
    return Lesson(introduction(text), limits)


def _of_set(name: str) -> list[RunResult]:
    """What one command left, in the order in which it was to run."""
    is_folder = Path(name).is_dir()
    folder = Path(name) if is_folder else results_dir()
    sets = find_sets(folder)
    chosen = [each for each in sets if is_folder or name in (LATEST, each.run_set.id)]
    if not chosen:
        known = ", ".join(each.run_set.id for each in sets[:5]) or "none"
        raise UsageError(f"there is no set {name!r} in {folder}", hint=f"the newest sets: {known}")
    kept, order = chosen[0].kept, chosen[0].run_set.exercises
    return [kept[exercise].result for exercise in order if exercise in kept]


def overlook(results: Sequence[RunResult]) -> Summary:
    """The table of key differences from these results alone, which says what they leave open."""
    from pairlab import exercise
    from pairlab.report.summary import Yield, summarise

    yields = {name: Yield(name, exercise.load(name).summary, None) for name in exercise.names()}
    for result in sorted(results, key=lambda result: (result.complete, result.started)):
        name, known = result.exercise, yields.get(result.exercise)
        cells = known.cells if known else result.summary
        use = result if result.complete else None
        yields[name] = Yield(name, cells, use, result.incomplete_reason)
    return summarise(list(yields.values()))


def summary() -> Summary:
    """The table of key differences, from each exercise's newest complete result that says what it adds."""
    from pairlab import exercise
    from pairlab.report.summary import Yield, summarise

    kept = stored()
    yields = []
    for name in exercise.names():
        result, reason = _newest_complete(kept.get(name, []))
        yields.append(Yield(name, exercise.load(name).summary, result, reason))
    return summarise(yields)


def newest_complete() -> dict[str, RunResult]:
    """The newest complete result of each exercise that says what it adds to the table."""
    kept = {name: _newest_complete(files)[0] for name, files in sorted(stored().items())}
    return {name: result for name, result in kept.items() if result}


def _newest_complete(files: Sequence[Path]) -> tuple[RunResult | None, str]:
    """The newest complete result among files, oldest first; or why the last one is of no use."""
    reason = ""
    for path in reversed(files):
        try:
            result = read_result(path)
        except ResultError as error:
            reason = reason or error.message
            continue
        if result.complete and result.summary:
            return result, ""
        older = "it was made before results said what they add to the table"
        reason = reason or (older if result.complete else result.incomplete_reason)
    return None, reason


def write_summary(out: Path) -> Path:
    """Write the table of key differences as one HTML page; returns where it is, absolute.

    Raises:
        UsageError: The file cannot be written.
    """
    from pairlab.report.summary_terminal import as_page

    return _write(as_page(summary()), out, "--html")


def compare(a: str, b: str) -> Pairing | SetPairing:
    """Two results of one exercise side by side, or two sets of results, exercise by exercise.

    Args:
        a: One result, as `find` takes it; or a set's id, or a folder whose newest of each exercise are meant.
        b: The other, likewise; beside a set, `latest` is the newest set.

    Raises:
        UsageError: One is not there, they have no exercise in common, or one is a result and one a set.
        ResultError: A result that was named cannot be read.
    """
    from pairlab.report.pairing import pair, pair_sets

    single = [name for name in (a, b) if not _names_set(name)]
    if len(single) == 2:
        return pair(read(a), read(b))
    if single and single != [LATEST]:
        raise UsageError(
            f"{single[0]} is one result, and the other is a set of them",
            hint="give two results, or two sets: their ids, or folders of results",
        )
    return pair_sets(_all_of(a), _all_of(b))


def _names_set(name: str) -> bool:
    return Path(name).is_dir() or SET_ID.fullmatch(name) is not None


def _all_of(name: str) -> list[RunResult]:
    """The results of a set; or of a folder, of each exercise the newest complete one if there is one."""
    if not Path(name).is_dir():
        return _of_set(name)
    found = []
    for path in result_files([Path(name)]):
        with suppress(ResultError):  # it may hold other files, too
            found.append(read_result(path))
    found.sort(key=lambda result: (result.complete, result.started))
    if not found:
        raise UsageError(f"there are no results in {name}", hint="give the --out of an `exercise.run`")
    return list({result.exercise: result for result in found}.values())


def export(names: Sequence[str], out: Path | None, *, as_json: bool) -> tuple[str, list[str]]:
    """All raw samples of some results.

    Args:
        names: As `find` takes them; none means all that are stored, complete or not.
        out: The file to write; None writes none.
        as_json: JSON, not CSV.

    Returns:
        The samples, or where they are; and what is wrong with stored results that cannot be read.

    Raises:
        UsageError: There is no such result, or the file cannot be written.
        ResultError: A result that was named cannot be read.
    """
    from pairlab.report import export as exporting

    problems: list[str] = []
    if names:
        named = [(path.name, read_result(path)) for path in map(find, names)]
    else:
        named = []
        for path in reversed(_newest_first()):
            try:
                named.append((path.name, read_result(path)))
            except ResultError as error:
                problems.append(error.message)
    text = exporting.as_json(named) if as_json else exporting.as_csv(named)
    return (text if out is None else f"{_write(text, out, '--out')}\n"), problems


def _write(text: str, out: Path, option: str) -> Path:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        problem = f"{out} cannot be written: {error.strerror}"
        raise UsageError(problem, hint=f"give another {option}") from error
    return out.absolute()


def schema() -> str:
    """JSON Schema of a result, as JSON."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RunResult.model_json_schema(mode="serialization"),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
