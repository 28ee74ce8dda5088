"""The table of key differences, made from results that say themselves what of them stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pairlab.differences import Need, Row, SummaryCell
from pairlab.model import SideName
from pairlab.report import comparison
from pairlab.results import Figure, RunResult, Sample, Variant, enough, is_less

COLUMNS: tuple[tuple[SideName | None, str], ...] = (
    (SideName.VM, "VMs"),
    (SideName.CONTAINER, "containers"),
    (None, "this host"),
)


@dataclass(frozen=True)
class Entry:
    """One variant in a line of the table.

    Attributes:
        variant: Its title.
        side: Its column; None for this host itself.
        mark: How its VMs ran; empty for others.
        cell: Its figure, where the line shows one.
        samples: What it rests on, in the figure's unit.
        question: What was asked of it, where that is not the line's label.
        answers: What was found, where the line shows findings.
        need: The requirement that it bears on; None for none.
    """

    variant: str
    side: SideName | None
    mark: str
    cell: comparison.Cell | None = None
    samples: tuple[Sample, ...] = ()
    question: str = ""
    answers: tuple[comparison.Answer, ...] = ()
    need: Need | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The values of its samples."""
        return tuple(sample.value for sample in self.samples)

    @property
    def is_emulated(self) -> bool:
        """Whether it is of emulated VMs."""
        return self.mark == comparison.EMULATED


@dataclass(frozen=True)
class Line:
    """One thing that was measured or asked, of every variant.

    Attributes:
        label: What it is.
        exercise: The exercise that yielded it.
        when: When, in UTC.
        figure: The figure; None for a question.
        entries: In the order of the result's variants.
        difference: What its samples say of the two sides; empty where more than two variants stand in it.
    """

    label: str
    exercise: str
    when: str
    figure: Figure | None
    entries: tuple[Entry, ...]
    difference: str

    def of(self, side: SideName | None) -> tuple[Entry, ...]:
        """Its entries in one column."""
        return tuple(entry for entry in self.entries if entry.side is side)


@dataclass(frozen=True)
class Missing:
    """An exercise that would yield something, and has not yet.

    Attributes:
        exercise: Its name.
        reason: What became of its last run; empty if there was none.
    """

    exercise: str
    reason: str


@dataclass(frozen=True)
class SummaryRow:
    """A row of the table: what is known, and what is not measured yet."""

    row: Row
    lines: tuple[Line, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Summary:
    """The table.

    Attributes:
        rows: All of them, in their order.
        emulation: What a reader must know before any figure of an emulated VM; empty where there is none.
        measured_by: Requirement -> the exercises that measure something which bears on it.
    """

    rows: tuple[SummaryRow, ...]
    emulation: str
    measured_by: Mapping[Need, tuple[str, ...]]

    @property
    def columns(self) -> list[tuple[SideName | None, str]]:
        """Its columns."""
        return columns_of(self.rows)

    def lines(self, need: Need) -> list[Line]:
        """Everything measured that bears on a requirement, and nothing that stands in a line with it."""
        lines = (
            replace(line, entries=tuple(entry for entry in line.entries if entry.need == need))
            for row in self.rows
            for line in row.lines
        )
        return [line for line in lines if line.entries]


@dataclass(frozen=True)
class Yield:
    """What one exercise puts into the table.

    Attributes:
        exercise: Its name.
        cells: What it says that a run of it yields.
        result: Its newest complete result; None if there is none.
        reason: Where there is none: what became of its last run.
    """

    exercise: str
    cells: Sequence[SummaryCell]
    result: RunResult | None
    reason: str = ""


def told(missing: Missing) -> str:
    """What to do about it: `invoke exercise.run …`, and why once more if it was run."""
    again = f"; its last run is of no use: {missing.reason}" if missing.reason else ""
    return f"not measured yet: invoke exercise.run {missing.exercise}{again}"


def columns_of(rows: Sequence[SummaryRow]) -> list[tuple[SideName | None, str]]:
    """The two sides always have a column; this host has one where something of it was measured."""
    has_host = any(line.of(None) for row in rows for line in row.lines)
    return [(side, name) for side, name in COLUMNS if side is not None or has_host]


def summarise(yields: Sequence[Yield]) -> Summary:
    """The table of what some exercises yielded, and would yield."""
    rows = tuple(
        SummaryRow(
            row,
            tuple(line for each in yields if each.result for line in _lines(each.result, row, each.cells)),
            tuple(
                Missing(each.exercise, each.reason)
                for each in yields
                if row in {cell.row for cell in each.cells} and not _has(each.result, row)
            ),
        )
        for row in Row
    )
    notes = [comparison.emulation_note(each.result) for each in yields if each.result and each.result.summary]
    measured_by: dict[Need, tuple[str, ...]] = {}
    for each in yields:
        for need in dict.fromkeys(cell.need for cell in each.cells if cell.need):
            measured_by[need] = (*measured_by.get(need, ()), each.exercise)
    return Summary(rows, next(filter(None, notes), ""), measured_by)


def _has(result: RunResult | None, row: Row) -> bool:
    return result is not None and any(cell.row is row for cell in result.summary)


def _lines(result: RunResult, row: Row, newest: Sequence[SummaryCell]) -> Iterator[Line]:
    lines: dict[tuple[str, str], list[SummaryCell]] = {}
    for cell in result.summary:
        if cell.row is row:
            lines.setdefault((_label(result, cell, newest), cell.figure), []).append(cell)
    for (label, key), cells in lines.items():
        figure = next((figure for figure in result.figures if figure.key == key), None)
        entries = tuple(entry for cell in cells for entry in _entries(result, cell, figure, newest))
        if entries:
            difference = _difference(figure, entries) if figure else ""
            yield Line(label, result.exercise, comparison.when(result), figure, entries, difference)


def _label(result: RunResult, cell: SummaryCell, newest: Sequence[SummaryCell]) -> str:
    """What a line is called, as its exercise says now, whenever the result was made."""
    titles = {figure.key: figure.title for figure in result.figures}
    shown = (cell.row, cell.figure, cell.question, cell.variants)
    now = [each.label for each in newest if (each.row, each.figure, each.question, each.variants) == shown]
    labels = (*now, cell.label, titles.get(cell.figure), cell.question)
    return next(label for label in labels if label)


def _need(cell: SummaryCell, variant: Variant, newest: Sequence[SummaryCell]) -> Need | None:
    """What it bears on, as its exercise says now, whenever the result was made."""
    same = (each for each in newest if (each.figure, each.question) == (cell.figure, cell.question))
    bearing = (each.need for each in same if variant.key in (each.variants or [variant.key]))
    return next((need for need in bearing if need), None)


def _entries(
    result: RunResult, cell: SummaryCell, figure: Figure | None, newest: Sequence[SummaryCell]
) -> Iterator[Entry]:
    for variant in _shown(result, cell):
        need = _need(cell, variant, newest)
        mark = comparison.mark_of(variant, result.environment)
        if figure:
            samples = tuple(result.samples_of(figure.key, variant.key))
            if samples:
                shown = comparison.cell(result, figure, variant)
                yield Entry(variant.title, variant.side, mark, cell=shown, samples=samples, need=need)
        elif answers := tuple(comparison.answers(result, cell.question, variant)):
            question = cell.question if cell.label else ""
            yield Entry(variant.title, variant.side, mark, question=question, answers=answers, need=need)


def _shown(result: RunResult, cell: SummaryCell) -> list[Variant]:
    if not cell.variants:
        return comparison.compared(result)
    return [variant for variant in result.variants if variant.key in cell.variants]


def _difference(figure: Figure, entries: Sequence[Entry]) -> str:
    """Which of two variants, one a side, has less of a figure, if their samples carry that."""
    vms, containers = ([entry for entry in entries if entry.side is side] for side in SideName)
    if len(vms) != 1 or len(containers) != 1:
        apart = vms and containers and not enough(*(entry.samples for entry in entries))
        return "no claim: too few repetitions" if apart else ""
    (vm,), (container,) = vms, containers
    about = ", of emulated VMs" if vm.is_emulated else ""
    is_counted = figure.unit == "1" and len({*vm.values}) == len({*container.values}) == 1
    basis = "counted, the same each time" if is_counted else "the ranges are apart"
    if is_less(container.samples, vm.samples):
        return f"less on containers: {basis}{about}"
    if is_less(vm.samples, container.samples):
        return f"less on VMs: {basis}{about}"
    if len({*vm.values, *container.values}) == 1:
        return f"equal in every sample{about}"
    often = enough(vm.samples, container.samples)
    return "no claim: the ranges overlap" if often else "no claim: too few repetitions"
