"""What may be concluded from footprints, and what may not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from pairlab.exercise import _footprint_figures as plan
from pairlab.exercise.footprint import Weighed, _most_bytes
from pairlab.results import Conclusion, RunResult, Sample
from pairlab.side import Footprint
from tests.report_worlds import patch_result

MIB = 1024**2


def conclude(values: Mapping[tuple[str, str], Sequence[float]], repetitions: int = 99) -> list[Conclusion]:
    samples = [
        Sample(
            figure=figure, variant=variant, repetition=number % repetitions, value=value,
            instance=f"{number // repetitions}",
        )
        for (figure, variant), listed in values.items()
        for number, value in enumerate(listed)
    ]  # fmt: skip
    changes = {"figures": list(plan.FIGURES), "variants": list(plan.VARIANTS), "samples": samples}
    result: RunResult = patch_result().model_copy(update=changes)
    return plan.conclude(result)


def told(found: Sequence[Conclusion], beginning: str) -> Conclusion:
    (one,) = [conclusion for conclusion in found if conclusion.text.startswith(beginning)]
    return one


def of_counts(
    key: str, variant: str, per_instance: Sequence[float], base: float
) -> dict[tuple[str, str], list[float]]:
    return {
        (f"{key}-of-{count}", variant): [base + count * each for each in per_instance]
        for count in plan.COUNTS
    }  # fmt: skip


def test_the_slope_is_that_of_all_repetitions_with_its_interval() -> None:
    found = conclude(of_counts("memory", "vm-rest", [300 * MIB, 310 * MIB, 305 * MIB], 50 * MIB))
    slope = told(found, "Each further VM takes 305 MiB")
    assert slope.text.endswith("without what its engine takes for it.")
    assert slope.carried
    assert "through 9 measurements of 1, 2 and 4 instances" in slope.basis
    assert "50 MiB for none" in slope.basis
    assert slope.variants == ["vm-rest"]


@pytest.mark.parametrize("per_instance", [[300 * MIB] * 2, [300 * MIB, -400 * MIB, 900 * MIB]])
def test_too_few_or_too_scattered_measurements_carry_no_slope(per_instance: list[float]) -> None:
    found = conclude(of_counts("memory", "container-rest", per_instance, 0))
    (slope,) = [c for c in found if "give or take" in c.text]
    assert slope.variants == ["container-rest"]
    assert not slope.carried


def test_how_many_more_fit_is_told_with_the_limit_if_all_was_used() -> None:
    found = conclude(
        {
            ("fit", "vm-rest"): [60, 62, 61],
            ("available", "vm-rest"): [16 * 1024 * MIB] * 3,
            ("most", "vm-rest"): [256 * MIB] * 3,
        }
    )
    fit = told(found, "By memory alone, and by their own, about 61 further VMs would fit")
    assert fit.text.endswith("without what their engine takes for them, and whatever CPU they use.")
    assert fit.carried
    assert "16 GiB" in fit.basis
    assert "60 to 62" in fit.basis
    assert "; 64 if each used all that it may" in fit.basis


def test_an_emulated_vm_is_also_compared_without_what_emulation_needs() -> None:
    emulated = {
        ("memory", "vm-rest"): [500.0 * MIB] * 3,
        ("translated", "vm-rest"): [350.0 * MIB] * 3,
        ("memory", "container-rest"): [10.0 * MIB] * 3,
    }
    found = conclude(emulated)
    without = told(found, "Even without the code that emulation translated")
    assert without.carried
    assert "150 MiB" in without.basis
    share = told(found, "About 70% of an emulated VM's memory")
    assert share.carried
    assert "350 MiB" in share.basis
    hardware = conclude({**emulated, ("translated", "vm-rest"): [0, 0, 0]})
    assert not [c for c in hardware if "emulat" in c.text]


def test_no_sample_no_claim() -> None:
    assert not any(conclusion.carried for conclusion in conclude({}))


def test_the_instances_of_one_repetition_carry_no_claim() -> None:
    measured = {
        ("memory", "vm-rest"): [500.0 * MIB] * 4,
        ("translated", "vm-rest"): [350.0 * MIB] * 4,
        ("memory", "container-rest"): [10.0 * MIB] * 4,
    }
    assert not any(conclusion.carried for conclusion in conclude(measured, repetitions=1))
    less = told(conclude(measured, repetitions=1), "A container takes less of its host's memory")
    assert less.basis.endswith("n = 4): too few repetitions")


def test_what_instances_share_counts_once() -> None:
    one = Footprint(100, 0, None, None, None, 0, 1, 1, 1, own_disk_bytes=7, shared_disk_bytes=1000)
    weighed = Weighed({"vm/0": one, "vm/1": one})
    assert weighed.disk_bytes == 1014
    assert weighed.memory_bytes == 200


def test_what_it_may_use_at_most_has_what_is_beside_it() -> None:
    vm = Footprint(500, 0, 100, 350, None, 256, 1, 1, 1, 0, 0)
    container = Footprint(50, 20, None, None, None, 128, 3, 3, 9, 0, 0)
    assert _most_bytes(vm) == 256 + 400
    assert _most_bytes(container) == 128 + 20
    assert _most_bytes(dataclasses.replace(container, given_bytes=0)) is None
