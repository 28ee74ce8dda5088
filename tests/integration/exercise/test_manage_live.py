"""The manage exercise on a real lab: which tool does what, and that all of it is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S

from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHARED_TIMEOUT_S)]


@pytest.fixture(scope="module")
def result(shared_results: dict[str, Path]) -> RunResult:
    return read_result(shared_results["manage"])


def one(result: RunResult, figure: str, variant: str) -> float:
    (value,) = result.values(figure, variant)
    return value


def test_only_one_stack_keeps_what_happens_to_an_instance_and_either_log_can_be_read(
    result: RunResult,
) -> None:
    assert result.complete
    assert (one(result, "possible", "vm"), one(result, "possible", "container")) == (11, 12)
    verdicts = {(f.variant, f.question): f.verdict for f in result.findings}
    happened, log = "read what happened to it: by which command?", "read its log: by which command?"
    assert (verdicts["vm", happened], verdicts["container", happened]) == ("cannot", "yes")
    assert (verdicts["vm", log], verdicts["container", log]) == ("yes", "yes")


def test_one_tool_does_it_all_for_containers(result: RunResult) -> None:
    assert one(result, "tools", "container") == 1
    assert one(result, "tools", "vm") == 3
    commands = {
        f.variant: f.answer for f in result.findings if f.question.startswith("run a command inside: by")
    }
    assert commands["vm"].startswith("ssh lab@10.")
    assert commands["container"].startswith("docker --host ")


def test_every_command_that_worked_was_timed(result: RunResult) -> None:
    for variant, expected in (("vm", 11), ("container", 12)):
        times = [s.value for s in result.samples if s.variant == variant and s.figure.startswith("time-")]
        assert len(times) == expected
        assert min(times) > 0
    assert one(result, "lines-inspect", "vm") > 20
    assert all(one(result, "lines-log", side) > 0 for side in ("vm", "container"))
    assert one(result, "lines-events", "container") > 0


def test_a_vm_s_image_is_all_that_it_starts_from(result: RunResult) -> None:
    question = "write its image into files for another host: by which command?"
    (answer,) = [f.answer for f in result.findings if f.variant == "vm" and f.question == question]
    assert answer.count("vol-download") == 3
    assert all(f" ./{part} " in answer for part in ("disk", "kernel", "initrd"))
    assert answer.endswith(" MiB")
