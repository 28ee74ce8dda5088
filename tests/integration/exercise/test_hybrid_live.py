"""The hybrid exercise on a real lab: both really serve, each has the kernel that it should, and all goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import Commands, left_of

from pairlab.exercise import _hybrid_figures as plan
from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.deep, pytest.mark.timeout(900)]
VARIANTS = [variant.key for variant in plan.FOUR]


def one(result: RunResult, figure: str, variant: str) -> float:
    (value,) = result.values(figure, variant)
    return value


def verdicts(result: RunResult, question: str) -> dict[str, str]:
    return {each.variant: each.verdict for each in result.findings if each.question == question}


def test_each_stack_runs_in_the_other_and_serves(commands: Commands, lab: str, tmp_path: Path) -> None:
    words = ["--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(tmp_path)]
    commands.run("exercise.run", "hybrid", *words, timeout_s=800)
    (path,) = tmp_path.glob("*-hybrid.json")
    result = read_result(path)
    assert result.complete
    assert left_of(lab) == set()

    starts = {variant: one(result, "start", variant) for variant in VARIANTS}
    assert starts["container"] < starts["vm"] < starts["container-in-vm"]
    assert starts["container"] < starts["vm-in-container"]
    assert 0 < one(result, "start-inner", "container-in-vm") < starts["container-in-vm"]
    assert one(result, "sent", "container-in-vm") == one(result, "image", "container")
    for figure in ("memory", "image"):
        amounts = {variant: one(result, figure, variant) for variant in VARIANTS}
        assert amounts["container"] < min(amounts[each] for each in VARIANTS if each != "container"), figure
    assert all(one(result, "p50", variant) > 0 for variant in VARIANTS)
    assert one(result, "processes", "vm-in-container") >= 2  # QEMU, and the shim

    for share in plan.SHARES:
        kept = {variant: one(result, share.key, variant) for variant in VARIANTS}
        assert kept["container"] > max(kept[each] for each in VARIANTS if each != "container"), share.key
    assert all(one(result, speed.key, "host") > 0 for speed in plan.SPEEDS)

    kernels = verdicts(result, plan.THE_KERNEL)
    assert kernels == {"vm": "yes", "container": "no", "container-in-vm": "yes", "vm-in-container": "yes"}
    assert verdicts(result, plan.SAME_IMAGE) == {"container-in-vm": "yes"}
    assert verdicts(result, plan.PRIVILEGES) == {"vm-in-container": "yes"}
    assert verdicts(result, plan.HARDWARE) == {"vm-in-container": "cannot"}
    assert {timeline.variant for timeline in result.timelines} == {"vm", "container"}
    # With one repetition nothing is claimed.
    assert not [conclusion for conclusion in result.conclusions if conclusion.carried]
