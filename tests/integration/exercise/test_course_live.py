"""Several exercises on a real lab, interrupted in the middle and resumed: nothing is measured twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from lab_commands import Commands, left_of, until

from pairlab.results import RunResult
from pairlab.session.stage import LabStage
from pairlab.session.workbench import Workbench

pytestmark = [pytest.mark.integration, pytest.mark.deep, pytest.mark.timeout(900)]
RUN = ("exercise.run", "manage,stack", "--ephemeral")


def kept(folder: Path) -> dict[str, RunResult]:
    read = (RunResult.model_validate_json(path.read_text()) for path in folder.glob("*.json"))
    return {result.exercise: result for result in read}


def test_an_interrupted_course_goes_on_where_it_was(commands: Commands, lab: str, tmp_path: Path) -> None:
    where = ("--lab", lab, "--out", str(tmp_path))
    started = commands.start(*RUN, "--repeat", "4", *where)

    def in_a_later_repetition() -> bool:
        assert started.poll() is None, started.communicate()
        found = kept(tmp_path).get("stack")
        return found is not None and 1 <= found.finished <= max(s.repetition for s in found.samples)

    until(in_a_later_repetition, timeout_s=400)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "--resume goes on" in said
    assert left_of(lab) == set()
    before = kept(tmp_path)
    assert before["manage"].complete
    assert (before["stack"].complete, before["stack"].incomplete_reason) == (False, "it was interrupted")
    finished = before["stack"].finished

    done = commands.run(*RUN, "--resume", *where)
    assert "manage: complete since" in done.stderr
    assert f"stack: goes on with repetition {finished + 1} of 4" in done.stderr
    assert left_of(lab) == set()
    after = kept(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert after["manage"] == before["manage"]
    assert after["stack"].complete
    assert [stretch.repetitions for stretch in after["stack"].stretches] == [finished, 4 - finished]
    first = [sample for sample in before["stack"].samples if sample.repetition < finished]
    assert [sample for sample in after["stack"].samples if sample.repetition < finished] == first
    counts = {n: sum(s.repetition == n for s in after["stack"].samples) for n in range(4)}
    # What instances hold is weighed in the first one only, for it grows.
    assert counts[0] > counts[1] == counts[2] == counts[3], counts

    listed = json.loads(commands.run("exercise.run", "stack", "--resume", *where, "--json").stdout)
    assert [each["exercise"] for each in listed] == ["stack"]  # complete: no lab is needed


def test_what_a_failed_exercise_left_inside_an_instance_is_put_right(
    commands: Commands, lab: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(commands.state))
    commands.run("lab.up", "--lab", lab, "--yes")
    commands.run("lab.exec", "vm/0", "sudo systemctl stop nginx", "--lab", lab)
    told: list[str] = []
    LabStage(Workbench(told.append), lab).restore()
    assert any(line.startswith("replacing every instance: ") for line in told)
    found = commands.json("lab.status", "--lab", lab)
    assert (found["drift"], found["problems"]) == ([], [])
    assert [door["answer"] for door in found["doors"]] == ["200", "200"]
