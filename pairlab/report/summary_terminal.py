"""The table of key differences: on the terminal, as Markdown, as a page, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pairlab.render import render
from pairlab.report import comparison, figures
from pairlab.report.results_terminal import MIN_WIDTH, VERDICT_STYLES, plain
from pairlab.report.summary import Entry, Line, Summary, SummaryRow, columns_of, told

TITLE = "Key differences between containers and virtual machines, as measured here"
NOBODY = "not measured: no exercise yields it yet"
FIRST = 24
"""Characters of the column that says what was measured."""
GAP = 2


def show_summary(
    summary: Summary, *, as_json: bool = False, markdown: bool = False, console: Console | None = None
) -> None:
    """The table.

    Args:
        summary: What to show.
        as_json: Print JSON, with all samples.
        markdown: Print a table in Markdown.
        console: Where else to; the terminal if not given.
    """
    if as_json:
        print(json.dumps(asdict(summary), indent=2, default=lambda model: model.model_dump(mode="json")))
        return
    if markdown:
        print(as_markdown(summary), end="")
        return
    console = console or Console(highlight=False)
    console.print(Text(TITLE, "bold"))
    console.print(Text(comparison.HOW_TO_READ, "dim"))
    if summary.emulation:
        console.print(plain(summary.emulation, "yellow"))
    for row in summary.rows:
        console.print()
        console.print(_row(row, max(console.width, MIN_WIDTH)))


def as_markdown(summary: Summary) -> str:
    """The table in Markdown, as pages of code forges show it."""
    return render("report/summary.md.j2", **_values(summary))


def as_page(summary: Summary) -> str:
    """The table as one HTML file that needs nothing else."""
    return render("report/summary.html.j2", **_values(summary))


def _values(summary: Summary) -> dict[str, object]:
    return {
        "title": TITLE,
        "how_to_read": comparison.HOW_TO_READ,
        "summary": summary,
        "columns": summary.columns,
        "verdicts": comparison.VERDICTS,
        "told": told,
        "nobody": NOBODY,
    }


def _row(row: SummaryRow, width: int) -> RenderableType:
    missing = [told(each) for each in row.missing]
    heading = Text(row.row.heading, "bold")
    if not row.lines:
        return Text.assemble(
            heading, ": ", plain("; ".join(missing) or NOBODY, "magenta" if missing else "dim")
        )
    columns = columns_of((row,))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("measured", width=FIRST)
    for _, name in columns:
        table.add_column(name, width=(width - FIRST) // len(columns) - GAP)
    for line in row.lines:
        table.add_row(_head(line), *(_cell(line.of(side)) for side, _ in columns))
    return Group(heading, table, *(plain(each, "magenta") for each in missing))


def _head(line: Line) -> Text:
    head = plain(line.label)
    if line.figure and comparison.BETTER[line.figure.better]:
        head.append(f", {comparison.BETTER[line.figure.better]}", "dim")
    if line.difference:
        head.append(f"\n{line.difference}", "cyan")
    head.append_text(plain(f"\n{line.exercise}, {line.when}", "dim"))
    return head


def _cell(entries: tuple[Entry, ...]) -> Text:
    if not entries:
        return Text(figures.NONE, "dim")
    return Text("\n").join(part for entry in entries for part in _entry(entry))


def _entry(entry: Entry) -> Iterator[Text]:
    # A figure is marked itself; a finding is marked by whose it is.
    mark = f" {entry.mark}" if entry.mark else ""
    yield plain(entry.variant, "underline") + Text("" if entry.cell else mark, "yellow")
    if entry.cell:
        ends = f" [{entry.cell.range}]" if entry.cell.range else ""
        yield Text.assemble(
            (entry.cell.median, "bold"), (mark, "yellow"), (f"{ends} n {entry.cell.count}", "dim")
        )
    if entry.question:
        yield plain(entry.question, "dim")
    for answer in entry.answers:
        shown = Text(comparison.VERDICTS[answer.verdict], VERDICT_STYLES[answer.verdict])
        shown.append_text(plain(f": {answer.text}"))
        shown.append(f" ({answer.repetitions})" if answer.repetitions else "", "dim")
        yield shown
