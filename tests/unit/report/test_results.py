"""The document of a run: its statistics, what it may hold, and reading it back."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pairlab.errors import ResultError
from pairlab.result_files import read_result, result_files, write_result
from pairlab.results import FORMAT, RunResult, Sample, Spread, Timeline, enough, is_less, spread
from tests.report_worlds import patch_result


def a_timeline(*requests: tuple[float, float, int]) -> Timeline:
    """Of requests as (sent at s, took ms, status)."""
    return Timeline(
        variant="vm",
        repetition=0,
        rate_hz=10,
        at_s=[at for at, _, _ in requests],
        latency_ms=[ms for _, ms, _ in requests],
        status=[status for _, _, status in requests],
        version=["1" if status == 200 else "" for _, _, status in requests],
        marks=[],
        client_cpu_percent=1,
        client_worst_gap_ms=1,
    )


def samples(values: list[float], repetitions: int = 99) -> list[Sample]:
    """One after the other in as many repetitions, or in fewer, of several instances each."""
    return [
        Sample(figure="f", variant="v", repetition=number % repetitions, value=value)
        for number, value in enumerate(values)
    ]


def test_a_spread_is_the_median_with_its_range() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3, 3)
    assert spread([4, 1]) == Spread(2.5, 1, 4, 2)
    assert spread([7]) == Spread(7, 7, 7, 1)
    assert spread([]) is None


@pytest.mark.parametrize(
    ("smaller", "larger", "carried"),
    [
        ([1, 2, 3], [4, 5, 6], True),
        ([1, 2, 3], [3, 4, 5], False),  # they touch
        ([1, 2, 9], [4, 5, 6], False),  # they overlap
        ([4, 5, 6], [1, 2, 3], False),  # the other way round
        ([1, 2], [4, 5, 6], False),  # too few
        ([1, 2, 3], [4, 5], False),
        ([], [], False),
    ],
)
def test_less_is_claimed_only_of_enough_samples_whose_ranges_do_not_meet(
    smaller: list[float], larger: list[float], carried: bool
) -> None:
    assert is_less(samples(smaller), samples(larger)) is carried


def test_many_samples_of_few_repetitions_carry_no_claim() -> None:
    often, seldom = samples([4, 5, 6, 7, 8, 9], repetitions=3), samples([1, 2, 3, 1, 2, 3], repetitions=2)
    assert enough(often, often)
    assert not enough(often, seldom)
    assert not is_less(seldom, often)


def test_whatever_is_no_200_has_failed() -> None:
    line = a_timeline((0, 1, 200), (0.1, 1, 503), (0.2, 1, 0), (0.3, 1, 304), (0.4, 1, 200))
    assert line.failed() == 3
    assert a_timeline().failed() == 0


@pytest.mark.parametrize(
    ("requests", "gap_s"),
    [
        pytest.param([], 0.0, id="no requests"),
        pytest.param([(0, 5, 200), (1, 9, 200)], 0.009, id="nothing fails: an ordinary latency"),
        pytest.param([(0, 5, 200), (1, 5, 503), (2, 5, 503), (3, 10, 200)], 2.01, id="an outage"),
        pytest.param([(0, 5, 503), (2, 10, 200)], 2.01, id="an outage from the start"),
        pytest.param([(0, 5, 200), (1, 5, 0), (2, 4000, 0)], 5.0, id="to the end of the last failure"),
        pytest.param([(0, 500, 0)], 0.5, id="nothing but a failure"),
        pytest.param([(0, 5, 200), (1, 3000, 200), (2, 2000, 200)], 3.0, id="held, not failed"),
        pytest.param([(0, 5, 200), (1, 3000, 200), (1.1, 5, 200)], 0.105, id="one slow beside fast ones"),
        pytest.param([(0, 9000, 200), (1, 5, 0), (2, 5, 200)], 2.005, id="a slow answer before an outage"),
        pytest.param([(1, 5, 200), (0, 5, 503)], 1.005, id="not in order"),
        pytest.param([(0, 9, 503), (0, 3, 200)], 0.003, id="sent at once"),
        pytest.param([(0, 3, 200), (0, 9, 503)], 0.003, id="sent at once, the other way round"),
        pytest.param(
            [(0, 5, 503), (1, 5, 200), (4, 5, 503), (4.5, 5, 200)], 1.005, id="the longer of two outages"
        ),
    ],
)
def test_the_longest_gap_is_the_wait_of_one_who_keeps_asking(
    requests: list[tuple[float, float, int]], gap_s: float
) -> None:
    assert a_timeline(*requests).longest_gap_s() == pytest.approx(gap_s)


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results" / "20261124T211500Z-patch.json"
    result = patch_result()
    write_result(result, path)
    assert read_result(path) == result
    assert result_files([path.parent]) == [path]
    assert result.took_s == 21 * 60 + 14
    assert [*path.parent.iterdir()] == [path]


def test_a_result_that_cannot_be_written_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "20261124T211500Z-patch.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_result(patch_result(), path)
    assert [*tmp_path.iterdir()] == [path]


def test_results_are_found_oldest_first_whatever_their_folder(tmp_path: Path) -> None:
    for name in ("b/20260102T000000Z-x.json", "a/20260103T000000Z-x.json", "a/20260101T000000Z-y.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = result_files([tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert [path.name[:8] for path in found] == ["20260101", "20260102", "20260103"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", "{}", '{"format": 1', "[" * 100_000, '{"title": "no format"}'],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ResultError, match="holds no result"):
        read_result(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultError, match="holds no result"):
        read_result(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"nowhere\.json cannot be read: No such file"):
        read_result(tmp_path / "nowhere.json")


def test_a_newer_format_is_told_apart_from_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": FORMAT + 1, "unheard_of": True}))
    with pytest.raises(ResultError, match="written by a newer pairlab") as caught:
        read_result(path)
    assert "update" in caught.value.hint


def edited(**changes: Any) -> str:
    return json.dumps({**json.loads(patch_result().model_dump_json()), **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"format": "1.x"}, "format: "),
        ({"started": "2026-11-24T21:15:00"}, "started: .*timezone"),
        ({"repetitions": "many"}, "repetitions: "),
        ({"variants": []}, "'.*' is no figure or variant that it declares"),
        ({"figures": [], "findings": []}, "is no figure or variant that it declares"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(edited(**changes))
    with pytest.raises(ResultError, match=told):
        read_result(path)


def test_an_extra_field_deep_inside_is_named(tmp_path: Path) -> None:
    document = json.loads(patch_result().model_dump_json())
    document["timelines"][0]["marks"][0]["colour"] = "red"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=r"timelines\.0\.marks\.0\.colour: Extra inputs"):
        read_result(path)


def test_what_could_not_be_read_again_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Sample(figure="f", variant="v", repetition=0, value=float("nan"))
    with pytest.raises(ValidationError, match="one length"):
        Timeline.model_validate({**a_timeline((0, 1, 200)).model_dump(), "status": []})
    document = patch_result().model_dump()
    with pytest.raises(ValidationError, match="timezone"):
        RunResult.model_validate({**document, "started": datetime(2026, 1, 1)})
    with pytest.raises(ValidationError, match="the same key"):
        RunResult.model_validate({**document, "variants": document["variants"] * 2})
