"""A page of documentation for each exercise, made from the text that teaches it and from what it measures."""

from __future__ import annotations

from pathlib import Path

from pairlab import exercise
from pairlab.differences import Row
from pairlab.exercise import ExerciseKind
from pairlab.exercise._guide import LIMITS, STEP, limits_apart
from pairlab.render import render
from pairlab.report import comparison
from pairlab.session.settings import ROOT

FOLDER = ROOT / "docs" / "exercises"
UNITS = {"s": "seconds", "ms": "milliseconds", "B": "bytes", "1": "count", "%": "percent",
         "1/s": "per second", "B/s": "bytes per second"}  # fmt: skip


def pages() -> dict[str, str]:
    """File name -> text, of each exercise and of the index."""
    kinds = [(name, exercise.load(name)) for name in exercise.names()]
    found = {f"{name}.md": _page(name, kind) for name, kind in kinds}
    return {"README.md": render("docs/index.md.j2", kinds=kinds), **found}


def write() -> list[Path]:
    """Write the pages, and remove those of exercises that are no more; returns the files that changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    changed = [path for path in sorted(FOLDER.glob("*.md")) if path.name not in wanted]
    for path in changed:
        path.unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _page(name: str, kind: ExerciseKind) -> str:
    text, limits = limits_apart(name, kind.example)
    return render(
        "docs/exercise.md.j2",
        name=name,
        kind=kind,
        question=kind.question,
        text=STEP.sub(r"## \g<title>", text).strip(),
        limits_title=LIMITS,
        limits=limits,
        rows=[row for row in Row if row in {cell.row for cell in kind.summary}],
        units=UNITS,
        how_to_read=comparison.HOW_TO_READ,
    )
