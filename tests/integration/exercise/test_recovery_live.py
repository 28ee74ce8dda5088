"""The recovery exercise on a real lab: who brings back what, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_commands import Commands, left_of

from pairlab.host.daemons import is_ours
from pairlab.host.steps import Ledger
from pairlab.model import state_dir
from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.deep, pytest.mark.timeout(1200)]
ENGINES = {"libvirtd": "vm-engine", "dockerd": "container-engine"}
BY_ITSELF = {"vm-app-restart", "vm-panic-restart", "container-app", "container-hung", "container-killed"}
BY_HAND = {
    "vm-app", "vm-hung", "vm-killed", "vm-frozen", "vm-panic", "container-frozen", "container-alone",
}  # fmt: skip


def verdicts(result: RunResult, about: str, verdict: str) -> set[str]:
    """Variants of which a question had this answer."""
    return {f.variant for f in result.findings if about in f.question and f.verdict == verdict}


@pytest.fixture(scope="module")
def may_be_ended(commands: Commands) -> Iterator[set[str]]:
    """Daemons that were started on this host for labs; the tests' own state knows them too."""
    usual, own = Ledger(state_dir() / "host.json"), Ledger(commands.state / "host.json")
    ours = {name: each for name, each in usual.entries().items() if name in ENGINES and is_ours(name, each)}
    for name, entry in ours.items():
        own.record(name, entry)
    yield set(ours)
    for name in ours:  # which process it is now
        usual.record(name, own.entries()[name])


@pytest.fixture(scope="module")
def result(
    commands: Commands, lab: str, may_be_ended: set[str], tmp_path_factory: pytest.TempPathFactory
) -> RunResult:
    out = tmp_path_factory.mktemp("results")
    words = ["--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(out)]
    commands.run("exercise.run", "recovery", *words, timeout_s=1000)
    (path,) = out.glob("*-recovery.json")
    return read_result(path)


def test_it_is_complete_and_nothing_is_left(result: RunResult, lab: str) -> None:
    assert result.complete
    assert left_of(lab) == set()
    ended = {timeline.variant for timeline in result.timelines} - BY_ITSELF - BY_HAND
    refused = verdicts(result, "do all go on serving?", "untried")
    assert ended | refused == {"vm-engine", "container-engine"}
    assert not ended & refused


def test_vms_need_no_engine_to_serve_and_containers_do(result: RunResult, may_be_ended: set[str]) -> None:
    told = {f.variant: f for f in result.findings if "do all go on serving?" in f.question}
    tried = {name for name, variant in ENGINES.items() if told[variant].verdict != "untried"}
    assert tried == may_be_ended
    for variant, verdict in (("vm-engine", "yes"), ("container-engine", "no")):
        if told[variant].verdict in (
            "yes",
            "no",
        ):  # otherwise systemd was too quick, or it is not to be ended
            assert told[variant].verdict == verdict
            assert verdicts(result, "do those before run on?", verdict) >= {variant}
            assert (", and 0 of " in told[variant].answer) == (verdict == "yes")
            assert result.values("failed", variant) == []


def test_supervisors_bring_back_what_they_see_and_are_told_to(result: RunResult) -> None:
    engines = {"vm-engine", "container-engine"}
    assert verdicts(result, "who brings it back?", "yes") - engines == BY_ITSELF
    assert verdicts(result, "who brings it back?", "no") - engines == BY_HAND
    nobody = {f.variant: f.answer for f in result.findings if f.answer.startswith("nobody within")}
    assert nobody["container-frozen"] == "nobody within 40 s, though the orchestrator is told to"
    assert {nobody[variant].partition(", ")[2] for variant in BY_HAND - {"container-frozen"}} == {
        "and nobody is told to"
    }
    assert {s.variant for s in result.samples if s.figure == "out"} == BY_ITSELF
    assert {s.variant for s in result.samples if s.figure == "by-hand"} - engines == BY_HAND


def test_libvirt_acts_on_a_panic_that_it_is_told_of_and_sees_no_other(result: RunResult) -> None:
    about = {(f.variant, f.question): f.answer for f in result.findings}
    assert about["vm-panic-restart", "who brings it back?"] == "libvirt, as it is told"
    assert about["vm-panic", "does its stack know?"] == "libvirt says 'running'"


def test_who_knows_is_not_who_acts(result: RunResult) -> None:
    known = {"vm-app", "vm-killed", "vm-frozen", "container-alone"}
    assert verdicts(result, "does its stack know?", "yes") == known
    assert verdicts(result, "does its stack know?", "no") == BY_HAND - known
    # Pulumi compares machines, and the order to restart; not what happens inside.
    assert verdicts(result, "does Pulumi's refresh see it?", "yes") == {"vm-killed", "vm-frozen"}
    assert verdicts(result, "main process be killed from inside", "cannot") == {"container-app"}
    (shipped,) = (f.answer for f in result.findings if f.variant == "vm-app" and "stack know" in f.question)
    assert "ActiveState=failed" in shipped
    assert "Restart=no" in shipped


def test_a_frozen_vm_is_avoided_without_failures_and_its_clock_stood_still(result: RunResult) -> None:
    failed = {variant: result.values("failed", variant)[0] for variant in ("vm-frozen", "container-frozen")}
    assert failed["vm-frozen"] < failed["container-frozen"]
    behind = {variant: result.values("clock-behind", variant)[0] for variant in failed}
    assert behind["container-frozen"] < 1 < behind["vm-frozen"]


def test_a_hang_takes_longer_to_be_noticed_than_an_end(result: RunResult) -> None:
    out = {variant: result.values("out", variant)[0] for variant in BY_ITSELF}
    assert out["container-killed"] < out["container-hung"]
    assert out["vm-app-restart"] < out["container-hung"]
