"""The patch exercise on a real lab with a real update: what it finds, and what is left when cut short."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from lab_commands import Commands, left_of

from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
END_TIMEOUT_S = 120


def only_result(folder: Path) -> RunResult:
    (path,) = folder.glob("*-patch.json")
    return read_result(path)


def verdicts(result: RunResult, variant: str, about: str) -> set[str]:
    return {f.verdict for f in result.findings if f.variant == variant and about in f.question}


def test_cut_short_it_keeps_what_it_measured_and_the_lab_goes_on(
    commands: Commands, lab: str, tmp_path: Path
) -> None:
    commands.run("lab.up", "--lab", lab)
    running = commands.start("exercise.run", "patch", "--lab", lab, "--out", str(tmp_path))
    assert running.stderr is not None
    seen = []
    for line in running.stderr:
        seen.append(line)
        if "Patch the VMs in place" in line:
            break
    assert "Patch the VMs in place" in seen[-1], "".join(seen)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=END_TIMEOUT_S)
    assert running.returncode == 130, rest
    assert "Traceback" not in rest
    result = only_result(tmp_path)
    assert not result.complete
    assert result.incomplete_reason == "it was interrupted"
    assert result.conclusions == []
    # The exercise works with two instances a side, each by an image and a declaration of its own.
    # The package repositories are there for the exercise alone.
    left = {f"pairlab-{lab}-{side}-packages exists and is not declared" for side in ("vm", "container")}
    assert left < set(commands.json("lab.status", "--lab", lab)["drift"])
    commands.run("lab.up", "--lab", lab)
    status = commands.json("lab.status", "--lab", lab)
    assert status["drift"] == []
    assert {instance["name"] for instance in status["instances"]} == {"vm/0", "container/0"}
    commands.run("lab.down", "--lab", lab, "--yes")
    assert left_of(lab) == set()


@pytest.mark.deep
def test_images_keep_an_update_and_running_containers_lose_it(
    commands: Commands, lab: str, tmp_path: Path
) -> None:
    words = ["--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(tmp_path), "--json"]
    printed = commands.run("exercise.run", "patch", *words, timeout_s=1500).stdout
    result = only_result(tmp_path)
    assert RunResult.model_validate(json.loads(printed)[0]) == result
    assert result.complete
    assert left_of(lab) == set()
    for variant in ("vm-rebuild", "container-rebuild"):
        assert verdicts(result, variant, "which version serves?") == {"yes"}
        assert set(result.values("drifted-packages", variant)) == {0}
        assert len(result.values("changed-files", variant)) == 2
        assert result.values("differing", variant) == [0]
        assert verdicts(result, variant, "is it again what its image holds?") == {"yes"}
    for variant in ("vm-in-place", "container-in-place"):
        assert min(result.values("drifted-packages", variant)) > 0
        assert min(result.values("changed-files", variant)) > 0
        assert verdicts(result, variant, "Pulumi's refresh") == {"no"}
        assert verdicts(result, variant, "scaled out by one") == {"no"}
        assert verdicts(result, variant, "is it again what its image holds?") == {"no"}
    for variant, verdict in (("vm-in-place", "yes"), ("vm-rebuild", "yes"), ("container-in-place", "cannot")):
        assert verdicts(result, variant, "is the running process the patched one?") == {verdict}
    assert result.values("patched-last", "container-in-place") == []
    assert result.values("patched-in-all", "vm-in-place") == result.values("patched-last", "vm-in-place")
    for variant in ("vm-rebuild", "container-rebuild"):
        (built,), (last,), (in_all,) = (
            result.values(figure, variant) for figure in ("build", "patched-last", "patched-in-all")
        )
        assert in_all == pytest.approx(built + last)
    assert len(result.values("installed", "container-in-place")) == 1
    assert verdicts(result, "vm-in-place", "restarted") == {"yes"}
    assert verdicts(result, "vm-in-place", "killed: does anybody") == {"no"}
    assert verdicts(result, "container-in-place", "restarted") == {"no"}
    assert verdicts(result, "container-in-place", "killed: does anybody") == {"yes"}
    assert verdicts(result, "container-kernel", "kernel") == {"cannot"}
    assert verdicts(result, "vm-kernel", "boots its own disk") == {"yes"}
    assert verdicts(result, "vm-kernel", "whose kernel its host gives") == {"no"}
    (rebuilt_vm,), (rebuilt_container,) = (
        result.values("written", variant) for variant in ("vm-rebuild", "container-rebuild")
    )
    assert rebuilt_container < rebuilt_vm
    rolling, at_once = (
        result.values("longest-gap", variant)[0] for variant in ("vm-rebuild", "vm-rebuild-at-once")
    )
    assert rolling < at_once
    assert all(len(timeline.at_s) > 40 for timeline in result.timelines)
    assert {timeline.variant for timeline in result.timelines} == {
        f"{side}-{way}{order}"
        for side in ("vm", "container")
        for way in ("in-place", "rebuild")
        for order in ("", "-at-once")
    }


def test_an_unknown_exercise_or_lab_is_refused(commands: Commands, lab: str) -> None:
    unknown = commands.run("exercise.run", "patsch", "--lab", lab, check=False)
    assert unknown.returncode == 2
    assert "known exercises: " in unknown.stderr
    nowhere = commands.run("exercise.run", "patch", "--lab", lab, check=False)
    assert nowhere.returncode == 2
    assert "lab.up" in nowhere.stderr
    assert "patch" in commands.run("exercise.list").stdout
