"""Figures in the documentation: kept results in short, and the parts of it that are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pairlab.errors import TemplateError, UsageError
from pairlab.render import render
from pairlab.report import comparison
from pairlab.report.overview import overview
from pairlab.report.summary_terminal import as_markdown
from pairlab.result_files import read_result, result_files, write_result
from pairlab.results import RunResult
from pairlab.session import reports
from pairlab.session.settings import ROOT

FOLDER = ROOT / "docs" / "results"
README = ROOT / "README.md"
BEGIN = "<!-- measured: `invoke docs` makes this part from docs/results -->"
END = "<!-- measured: end -->"


def keep() -> list[Path]:
    """Take what the table of key differences shows of each exercise's newest complete result.

    Returns:
        The files, one an exercise; results of others that were kept before stay.

    Raises:
        UsageError: There is no complete result.
    """
    found = reports.newest_complete()
    if not found:
        raise UsageError(
            f"there is no complete result in {reports.results_dir()}", hint="run exercises first"
        )
    for name, result in found.items():
        write_result(in_short(result), FOLDER / f"{name}.json")
    return [FOLDER / f"{name}.json" for name in found]


def in_short(result: RunResult) -> RunResult:
    """The same result with nothing but what the table of key differences shows of it."""
    cells = result.summary
    figures = {cell.figure for cell in cells if cell.figure}
    questions = {cell.question for cell in cells if cell.question}
    usual = {variant.key for variant in comparison.compared(result)}
    shown = {key for cell in cells for key in cell.variants or usual}
    return result.model_copy(
        update={
            "figures": [each for each in result.figures if each.key in figures],
            "variants": [each for each in result.variants if each.key in shown],
            "samples": [e for e in result.samples if e.figure in figures and e.variant in shown],
            "findings": [e for e in result.findings if e.question in questions and e.variant in shown],
            "timelines": [],
            "conclusions": [],
            "layers": [],
        }
    )


def texts() -> dict[Path, str]:
    """File -> its text, of what is made from kept results: a part of the README, and the whole table."""
    results = [read_result(path) for path in result_files([FOLDER])]
    summary = reports.overlook(results)
    glance = overview(results, summary)
    part = render(
        "report/overview.md.j2",
        overview=glance,
        columns=summary.columns,
        verdicts=comparison.VERDICTS,
        how_to_read=comparison.HOW_TO_READ,
        busy=comparison.BUSY,
    )
    table = render(
        "docs/results.md.j2",
        results=results,
        overview=glance,
        comparison=comparison,
        table=as_markdown(summary),
    )
    return {README: _with_part(README.read_text(encoding="utf-8"), part), FOLDER / "README.md": table}


def write() -> list[Path]:
    """Write them; returns the files that changed."""
    wanted: Mapping[Path, str] = texts()
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return changed


def _with_part(text: str, part: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TemplateError(
            f"README.md has no place for what was measured: a line `{BEGIN}` and a line `{END}`",
            hint="put both lines where the figures shall stand",
        )
    return f"{before}{BEGIN}\n{part.strip()}\n{END}{after}"
