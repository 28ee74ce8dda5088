"""Results by the command that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pairlab.circumstances import RunSet
from pairlab.errors import ResultError
from pairlab.result_files import read_result, result_files
from pairlab.results import RunResult


@dataclass(frozen=True)
class Kept:
    """What an earlier run of an exercise left.

    Attributes:
        path: Its file.
        result: What is in it.
    """

    path: Path
    result: RunResult


@dataclass(frozen=True)
class Earlier:
    """What a command left.

    Attributes:
        run_set: The command.
        kept: Exercise -> its newest result in the set.
    """

    run_set: RunSet
    kept: Mapping[str, Kept]


def find_sets(folder: Path, lab: str = "") -> list[Earlier]:
    """The sets that a folder's results belong to, that of the newest result first.

    Args:
        folder: Holds results.
        lab: Of this lab only; of any if empty.
    """
    found: dict[str, Earlier] = {}
    for path in reversed(result_files([folder])):
        try:
            result = read_result(path)
        except ResultError:
            continue  # `report.list` says why
        if result.run_set and lab in ("", result.lab):
            newer = found.get(result.run_set.id, Earlier(result.run_set, {}))
            kept = {result.exercise: Kept(path, result), **newer.kept}
            found[result.run_set.id] = Earlier(newer.run_set, kept)
    return list(found.values())
