"""The stack exercise on a real lab: which layers there are, who shares them, and that nothing was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S, Commands

from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture(scope="module")
def result(shared_results: dict[str, Path]) -> RunResult:
    return read_result(shared_results["stack"])


def one(result: RunResult, figure: str, variant: str) -> float:
    (value,) = result.values(figure, variant)
    return value


def test_only_vms_have_a_kernel_of_their_own(result: RunResult) -> None:
    assert result.complete
    found = {f.variant: f for f in result.findings if "kernel another one" in f.question}
    assert found["vm"].verdict == "yes"
    assert found["container"].verdict == "no"
    hosts = BOOT_ID.read_text().strip()
    assert found["vm"].answer.count(hosts) == 1
    assert found["container"].answer.count(hosts) == 2
    absent = {(layer.variant, layer.name) for layer in result.layers if layer.scope == "none"}
    assert absent == {
        ("vm", "orchestrator"),
        *(("container", name) for name in ("kernel of its own", "init", "other services")),
    }


def test_one_more_vm_costs_more_than_one_more_container(result: RunResult) -> None:
    for figure in ("instance-memory", "instance-processes", "instance-disk", "packages", "disk-image"):
        assert 0 <= one(result, figure, "container") < one(result, figure, "vm"), figure


def test_a_vms_inside_fits_into_what_it_holds(result: RunResult) -> None:
    parts = ("kernel", "init", "services", "app")
    inside = [one(result, f"memory-{part}", "vm") for part in parts]
    assert min(inside) > 0
    assert sum(inside) < one(result, "memory-boundary", "vm") < 256 * 1024**2
    assert one(result, "processes-kernel", "vm") > 10
    assert one(result, "processes-init", "vm") == 1
    # The same program with the same settings, on both sides.
    assert one(result, "processes-app", "vm") == one(result, "processes-app", "container") == 2


def test_engines_are_there_once(result: RunResult) -> None:
    for variant in ("vm", "container"):
        assert one(result, "processes-engine", variant) >= 2
        assert one(result, "memory-engine", variant) > 1024**2
        assert one(result, "disk-engine", variant) > 10 * 1024**2
        (layer,) = [e for e in result.layers if e.variant == variant and e.name == "engine"]
        assert layer.scope == "side"


def test_the_report_draws_both_stacks(
    commands: Commands, shared_results: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    commands.run("report.html", "--result", str(shared_results["stack"]), "--out", str(page))
    assert page.read_text().count('<svg class="stack ') == 2
