"""What may be concluded from the samples of the startup exercise: what most of a start is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pairlab.exercise import _startup_figures as plan
from pairlab.results import Conclusion, Sample
from tests.report_worlds import patch_result


def most_of_a_vm(starts: Sequence[float], kernel: float) -> Conclusion:
    """What is said of starts of a VM, of each of which the workload took but a second."""
    phases = ((plan.FIRMWARE, 1.0), (plan.KERNEL, kernel), (plan.APP, 1.0))
    samples = [
        Sample(figure=figure.key, variant=plan.VM_WARM.key, repetition=number, value=value, instance="vm/0")
        for number, took_s in enumerate(starts)
        for figure, value in ((plan.START, took_s), *phases)
    ]
    result = patch_result().model_copy(update={"samples": samples, "variants": list(plan.VARIANTS)})
    (one,) = [each for each in plan.conclude(result) if each.text.startswith("Most of a VM's start")]
    return one


@pytest.mark.parametrize(
    ("starts", "kernel", "reason"),
    [
        ([8, 9, 10], 6, ""),
        ([8, 9, 14], 6, ": not more than half of each"),  # seven of fourteen seconds
        ([20, 20, 20], 6, ": not more than half of each"),  # though far more than the workload
        ([8, 9], 6, ": too few repetitions"),
    ],
)
def test_most_of_a_start_is_more_than_half_of_each(starts: list[float], kernel: float, reason: str) -> None:
    found = most_of_a_vm(starts, kernel)
    assert found.carried == (not reason)
    assert found.basis.endswith(f"n = {len(starts)}){reason}")
    assert found.basis.startswith("part of its start: its machine (firmware, kernel, init, seed) ")
    assert found.variants == [plan.VM_WARM.key]


def test_nothing_is_said_of_starts_that_were_not_measured() -> None:
    found = most_of_a_vm([], 6)
    assert not found.carried
    assert found.basis.endswith(" not measured: too few repetitions")
