"""Results on the terminal: one as a comparison, or a list of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pairlab.report import comparison, figures
from pairlab.results import RunResult, Variant

MIN_WIDTH = 60
ROW_HEAD = 20
COLUMN = 18
"""Fewest characters of a variant's column; what does not fit beside goes below."""
GAP = 2
VERDICT_STYLES = {"yes": "green", "no": "red", "cannot": "yellow", "untried": "dim", "fact": "cyan"}


def plain(content: str, style: str = "") -> Text:
    """A text of a result, of which none can steer the terminal."""
    return Text("".join(c if c.isprintable() or c in "\n\u00a0\u202f" else "\ufffd" for c in content), style)


def show_result(result: RunResult, *, as_json: bool = False, console: Console | None = None) -> None:
    """One result: whether it is complete, what is compared, what was found, what can be said.

    Args:
        result: What to show.
        as_json: Print the whole document.
        console: Where to; the terminal if not given.
    """
    if as_json:
        print(result.model_dump_json(indent=1))
        return
    console = console or Console(highlight=False)
    width = max(console.width, MIN_WIDTH)
    for block in (_head(result), *_tables(result, width), _conclusions(result)):
        console.print(block)
        console.print()


def _head(result: RunResult) -> RenderableType:
    lines = []
    if not result.complete:
        lines += [plain(f"INCOMPLETE: {result.incomplete_reason or 'no reason is told'}", "bold red"), Text()]
    lines += [
        plain(f"{result.exercise}: {result.title}", "bold"),
        plain(result.question),
        plain(comparison.extent(result), "dim"),
        plain(comparison.load(result), "dim"),
    ]
    if result.subject:
        lines.append(plain(result.subject, "dim"))
    if note := comparison.emulation_note(result):
        lines.append(plain(note, "yellow"))
    if busy := comparison.overload(result):
        lines.append(plain(f"{comparison.BUSY} It was {busy}.", "yellow"))
    return Group(*lines)


def _tables(result: RunResult, width: int) -> Iterator[RenderableType]:
    """Figures and findings, baselines apart; as many columns beside each other as there is room for."""
    room = max((width - ROW_HEAD) // (GAP + COLUMN), 1)
    for variants, title in (
        (comparison.compared(result), ""),
        (comparison.baselines(result), "baselines: naive ways, to stand beside the others"),
    ):
        for beside in _parted(comparison.with_samples(result, variants), room):
            yield _figures_table(result, beside, width, title)
        for inquiry in comparison.inquiries(result, variants):
            for beside in _parted(inquiry.variants, room):
                yield _findings_table(result, inquiry.questions, beside, width, title)


def _parted(variants: Sequence[Variant], most: int) -> list[Sequence[Variant]]:
    return [variants[start : start + most] for start in range(0, len(variants), most)]


def _table(result: RunResult, variants: Sequence[Variant], width: int, first: str, title: str) -> Table:
    column = min((width - ROW_HEAD) // len(variants) - GAP, 2 * COLUMN)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 1, 0), title_justify="left", title_style="bold")
    table.title = title or None
    table.add_column(first, width=ROW_HEAD)
    for variant in variants:
        head = plain(variant.title)
        if mark := comparison.mark_of(variant, result.environment):
            head.append(f"\n{mark}", "yellow")
        table.add_column(head, width=column)
    return table


def _figures_table(result: RunResult, variants: Sequence[Variant], width: int, title: str) -> Table:
    table = _table(result, variants, width, "figure", title)
    for figure in comparison.measured(result, variants):
        head = plain(figure.title)
        if better := comparison.BETTER[figure.better]:
            head.append(f"\n{better}", "dim")
        cells = [comparison.cell(result, figure, variant) for variant in variants]
        table.add_row(head, *(_cell(each) for each in cells))
    return table


def _cell(cell: comparison.Cell) -> Text:
    if not cell.count:
        return Text(cell.median, "dim")
    ends = f"[{cell.range}] " if cell.range else ""
    mark = f" {cell.mark}" if cell.mark else ""
    return Text.assemble((cell.median, "bold"), (mark, "yellow"), (f"\n{ends}n {cell.count}", "dim"))


def _findings_table(
    result: RunResult, questions: Sequence[str], variants: Sequence[Variant], width: int, title: str
) -> Table:
    table = _table(result, variants, width, "question", title)
    for question in questions:
        cells = []
        for variant in variants:
            cell = Text()
            for answer in comparison.answers(result, question, variant):
                cell.append("\n" if cell else "")
                cell.append(comparison.VERDICTS[answer.verdict], VERDICT_STYLES[answer.verdict])
                cell.append_text(plain(f": {answer.text}"))
                cell.append(f" ({answer.repetitions})" if answer.repetitions else "", "dim")
            cells.append(cell or Text(figures.NONE, "dim"))
        table.add_row(plain(question), *cells)
    return table


def _conclusions(result: RunResult) -> RenderableType:
    if not result.conclusions:
        return Text("no conclusions", "dim")
    lines = [Text("conclusions", "bold")]
    for conclusion in result.conclusions:
        mark = " (VMs emulated)" if comparison.rests_on_emulation(conclusion, result) else ""
        sign, style = ("✓ ", "green") if conclusion.carried else ("– no claim: ", "yellow")
        lines.append(Text.assemble((sign, style), plain(conclusion.text), (mark, "yellow")))
        lines.append(plain(f"  {conclusion.basis}", "dim"))
    return Group(*lines)


def show_results(found: Sequence[tuple[Path, RunResult | str]], *, as_json: bool) -> None:
    """A line for each result, or why it cannot be read.

    Args:
        found: Each file with its result, or with what is wrong with it.
        as_json: Print JSON.
    """
    if as_json:
        print(json.dumps([_listed(path, result) for path, result in found], indent=2))
        return
    if not found:
        print("no results")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("file", no_wrap=True)
    for head in ("lab", "took", "state"):
        table.add_column(head)
    for path, result in found:
        if isinstance(result, str):
            table.add_row(plain(path.name), "", "", plain(result, "red"))
            continue
        state = plain("complete", "green")
        if not result.complete:
            state = plain(f"incomplete: {result.incomplete_reason}", "red")
        table.add_row(plain(path.name), plain(result.lab), figures.duration(result.took_s), state)
    Console(highlight=False).print(table)


def _listed(path: Path, result: RunResult | str) -> dict[str, object]:
    if isinstance(result, str):
        return {"path": str(path), "problem": result}
    kept = {"exercise", "title", "lab", "started", "ended", "complete", "incomplete_reason"}
    run_set = result.run_set.id if result.run_set else None
    return {"path": str(path), "set": run_set, **result.model_dump(mode="json", include=kept)}
