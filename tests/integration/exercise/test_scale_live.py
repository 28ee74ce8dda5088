"""The scale exercise on a real lab: more instances come, cost something, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S

from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]
SIDES = ("vm", "container")


@pytest.fixture(scope="module")
def result(shared_results: dict[str, Path]) -> RunResult:
    return read_result(shared_results["scale"])


def only(result: RunResult, figure: str, variant: str) -> float:
    (value,) = result.values(figure, variant)
    return value


def test_it_is_complete(result: RunResult) -> None:
    assert result.complete
    kinds = [f"{side}-{what}" for side in SIDES for what in ("out", "back", "spike-few", "spike-many")]
    assert {timeline.variant for timeline in result.timelines} == set(kinds)


def test_new_instances_serve_and_growing_loses_no_request(result: RunResult) -> None:
    for side in SIDES:
        first, last = (only(result, figure, f"{side}-out") for figure in ("first-ready", "last-ready"))
        assert 0 < only(result, "engine", f"{side}-out") < first <= last
        assert only(result, "failed", f"{side}-out") == 0
    # A container needs no kernel, whatever runs the VMs.
    assert only(result, "last-ready", "container-out") < only(result, "last-ready", "vm-out")


def test_an_idle_container_costs_less_than_an_idle_vm(result: RunResult) -> None:
    for figure in ("spare-memory", "spare-disk"):
        spares = {side: result.values(figure, f"{side}-out") for side in SIDES}
        assert [len(values) for values in spares.values()] == [2, 2]
        assert max(spares["container"]) < min(spares["vm"])
        assert min(spares["container"]) >= 0
    named = {sample.instance for sample in result.samples if sample.figure == "spare-memory"}
    assert named == {"vm/2", "vm/3", "container/2", "container/3"}
    assert only(result, "host-memory-taken", "vm-out") > only(result, "host-memory-taken", "container-out")


def test_a_spike_is_over_after_a_while(result: RunResult) -> None:
    for side in SIDES:
        for count in ("few", "many"):
            variant = f"{side}-spike-{count}"
            steady, spike = (
                t for t in sorted(result.timelines, key=lambda t: t.rate_hz) if t.variant == variant
            )
            assert (steady.rate_hz, spike.rate_hz) == (20, 600)
            assert len(spike.at_s) >= 1800
            assert 0 <= only(result, "back-to-normal", variant) < 60
            assert 0 < only(result, "p50-before", variant) <= only(result, "p99-before", variant)


def test_shrinking_gives_everything_back(result: RunResult) -> None:
    for side in SIDES:
        assert only(result, "given-back", f"{side}-back") > 0
    assert only(result, "host-memory-back", "vm-back") > 0
