"""Raw samples as CSV and JSON: all of them, each with what it is of."""

from __future__ import annotations

import csv
import io
import json

from pairlab.report import export
from tests.hostile_texts import hostile
from tests.report_worlds import cut_short, patch_result


def test_every_sample_is_a_row_that_tells_what_it_is_of() -> None:
    result = patch_result()
    rows = list(csv.DictReader(io.StringIO(export.as_csv([("a.json", result)]))))
    assert [float(row["value"]) for row in rows] == [sample.value for sample in result.samples]
    (written,) = [
        row
        for row in rows
        if (row["figure"], row["variant"], row["repetition"], row["instance"])
        == ("written", "vm-rebuild", "2", "vm/1")
    ]
    assert {**written, "value": ""} == {
        "exercise": "patch", "variant": "vm-rebuild", "side": "vm", "baseline": "false", "figure": "written",
        "unit": "B", "repetition": "2", "instance": "vm/1", "value": "", "accelerator": "tcg",
        "date": "2026-11-24T21:15:00+00:00", "lab": "dev", "complete": "true", "result": "a.json",
    }  # fmt: skip


def test_only_samples_of_vms_have_an_accelerator_and_those_of_one_in_a_container_their_own() -> None:
    result = patch_result(accelerator="kvm")
    nested = [
        each.model_copy(update={"emulated": each.key == "container-rebuild"}) for each in result.variants
    ]
    rows = list(export.rows([("a.json", result.model_copy(update={"variants": nested}))]))
    assert {(row["side"], row["variant"] == "container-rebuild", row["accelerator"]) for row in rows} == {
        ("vm", False, "kvm"), ("container", False, ""), ("container", True, "tcg")
    }  # fmt: skip


def test_several_results_stand_one_after_the_other_and_incomplete_ones_say_so() -> None:
    whole, cut = patch_result(), cut_short(patch_result())
    rows = list(export.rows([("a.json", whole), ("b.json", cut)]))
    assert len(rows) == len(whole.samples) + len(cut.samples)
    assert {(row["result"], row["complete"]) for row in rows} == {("a.json", True), ("b.json", False)}


def test_json_has_the_same_rows() -> None:
    named = [("a.json", patch_result())]
    assert json.loads(export.as_json(named)) == list(export.rows(named))


def test_texts_with_quotes_commas_and_ends_of_lines_stay_in_their_cells() -> None:
    result, _ = hostile('",\n;\t=1+1 ')
    rows = list(csv.DictReader(io.StringIO(export.as_csv([("a.json", result)]))))
    assert len(rows) == len(result.samples)
    assert {row["variant"] for row in rows} == {sample.variant for sample in result.samples}
    assert {row["unit"] for row in rows} <= {"s", "ms", "B", "1", "%"}
