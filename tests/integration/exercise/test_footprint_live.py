"""The footprint exercise on a real lab: in which direction its figures point."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S

from pairlab.exercise._footprint_figures import COUNTS
from pairlab.result_files import read_result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]
VARIANTS = ("vm-rest", "container-rest", "vm-serving", "container-serving")


def test_a_vm_takes_more_of_its_host_and_instances_share_their_image(
    shared_results: dict[str, Path],
) -> None:
    result = read_result(shared_results["footprint"])
    assert result.complete
    for variant in VARIANTS:
        for figure in ("memory", "kernel", "charged", "processes", "threads", "inside", "descriptors"):
            samples = [s for s in result.samples if (s.figure, s.variant) == (figure, variant)]
            assert len({s.instance for s in samples}) == max(COUNTS), (figure, variant)
            assert min(s.value for s in samples) > 0
    for state in ("rest", "serving"):
        vm, container = f"vm-{state}", f"container-{state}"
        for figure in ("memory", "charged", "most", "own-disk", "shared-disk", "inside"):
            assert min(result.values(figure, vm)) > max(result.values(figure, container)), (figure, state)
        assert set(result.values("processes", vm)) == {1}
        assert min(result.values("processes", container)) >= 3  # a shim, a master, a worker
        holders, wholes = result.values("holder", container), result.values("memory", container)
        assert all(0 < part < whole for part, whole in zip(holders, wholes, strict=True))
        translated = result.values("translated", vm)
        assert all((part > 0) == (result.environment.accelerator == "tcg") for part in translated)
        assert all(part < whole for part, whole in zip(translated, result.values("memory", vm), strict=True))
    for variant in ("vm-rest", "container-rest"):
        for figure in ("memory", "disk"):
            one, two, four = (result.values(f"{figure}-of-{count}", variant)[0] for count in COUNTS)
            assert one < two < four
        one, two = (result.values(f"disk-of-{count}", variant)[0] for count in COUNTS[:2])
        assert two - one < one / 2
        assert 0 < result.values("further", variant)[0] < result.values("available", variant)[0]
    assert result.values("further", "container-rest")[0] < result.values("further", "vm-rest")[0]
    assert result.values("fit", "container-rest")[0] > result.values("fit", "vm-rest")[0]
