"""The commands of the namespace `report`, run as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pairlab.result_files import write_result
from pairlab.results import RunResult
from tests.report_worlds import cut_short, patch_result

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
INVOKE = Path(sys.executable).with_name("invoke")
TIMEOUT_S = 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two results; the commands run beside it."""
    write_result(patch_result(), tmp_path / "data" / "results" / "20261124T211500Z-patch.json")
    write_result(cut_short(patch_result()), tmp_path / "data" / "results" / "20261124T221500Z-patch.json")
    return tmp_path / "data"


def run(data: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(INVOKE), "--search-root", str(ROOT), *words],
        env={**os.environ, "PAIRLAB_DATA": str(data), "COLUMNS": "100"},
        cwd=data.parent, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_results_are_listed_newest_first(data: Path) -> None:
    lines = run(data, "report.list", "--exercise", "patch").stdout.splitlines()
    assert [line.split()[0] for line in lines if "json" in line] == [
        "20261124T221500Z-patch.json",
        "20261124T211500Z-patch.json",
    ]
    assert [entry["complete"] for entry in json.loads(run(data, "report.list", "--json").stdout)] == [
        False,
        True,
    ]


def test_one_result_is_shown(data: Path) -> None:
    assert run(data, "report.show").stdout.startswith("INCOMPLETE: ")
    shown = run(data, "report.show", "--result", "20261124T211500Z-patch.json").stdout
    assert shown.startswith("patch: Patching a running service\n")
    assert max(map(len, shown.splitlines())) <= 100
    document = run(data, "report.show", "--result", "patch", "--json").stdout
    assert RunResult.model_validate_json(document) == cut_short(patch_result())


def test_a_page_is_written_where_one_wants_it(data: Path) -> None:
    assert run(data, "report.html").stdout == f"{data.parent / 'report.html'}\n"
    both = ("--result", "patch", "--result", str(data / "results" / "20261124T211500Z-patch.json"))
    run(data, "report.html", *both, "--out", "both.html")
    assert (data.parent / "both.html").read_text(encoding="utf-8").count('<section class="result"') == 2


def test_the_key_differences_are_shown_in_every_form(data: Path) -> None:
    shown = run(data, "report.summary").stdout
    assert "Rollback\n" in shown
    assert "the way back" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "| **Rollback** | the way back | " in run(data, "report.summary", "--markdown").stdout
    assert {row["row"] for row in json.loads(run(data, "report.summary", "--json").stdout)["rows"]} >= {
        "rollback",
        "start",
    }
    assert run(data, "report.summary", "--html", "s.html").stdout == f"{data.parent / 's.html'}\n"
    assert "exclude each other" in run(data, "report.summary", "--html", "x", "--json", code=2).stderr


def test_advice_is_given_for_options_and_never_waits_for_answers(data: Path) -> None:
    patched = ("lab.advise", "--untrusted-tenants", "--patch-within-s", "30")
    assert "next: `invoke exercise.run patch`" in run(data, *patched).stdout  # these results do not tell
    measured = patch_result().model_dump_json().replace('"patched-last"', '"patched-in-all"')
    write_result(RunResult.model_validate_json(measured), data / "results" / "20261124T231500Z-patch.json")
    assert run(data, *patched).stdout.startswith("advice: both\n")
    document = json.loads(run(data, "lab.advise", "--instances", "9", "--memory-mib", "99", "--json").stdout)
    assert document["required"]["instances"] == 9
    assert "--help lab.advise" in run(data, "lab.advise", code=2).stderr
    assert "--patch-within-s cannot be" in run(data, "lab.advise", "--patch-within-s", "x", code=2).stderr


def test_two_results_are_compared_by_position(data: Path) -> None:
    shown = run(data, "report.compare", "20261124T211500Z-patch.json", "patch").stdout
    assert "INCOMPLETE: " in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert (
        "| figure | variant | A | B |" in run(data, "report.compare", "patch", "patch", "--markdown").stdout
    )
    assert "next: " in run(data, "report.compare", "patch", "nosuch", code=2).stderr
    assert "next: `invoke --help report.compare`" in run(data, "report.compare", "patch", code=2).stderr


def test_samples_are_exported(data: Path) -> None:
    lines = run(data, "report.export").stdout.splitlines()
    assert lines[0].startswith("exercise,variant,")
    assert len(lines) == 1 + len(patch_result().samples) + len(cut_short(patch_result()).samples)
    assert run(data, "report.export", "--json", "--out", "s.json").stdout == f"{data.parent / 's.json'}\n"
    assert len(json.loads((data.parent / "s.json").read_text())) == len(lines) - 1


def test_the_schema_is_printed(data: Path) -> None:
    assert json.loads(run(data, "report.schema").stdout)["title"] == "RunResult"


def test_mistakes_are_told_with_the_next_step(data: Path) -> None:
    assert "there are some of patch" in run(data, "report.show", "--result", "nosuch", code=2).stderr
    assert "report.list" in run(data, "report.show", "--result", "./nosuch.json", code=1).stderr
    assert "next: run an exercise" in run(data.parent / "empty", "report.show", code=2).stderr
    assert run(data.parent / "empty", "report.list").stdout == "no results\n"
