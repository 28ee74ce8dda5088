"""Two results of one exercise, or two sets of them, side by side: on the terminal, as Markdown, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pairlab.render import render
from pairlab.report import comparison, figures
from pairlab.report.pairing import Pairing, SetPairing
from pairlab.report.results_terminal import MIN_WIDTH, VERDICT_STYLES, plain

GAP = 2


def show_comparison(
    found: Pairing | SetPairing,
    *,
    as_json: bool = False,
    markdown: bool = False,
    console: Console | None = None,
) -> None:
    """Two results; or two sets, exercise by exercise, and then which exercises one of them alone has."""
    if isinstance(found, Pairing):
        show_pairing(found, as_json=as_json, markdown=markdown, console=console)
        return
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    if markdown:
        print(render("report/pairings.md.j2", found=found, verdicts=comparison.VERDICTS), end="")
        return
    console = console or Console(highlight=False)
    for pairing in found.pairings:
        show_pairing(pairing, console=console)
    for name, exercises in zip("AB", found.only, strict=True):
        if exercises:
            console.print(plain(f"only in {name}: {', '.join(exercises)}", "yellow"))


def show_pairing(
    pairing: Pairing, *, as_json: bool = False, markdown: bool = False, console: Console | None = None
) -> None:
    """Both results: which they are, each figure in both and what the samples carry, and what else differs."""
    if as_json:
        print(json.dumps(asdict(pairing), indent=2))
        return
    if markdown:
        text = render("report/pairing.md.j2", pairing=pairing, verdicts=comparison.VERDICTS)
        print(text, end="")
        return
    console = console or Console(highlight=False)
    for block in _blocks(pairing, max(console.width, MIN_WIDTH)):
        console.print(block)
        console.print()


def _blocks(pairing: Pairing, width: int) -> Iterator[RenderableType]:
    yield _head(pairing)
    yield _figures(pairing, width)
    if pairing.disagreements:
        yield _findings(pairing, width)
    yield Text(f"{figures.counted(pairing.agreed, 'answer')} of the same verdict in both", "dim")
    if pairing.surroundings:
        table = _table(width, "differs between both", "A", "B")
        for row in pairing.surroundings:
            table.add_row(*(plain(text) for text in row))
        yield table


def _head(pairing: Pairing) -> Group:
    lines = [plain(f"{pairing.exercise}: {pairing.title}", "bold")]
    for name, head, reason in zip("AB", pairing.heads, pairing.incomplete, strict=True):
        lines.append(plain(f"{name}: {head}"))
        if reason:
            lines.append(plain(f"   INCOMPLETE: {reason}", "bold red"))
    return Group(*lines, *(plain(note, "yellow") for note in pairing.notes))


def _table(width: int, *heads: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for head in heads:
        table.add_column(head, width=width // len(heads) - GAP)
    return table


def _figures(pairing: Pairing, width: int) -> Table:
    table = _table(width, "figure", "A", "B", "from A to B")
    last = ""
    for pair in pairing.pairs:
        if pair.figure != last:
            better = f", {pair.better}" if pair.better else ""
            table.add_row(plain(pair.figure, "bold").append(better, "dim"))
        last = pair.figure
        head = plain(f"{pair.variant}{' (baseline)' if pair.baseline else ''}")
        style = "green" if "apart" in pair.change else "yellow" if "comparable" in pair.change else "dim"
        table.add_row(head, *(_cell(cell) for cell in pair.cells), plain(pair.change, style))
    return table


def _cell(cell: comparison.Cell) -> Text:
    if not cell.count:
        return Text(cell.median, "dim")
    ends = f"\n[{cell.range}]" if cell.range else "\n"
    mark = f" {cell.mark}" if cell.mark else ""
    return Text.assemble((cell.median, "bold"), (mark, "yellow"), (f"{ends} n {cell.count}", "dim"))


def _findings(pairing: Pairing, width: int) -> Table:
    table = _table(width, "other verdicts", "A", "B")
    for each in pairing.disagreements:
        cells = []
        for answers in each.answers:
            cell = Text()
            for answer in answers:
                cell.append("\n" if cell else "")
                cell.append(comparison.VERDICTS[answer.verdict], VERDICT_STYLES[answer.verdict])
                cell.append_text(plain(f": {answer.text}"))
            cells.append(cell or Text(figures.NONE, "dim"))
        table.add_row(plain(f"{each.question}\n{each.variant}"), *cells)
    return table
