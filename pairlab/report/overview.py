"""Several results at a glance: a line for each key difference, where and when, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairlab.differences import Row
from pairlab.model import SideName
from pairlab.report import comparison, figures
from pairlab.report.summary import Line, Missing, Summary
from pairlab.results import RunResult


@dataclass(frozen=True)
class Glance:
    """One row of the table of key differences, in the one line that says most of it.

    Attributes:
        row: The row.
        line: What was measured or found.
        more: Number of lines that the whole table has besides.
    """

    row: Row
    line: Line
    more: int


@dataclass(frozen=True)
class Site:
    """Where some results were measured.

    Attributes:
        told: The host and how its VMs ran, in a sentence.
        exercises: What was measured there, each with when.
    """

    told: str
    exercises: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """What a newcomer reads first.

    Attributes:
        glances: Rows of which something is known, in their order.
        sites: Where and when; one where all was measured on one host.
        unknown: Headings of rows of which nothing is known.
        missing: Exercises that would tell more and did not, each once.
        emulation: What a reader must know before any figure of an emulated VM; empty where there is none.
        busy: What began on a host that had more to do than it has CPUs, each with the load.
    """

    glances: tuple[Glance, ...]
    sites: tuple[Site, ...]
    unknown: tuple[str, ...]
    missing: tuple[Missing, ...]
    emulation: str
    busy: tuple[str, ...]


def overview(results: Sequence[RunResult], summary: Summary) -> Overview:
    """A summary at a glance.

    Args:
        results: Those that it was made from, and incomplete ones beside.
        summary: The table of key differences.
    """
    glances = tuple(
        Glance(row.row, telling(row.lines), len(row.lines) - 1) for row in summary.rows if row.lines
    )
    sites: dict[str, list[str]] = {}
    for result in results:
        incomplete = "" if result.complete else ", incomplete"
        sites.setdefault(_site(result), []).append(
            f"{result.exercise} ({comparison.when(result)}{incomplete})"
        )
    missing = {each.exercise: each for row in summary.rows for each in row.missing}
    return Overview(
        glances=glances,
        sites=tuple(Site(told, tuple(exercises)) for told, exercises in sites.items()),
        unknown=tuple(row.row.heading for row in summary.rows if not row.lines),
        missing=tuple(missing[name] for name in sorted(missing)),
        emulation=summary.emulation,
        busy=tuple(
            f"{result.exercise} ({load})" for result in results if (load := comparison.overload(result))
        ),
    )


def telling(lines: Sequence[Line]) -> Line:
    """The first line of a figure of both sides; else of findings that differ, of a figure, or of anything."""
    measured = [line for line in lines if line.figure]
    both = [line for line in measured if all(line.of(side) for side in SideName)]
    differing = [line for line in lines if _differs(line)]
    return [*both, *differing, *measured, *lines][0]


def _differs(line: Line) -> bool:
    """Whether each side has one verdict, and another than the other side."""
    vms, containers = (
        {answer.verdict for entry in line.of(side) for answer in entry.answers} for side in SideName
    )
    return len(vms) == len(containers) == 1 and vms != containers


def _site(result: RunResult) -> str:
    own = result.environment
    emulated = " (software emulation)" if comparison.is_emulated(own) else ""
    return (
        f"{own.processor}, {figures.counted(own.cores, 'logical CPU')},"
        f" {figures.value('B', own.memory_bytes)}"
        f" of memory, {own.system}, Linux {own.kernel}; VMs by {own.accelerator}{emulated}"
    )
