"""The startup exercise on a real lab: in which direction its figures point, and that they add up."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S

from pairlab.exercise import _startup_figures as plan
from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]
MACHINE = {"firmware", "kernel", "init", "seed"}


def phases(result: RunResult, variant: str) -> dict[str, float]:
    """Median-free: the sum of each phase's samples."""
    return {phase.key: sum(result.values(phase.key, variant)) for phase in plan.PHASES}


def test_a_vm_starts_a_machine_and_a_container_only_its_workload(
    shared_results: dict[str, Path],
) -> None:
    result = read_result(shared_results["startup"])
    assert result.complete
    for way in ("cold", "warm", "all"):
        vm, container = f"vm-{way}", f"container-{way}"
        assert min(result.values("start", vm)) > min(result.values("start", container)) > 0
        assert min(result.values("serving", vm)) > max(result.values("app", container))
        for variant in (vm, container):
            took = phases(result, variant)
            assert sum(took.values()) == pytest.approx(sum(result.values("start", variant)))
            assert (took["declare"] > 0) == (way == "cold")
            assert len(result.values("all", variant)) == (way == "all")
        assert all(phases(result, vm)[key] > 0 for key in MACHINE)
        assert not any(phases(result, container)[key] for key in MACHINE)
        assert phases(result, vm)["trust"] == 0
        assert phases(result, container)["trust"] > 0
    assert max(result.values("stop", "container-warm")) < min(result.values("stop", "vm-warm"))
    for variant in ("vm-warm", "container-warm"):
        starts, stops = result.values("start", variant), result.values("stop", variant)
        assert all(out > start + stop - 0.1 for out, start, stop in
                   zip(result.values("restart", variant), starts, stops, strict=True))  # fmt: skip
    found = defaultdict(set)
    for finding in result.findings:
        found[finding.variant].add(f"{finding.question} {finding.verdict}: {finding.answer}")
    assert any("has it the disk that it had? fact: yes" in each for each in found["vm-warm"])
    assert any("has it the disk that it had? fact: no" in each for each in found["container-warm"])
    assert any("until somebody starts it? cannot: Swarm" in each for each in found["container-warm"])
    # With one repetition nothing is claimed, however many instances there are.
    assert not any(each.carried for each in result.conclusions)
