"""Figures in the documentation come from kept results, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairlab.errors import TemplateError, UsageError
from pairlab.report.summary import Yield, summarise
from pairlab.result_files import read_result, result_files, write_result
from pairlab.session import measured, reports
from tests.report_worlds import cut_short, patch_result


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results, documentation and a README of the test's own."""
    monkeypatch.setenv("PAIRLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(measured, "FOLDER", tmp_path / "docs")
    monkeypatch.setattr(measured, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"# A\n\n{measured.BEGIN}\nold\n{measured.END}\n\n## B\n")
    return tmp_path


def test_what_is_kept_is_what_the_table_shows(folders: Path) -> None:
    whole = patch_result()
    write_result(whole, reports.results_dir() / "20261124T211500Z-patch.json")
    write_result(cut_short(whole), reports.results_dir() / "20261125T211500Z-patch.json")
    (path,) = measured.keep()
    kept = read_result(path)
    assert path.name == "patch.json"
    assert kept.complete
    assert kept.timelines == []
    assert path.stat().st_size < (reports.results_dir() / "20261124T211500Z-patch.json").stat().st_size / 10
    tables = [summarise([Yield("patch", result.summary, result)]) for result in (whole, kept)]
    assert tables[0] == tables[1]


def test_without_results_the_next_step_is_told(folders: Path) -> None:
    with pytest.raises(UsageError, match="there is no complete result") as told:
        measured.keep()
    assert told.value.hint == "run exercises first"


def test_the_part_is_written_between_its_marks_and_nothing_else_is_touched(folders: Path) -> None:
    write_result(measured.in_short(patch_result()), folders / "docs" / "patch.json")
    assert measured.write() == [folders / "README.md", folders / "docs" / "README.md"]
    text = (folders / "README.md").read_text()
    assert text.startswith(f"# A\n\n{measured.BEGIN}\nMeasured on Intel(R) Xeon(R)")
    assert text.endswith(f"\n{measured.END}\n\n## B\n")
    assert "old" not in text.split()
    assert "All instances patched" in text
    table = (folders / "docs" / "README.md").read_text()
    assert "invoke exercise.run footprint" in table
    assert "| patch | 24 Nov 2026, 21:15 UTC | 3 | 0.31 | 1.87 | 2 |" in table
    assert measured.write() == []


def test_a_readme_without_the_marks_is_refused(folders: Path) -> None:
    (folders / "README.md").write_text(f"# A\n\n{measured.END}\n{measured.BEGIN}\n")
    with pytest.raises(TemplateError, match="no place for what was measured"):
        measured.write()


def test_the_documentations_figures_are_current() -> None:
    assert len(result_files([measured.FOLDER])) > 0
    for path, text in measured.texts().items():
        assert path.read_text(encoding="utf-8") == text, "run: ./inv docs"
