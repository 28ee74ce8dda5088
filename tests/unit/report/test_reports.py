"""Finding stored results, writing the page, and the schema that is kept in the documentation."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from pairlab import exercise
from pairlab.circumstances import RunSet
from pairlab.differences import Row
from pairlab.errors import ResultError, UsageError
from pairlab.model import data_dir
from pairlab.report.pairing import Pairing, SetPairing
from pairlab.result_files import write_result
from pairlab.session import reports
from tests.report_worlds import cut_short, patch_result

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of stored results, empty."""
    monkeypatch.setenv("PAIRLAB_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "results"


@pytest.fixture
def stored(results: Path) -> Path:
    """The folder with two results of patch, one of scale-out, and files that are none."""
    write_result(patch_result(), results / "20261124T211500Z-patch.json")
    write_result(cut_short(patch_result()), results / "20261124T221500Z-patch.json")
    scale = patch_result().model_copy(update={"exercise": "scale-out", "title": "Scaling out"})
    write_result(scale, results / "20261123T090000Z-scale-out.json")
    (results / "notes.json").write_text("{}")
    (results / "notes.txt").write_text("")
    return results


def test_the_data_directory_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PAIRLAB_DATA", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert data_dir() == tmp_path / ".local" / "share" / "pairlab"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_dir() == tmp_path / "xdg" / "pairlab"
    monkeypatch.setenv("PAIRLAB_DATA", str(tmp_path / "own"))
    assert data_dir() == tmp_path / "own"


def test_the_newest_is_the_latest(stored: Path) -> None:
    assert reports.find("latest").name == "20261124T221500Z-patch.json"
    assert reports.find("patch").name == "20261124T221500Z-patch.json"
    assert reports.find("scale-out").name == "20261123T090000Z-scale-out.json"


def test_a_file_is_found_by_path_and_by_name(stored: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.txt"
    write_result(patch_result(), elsewhere)
    assert reports.read(str(elsewhere)) == patch_result()
    assert reports.find("20261124T211500Z-patch.json") == stored / "20261124T211500Z-patch.json"
    with pytest.raises(ResultError, match="cannot be read"):
        reports.read("20991124T211500Z-patch.json")


def test_an_unknown_exercise_names_those_there_are(stored: Path) -> None:
    for ask in (reports.find, reports.list_results):
        with pytest.raises(UsageError, match="'nosuch'") as caught:
            ask("nosuch")
        assert caught.value.hint == "there are some of patch, scale-out"


def test_without_results_the_next_step_is_told(results: Path) -> None:
    assert reports.list_results() == []
    for name in ("latest", "patch"):
        with pytest.raises(UsageError, match="there are no results") as caught:
            reports.find(name)
        assert "run an exercise" in caught.value.hint
    with pytest.raises(UsageError, match="there are no results"):
        reports.write_html([], results / "x.html")


def test_the_list_is_newest_first_and_survives_a_broken_file(stored: Path) -> None:
    (stored / "20261125T000000Z-patch.json").write_text("{")
    listed = reports.list_results("patch")
    assert [path.name[:13] for path, _ in listed] == ["20261125T0000", "20261124T2215", "20261124T2115"]
    assert listed[0][1] == "holds no result"
    assert listed[2][1] == patch_result()
    assert len(reports.list_results()) == 4


def test_the_page_has_the_newest_of_each_exercise(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert reports.write_html([], out) == out
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.count('<section class="result"') == 2
    assert text.index("Patching a running service") < text.index("Scaling out")
    reports.write_html(["scale-out"], out)
    assert "Patching a running service" not in out.read_text(encoding="utf-8")


def test_sets_and_folders_are_compared_exercise_by_exercise(stored: Path, tmp_path: Path) -> None:
    def keep(folder: Path, at: str, exercise: str, lab: str) -> None:
        run_set = RunSet(id=f"20261126T000000Z-{lab}", exercises=["scale-out", "patch"], repeat=None)
        changes = {"exercise": exercise, "title": f"{exercise} of {lab}", "run_set": run_set}
        write_result(patch_result().model_copy(update=changes), folder / f"{at}-{exercise}.json")

    for lab, number in (("one", 0), ("two", 1)):
        keep(stored, f"20261126T00000{number}Z", "patch", lab)
    keep(stored, "20261126T000005Z", "scale-out", "two")
    other = tmp_path / "other"
    keep(other, "20261126T000000Z", "patch", "three")
    write_result(cut_short(patch_result()), other / "20261127T000000Z-patch.json")
    (other / "notes.json").write_text("{}")

    def compared(a: str, b: str) -> tuple[list[str], tuple[tuple[str, ...], tuple[str, ...]]]:
        found = reports.compare(a, b)
        assert isinstance(found, SetPairing)
        assert found.pairings[0].incomplete == ("", "")
        return [pairing.title for pairing in found.pairings], found.only

    one, two = "20261126T000000Z-one", "20261126T000000Z-two"
    assert compared(one, two) == (["patch of one"], ((), ("scale-out",)))
    assert compared("latest", one) == (["patch of two"], (("scale-out",), ()))
    assert compared(str(other), two) == (["patch of three"], ((), ("scale-out",)))
    assert isinstance(reports.compare("patch", "20261126T000000Z-patch.json"), Pairing)
    (tmp_path / "empty").mkdir()
    for a, b, told in (
        (one, "patch", "patch is one result"),
        ("20261126T000000Z-nosuch", one, "there is no set"),
        (str(tmp_path / "empty"), one, "there are no results in"),
    ):
        with pytest.raises(UsageError, match=told):
            reports.compare(a, b)


def test_the_results_of_one_command_make_one_page(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    for at, name, of in (
        ("20261126T000000Z", "patch", "first"),
        ("20261126T000500Z", "scale-out", "first"),
        ("20261126T001000Z", "scale-out", "first"),
        ("20261127T000000Z", "patch", "second"),
    ):
        run_set = RunSet(id=of, exercises=["scale-out", "patch"], repeat=None)
        changes = {"exercise": name, "title": f"{name} of {at}", "run_set": run_set}
        write_result(patch_result().model_copy(update=changes), stored / f"{at}-{name}.json")
    reports.write_html([], out, run_set="first")
    text = out.read_text(encoding="utf-8")
    assert text.count('<section class="result"') == 2
    assert text.index("scale-out of 20261126T001000Z") < text.index("patch of 20261126T000000Z")
    assert "not measured yet: invoke exercise.run footprint" in text
    reports.write_html([], out, run_set="latest")
    assert "patch of 20261127T000000Z" in out.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="there is no set 'third'") as told:
        reports.write_html([], out, run_set="third")
    assert told.value.hint == "the newest sets: second, first"
    elsewhere = stored.rename(tmp_path / "elsewhere")
    reports.write_html([], out, run_set=str(elsewhere))
    assert "patch of 20261127T000000Z" in out.read_text(encoding="utf-8")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UsageError, match=f"there is no set .* in {tmp_path}/nothing"):
        reports.write_html([], out, run_set=f"{tmp_path}/nothing")


def test_a_page_that_cannot_be_written_is_said(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        reports.write_html([], tmp_path)


def test_the_table_takes_the_newest_complete_result_that_says_what_it_adds(stored: Path) -> None:
    (table,) = [row for row in reports.summary().rows if row.row is Row.ROLLBACK]
    assert [line.when for line in table.lines] == ["24 Nov 2026, 21:15 UTC"]  # not the incomplete one
    newer = patch_result().model_copy(update={"started": patch_result().started + timedelta(days=1)})
    write_result(newer, stored / "20261125T211500Z-patch.json")
    without = newer.model_copy(update={"summary": []})
    write_result(without, stored / "20261126T211500Z-patch.json")
    (stored / "20261127T211500Z-patch.json").write_text("{")
    (table,) = [row for row in reports.summary().rows if row.row is Row.ROLLBACK]
    assert [line.when for line in table.lines] == ["25 Nov 2026, 21:15 UTC"]


def test_the_table_says_why_there_is_no_result(results: Path) -> None:
    def missing() -> dict[str, str]:
        (table,) = [row for row in reports.summary().rows if row.row is Row.PATCHING]
        assert table.lines == ()
        return {each.exercise: each.reason for each in table.missing}

    assert missing()["patch"] == ""
    write_result(patch_result().model_copy(update={"summary": []}), results / "20261123T211500Z-patch.json")
    assert "before results said what they add" in missing()["patch"]
    write_result(cut_short(patch_result()), results / "20261124T211500Z-patch.json")
    assert missing()["patch"] == "vm/1 never answered after its rebuild"


@pytest.mark.parametrize("name", exercise.names())
def test_a_result_is_taught_by_the_text_of_its_exercise(name: str) -> None:
    lesson = reports.lesson_of(patch_result(accelerator="kvm").model_copy(update={"exercise": name}))
    assert lesson is not None
    assert not [text for text in (lesson.introduction, lesson.limits) if "#" in text or "<!--" in text]
    kept = (ROOT / "docs" / "exercises" / f"{name}.md").read_text(encoding="utf-8")
    assert lesson.limits in kept
    assert lesson.introduction.replace("with `kvm`", "with `tcg`") in kept


def test_what_is_no_exercise_any_more_teaches_nothing() -> None:
    assert reports.lesson_of(patch_result().model_copy(update={"exercise": "gone"})) is None


def test_the_table_is_written_as_a_page(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "summary.html"
    assert reports.write_summary(out) == out
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(UsageError, match="cannot be written") as caught:
        reports.write_summary(tmp_path)
    assert "--html" in caught.value.hint


def test_everything_that_is_kept_is_exported_and_what_cannot_be_read_is_told(stored: Path) -> None:
    (stored / "20261125T000000Z-patch.json").write_text("{")
    text, problems = reports.export([], None, as_json=False)
    of = [line.rsplit(",", 1)[1] for line in text.splitlines()[1:]]
    assert list(dict.fromkeys(of)) == [
        "20261123T090000Z-scale-out.json",
        "20261124T211500Z-patch.json",
        "20261124T221500Z-patch.json",
    ]
    assert len(problems) == 1
    assert "20261125T000000Z-patch.json holds no result" in problems[0]


def test_named_results_are_exported_to_a_file(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.json"
    told, problems = reports.export(["scale-out"], out, as_json=True)
    assert (told, problems) == (f"{out}\n", [])
    assert {row["exercise"] for row in json.loads(out.read_text())} == {"scale-out"}
    with pytest.raises(ResultError):
        reports.export(["20991124T211500Z-patch.json"], None, as_json=False)


def test_results_are_compared_by_name(stored: Path) -> None:
    found = reports.compare("20261124T211500Z-patch.json", "patch")
    assert found.incomplete == ("", "vm/1 never answered after its rebuild")
    with pytest.raises(UsageError, match="different things"):
        reports.compare("scale-out", "patch")


def test_the_documented_schema_is_current() -> None:
    kept = (ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8")
    assert kept == reports.schema() + "\n", "run: ./inv report.schema > docs/result.schema.json"
