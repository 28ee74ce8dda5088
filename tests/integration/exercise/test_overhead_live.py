"""The overhead exercise on a real lab: the same programs everywhere, and how their speeds compare."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import Commands, left_of

from pairlab.exercise import _overhead_figures as plan
from pairlab.exercise._overhead_place import NAME, SCRATCH
from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.deep, pytest.mark.timeout(900)]
COMPUTE = (plan.INTEGER, plan.FLOAT, plan.MEMORY)


@pytest.fixture(scope="module")
def result(commands: Commands, lab: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("results")
    before = set(Path(SCRATCH).glob(f"{NAME}*"))
    words = ["--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(folder)]
    commands.run("exercise.run", "overhead", *words, timeout_s=800)
    assert left_of(lab) == set()
    assert set(Path(SCRATCH).glob(f"{NAME}*")) == before
    (path,) = folder.glob("*-overhead.json")
    return read_result(path)


def one(result: RunResult, figure: plan.Figure, variant: str) -> float:
    (value,) = result.values(figure.key, variant)
    return value


def test_every_speed_was_measured_in_every_place_by_the_same_programs(result: RunResult) -> None:
    assert result.complete
    places = [variant.key for variant in plan.VARIANTS]
    assert all(one(result, figure, place) > 0 for figure in plan.SPEEDS for place in places)
    answers = {(f.question, f.variant): f for f in result.findings}
    assert len({answers[plan.SAME, place].answer for place in places}) == 1
    assert [answers[plan.CPUS, place].verdict for place in places] == ["yes"] * 3
    assert answers[plan.CACHE, "host"].verdict == "fact"
    assert all("O_DIRECT" in answers[plan.STORAGE, place].answer for place in places)
    assert answers[plan.STORAGE, "container"].answer.startswith("overlay, ")
    assert answers[plan.STORAGE, "vm"].answer.startswith("ext4 on /dev/vda")
    assert "seccomp" in answers[plan.FILTER, "container"].answer
    assert answers[plan.FILTER, "vm"].answer == "none"


def test_a_container_computes_about_as_fast_as_its_host(result: RunResult) -> None:
    # One second each on a machine that others may use too: a factor, not a few per cent.
    assert all(50 < one(result, plan.SHARES[figure.key], "container") < 200 for figure in COMPUTE)


def test_emulation_costs_a_multiple_where_a_guest_computes_or_asks_its_kernel(result: RunResult) -> None:
    emulated = result.environment.accelerator == "tcg"
    for figure in (*COMPUTE, plan.FLOAT_ALL, plan.CALLS, plan.FORKS):
        container, vm = (one(result, plan.SHARES[figure.key], place) for place in ("container", "vm"))
        assert (vm < container / 2) == emulated, figure.key
    assert [v.title for v in result.variants if v.key == "vm"] == [plan.HOW[result.environment.accelerator]]  # type: ignore[index]


def test_several_cores_do_more_than_one_in_every_place(result: RunResult) -> None:
    if result.environment.cores > 1:
        for place in plan.VARIANTS:
            assert one(result, plan.FLOAT_ALL, place.key) > 1.2 * one(result, plan.FLOAT, place.key)


def test_whoever_disturbs_is_named(result: RunResult) -> None:
    for place in plan.VARIANTS:
        (quiet,) = [f for f in result.findings if (f.question, f.variant) == (plan.QUIET, place.key)]
        others = result.values(plan.OTHERS.key, place.key)
        stolen = result.values(plan.STOLEN.key, place.key)
        disturbed = max(others) > plan.BUSY_PERCENT or max(stolen) > plan.STOLEN_PERCENT
        assert (quiet.verdict == "no") == disturbed
    assert len(result.values(plan.STOLEN_INSIDE.key, "vm")) == len(plan.SPEEDS)
