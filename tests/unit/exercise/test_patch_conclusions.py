"""What may be concluded from the samples of the patch exercise, and what may not."""

from __future__ import annotations

from pairlab.exercise import _patch_figures as plan
from pairlab.results import Conclusion, Finding, RunResult, Sample
from tests.report_worlds import patch_result

SERVES = ("restarted: which version serves?", "killed: which version serves?")


def result(values: dict[tuple[str, str], list[float]], verdicts: dict[str, list[str]]) -> RunResult:
    """A result with these samples of (figure, variant), and of each variant these verdicts a repetition."""
    samples = [
        Sample(figure=figure, variant=variant, repetition=number, value=value)
        for (figure, variant), listed in values.items()
        for number, value in enumerate(listed)
    ]
    findings = [
        Finding(variant=variant, repetition=number, question=question, answer="", verdict=verdict)  # type: ignore[arg-type]
        for variant, listed in verdicts.items()
        for number, verdict in enumerate(listed)
        for question in SERVES
    ]
    return patch_result().model_copy(
        update={
            "samples": samples,
            "findings": findings,
            "figures": list(plan.FIGURES),
            "variants": list(plan.VARIANTS),
        }
    )


def told(found: list[Conclusion], beginning: str) -> Conclusion:
    (one,) = [conclusion for conclusion in found if conclusion.text.startswith(beginning)]
    return one


def test_a_claim_needs_three_samples_that_do_not_overlap() -> None:
    claim = "Containers take a rebuilt image faster"
    fast, slow = ("patched-last", "container-rebuild"), ("patched-last", "vm-rebuild")
    clear = told(plan.conclude(result({fast: [10, 12, 11], slow: [30, 29, 31]}, {})), claim)
    assert clear.carried
    assert clear.variants == ["container-rebuild", "vm-rebuild"]
    assert "11 s (10 to 12, n = 3)" in clear.basis
    for other in ({fast: [10, 12, 30], slow: [30, 29, 31]}, {fast: [10, 12], slow: [30, 29, 31]}, {}):
        open_ = told(plan.conclude(result(other, {})), claim)
        assert not open_.carried
    assert "not measured" in open_.basis


def test_no_failed_request_is_a_claim_of_every_repetition() -> None:
    key = ("failed", "vm-rebuild")
    claim = "VMs, image rebuilt, one after the other: no request failed."
    assert told(plan.conclude(result({key: [0, 0, 0]}, {})), claim).carried
    assert not told(plan.conclude(result({key: [0, 1, 0]}, {})), claim).carried
    assert not told(plan.conclude(result({key: [0, 0]}, {})), claim).carried


def test_what_is_lost_is_named_and_differing_repetitions_carry_nothing() -> None:
    found = plan.conclude(result({}, {"container-in-place": ["no"] * 3, "vm-rebuild": ["yes"] * 3}))
    (gone,) = [c for c in found if "lost" in c.text]
    assert gone.carried
    assert gone.text.endswith("the update is lost when an instance is killed or restarted.")
    for open_ in (["no", "yes", "no"], ["no", "no"]):
        found = plan.conclude(result({}, {"container-in-place": open_}))
        assert not [c for c in found if "lost" in c.text and c.carried]


def test_a_process_that_stays_old_is_a_claim_when_it_was_so_each_time() -> None:
    def finding(number: int, verdict: str) -> Finding:
        return Finding(variant="container-in-place", repetition=number, question=plan.RUNS_IT, answer="",
                       verdict=verdict)  # type: ignore[arg-type]  # fmt: skip

    claim = "In a running container the package can be updated"
    for verdicts, carried in (
        (["cannot"] * 3, True),
        (["cannot", "yes", "cannot"], False),
        (["cannot"], False),
    ):
        listed = [finding(number, verdict) for number, verdict in enumerate(verdicts)]
        found = plan.conclude(result({}, {}).model_copy(update={"findings": listed}))
        assert told(found, claim).carried is carried
