"""The rollback exercise on a real lab: who goes back, what is lost, and what users notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S

from pairlab.exercise import _rollback_figures as plan
from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]
ROLLOUT, KEPT, BESIDE, SWITCHED = (variant.key for variant in plan.VARIANTS)


@pytest.fixture(scope="module")
def result(shared_results: dict[str, Path]) -> RunResult:
    return read_result(shared_results["rollback"])


def verdicts(result: RunResult, question: str) -> dict[str, str]:
    """Variant -> verdict on a question that was asked once."""
    return {f.variant: f.verdict for f in result.findings if f.question == question}


def only(result: RunResult, figure: str, variant: str) -> float:
    (value,) = result.values(figure, variant)
    return value


def test_it_is_complete(result: RunResult) -> None:
    assert result.complete
    assert {timeline.variant for timeline in result.timelines} == {ROLLOUT, KEPT, BESIDE, SWITCHED}


def test_only_an_orchestrator_goes_back_by_itself_and_only_a_vm_is_put_back(result: RunResult) -> None:
    assert verdicts(result, plan.WHO) == {
        ROLLOUT: "yes",
        KEPT: "no",
        BESIDE: "no",
        SWITCHED: "untried",
    }
    for variant in (KEPT, BESIDE):
        (seen,) = (f.answer for f in result.findings if f.question == plan.WHO and f.variant == variant)
        assert seen.startswith(f"nobody within {plan.WATCH_S:g} s: vm/")
        assert "still answers its health check with 500" in seen
    (said,) = (f.answer for f in result.findings if f.question == plan.WHO and f.variant == ROLLOUT)
    assert "took the release back" in said
    assert verdicts(result, plan.PUTS_BACK) == {ROLLOUT: "cannot", KEPT: "yes"}
    assert verdicts(result, plan.DECLARED) == {
        ROLLOUT: "no",
        KEPT: "yes",
        BESIDE: "yes",
        SWITCHED: "yes",
    }


def test_what_is_lost_is_what_a_snapshot_forgets_and_what_a_second_set_was_given(result: RunResult) -> None:
    every_way = (ROLLOUT, KEPT, BESIDE, SWITCHED)
    assert verdicts(result, plan.BEFORE) == dict.fromkeys(every_way, "yes")
    assert verdicts(result, plan.SINCE) == {ROLLOUT: "yes", KEPT: "no", BESIDE: "yes", SWITCHED: "no"}
    assert verdicts(result, plan.NEW_HAS) == {BESIDE: "no", SWITCHED: "no"}
    assert verdicts(result, plan.DRIFT) == dict.fromkeys(every_way, "yes")
    assert only(result, "lost", KEPT) > (plan.LOOKS - 1) * plan.LOOK_EVERY_S


def test_what_is_checked_before_it_serves_costs_no_request(result: RunResult) -> None:
    for variant in (ROLLOUT, BESIDE):
        assert only(result, "failed", variant) == only(result, "served", variant) == 0
    # Unchecked, it serves until the front door has noticed: whether somebody asks just then is chance.
    assert only(result, "served", KEPT) < only(result, "good-again", KEPT)
    assert only(result, "failed", KEPT) > 0 or only(result, "served", KEPT) == 0
    # To put memory back takes less than to boot a machine.
    assert only(result, "good-again", KEPT) < only(result, "good-again", BESIDE)
    for variant in (KEPT, BESIDE, SWITCHED):
        assert 0 < only(result, "back", variant) < only(result, "good-again", variant)


def test_a_switch_takes_everybody_along_and_its_way_back_needs_no_boot(result: RunResult) -> None:
    looked_s = (plan.LOOKS - 1) * plan.LOOK_EVERY_S
    assert only(result, "longest-gap", SWITCHED) > looked_s
    assert only(result, "failed", SWITCHED) > only(result, "failed", KEPT)
    # The second set had to boot; the first one never ended.
    assert only(result, "back", SWITCHED) < only(result, "good-again", BESIDE) / 2
