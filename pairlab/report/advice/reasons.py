"""What an advice is made of: reasons, each with what it rests on, and gaps in what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pairlab.model import SideName
from pairlab.report import figures
from pairlab.report.advice.requirements import Topic
from pairlab.report.comparison import VERDICTS
from pairlab.report.summary import Entry, Line
from pairlab.results import enough

SECONDS = {"s": 1.0, "ms": 0.001}
BYTES = {"B": 1.0}


class Weight(StrEnum):
    """How much a reason decides."""

    MUST = "must"
    """The other side cannot, or must not."""
    PREFER = "prefer"
    """The other side can, with more effort; or it is not known whether it can."""
    HABIT = "habit"
    """Decides only where nothing else does."""


@dataclass(frozen=True)
class Basis:
    """What a reason rests on.

    Attributes:
        kind: Measured in this lab, or a rule that somebody else published.
        text: The figure or finding, or the rule.
        source: The exercise and its date, or the publication.
        accelerator: How VMs ran when it was measured; empty where it is not of VMs.
    """

    kind: Literal["measured", "cited"]
    text: str
    source: str
    accelerator: str = ""


@dataclass(frozen=True)
class Reason:
    """A reason for one side.

    Attributes:
        topic: The requirement that it follows from.
        towards: The side that it speaks for; None if it tells the sides not apart.
        weight: How much it decides.
        text: The reason.
        bases: What it rests on.
        changed_by: What would take it away.
    """

    topic: Topic
    towards: SideName | None
    weight: Weight
    text: str
    bases: tuple[Basis, ...]
    changed_by: str


@dataclass(frozen=True)
class Gap:
    """Something that would matter and is not known.

    Attributes:
        topic: The requirement that it is about.
        text: What is not known, and why.
        next_step: How to find out.
        bases: What others published about it; it decides nothing.
    """

    topic: Topic
    text: str
    next_step: str
    bases: tuple[Basis, ...] = ()


@dataclass(frozen=True)
class Ruling:
    """What one rule says of one requirement."""

    reasons: tuple[Reason, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class Standing:
    """How one side stands to a limit, as far as samples carry it.

    Attributes:
        verdict: `meets`: one of its variants did so in every sample. `fails`: none did in any sample.
            `unclear`: too few repetitions, or some samples below and some above. `emulated`: its VMs were
            measured by software emulation only, which says nothing. `unmeasured`: there is no sample.
        bases: The figures that say so.
        needed: The least limit that it would meet, in seconds or bytes; 0 where that is not known.
    """

    verdict: Literal["meets", "fails", "unclear", "emulated", "unmeasured"]
    bases: tuple[Basis, ...]
    needed: float = 0.0


def standing(
    lines: Sequence[Line], side: SideName, limit: float, units: dict[str, float], times: int = 1
) -> Standing:
    """How one side stands to a limit.

    Args:
        lines: The figures that bear on it; any one that a variant has must be within the limit.
        side: Which side.
        limit: The limit, in the unit that has the value 1 in `units`.
        units: Units that can be compared with it -> what to multiply by.
        times: How often the amount is needed.
    """
    found = [
        (line, entry, times * units[line.figure.unit])
        for line in lines
        if line.figure and line.figure.unit in units
        for entry in line.of(side)
    ]
    bases = tuple(measured(line, entry) for line, entry, _ in found)
    if not found:
        return Standing("unmeasured", ())
    usable = [each for each in found if not each[1].is_emulated]
    if not usable:
        return Standing("emulated", bases)
    often = [each for each in usable if enough(each[1].samples)]
    if not often:
        return Standing("unclear", bases)
    worst = {id(entry): max(entry.values) * factor for _, entry, factor in often}
    line, entry, _ = min(often, key=lambda each: worst[id(each[1])])
    if worst[id(entry)] <= limit:
        return Standing("meets", (measured(line, entry),), worst[id(entry)])
    if all(min(entry.values) * factor > limit for _, entry, factor in usable):
        return Standing("fails", tuple(measured(line, entry) for line, entry, _ in usable), worst[id(entry)])
    return Standing("unclear", bases, worst[id(entry)])


def measured(line: Line, entry: Entry) -> Basis:
    """A cell of the table of key differences, as a basis."""
    if entry.cell:
        ends = f" [{entry.cell.range}]" if entry.cell.range else ""
        told = f"{entry.cell.median}{ends}, n {entry.cell.count}"
    else:
        told = "; ".join(f"{VERDICTS[answer.verdict]}: {answer.text}" for answer in entry.answers)
    return Basis(
        "measured", f"{line.label}, {entry.variant}: {told}", f"{line.exercise}, {line.when}", entry.mark
    )


def all_measured(lines: Sequence[Line]) -> Iterator[Basis]:
    """Every finding that bears on a requirement: what an instance can do depends on no accelerator."""
    for line in lines:
        if not line.figure:
            yield from (measured(line, entry) for entry in line.entries)


def amount(value: float, units: dict[str, float]) -> str:
    """A limit as a person reads it."""
    return figures.value("B" if units is BYTES else "s", value)
