"""What the recovery exercise reads from requests and findings, and what it does to processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import _inside
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._client import Request
from pairlab.exercise._guide import sections
from pairlab.exercise._recovery_faults import Fault, VmApp, VmKilled
from pairlab.exercise.recovery import FAULTS, LabExercise, silence
from pairlab.model import Instance, SideName, Workload
from pairlab.results import Finding, RunResult, Sample, Variant, Verdict
from pairlab.run import LocalRunner
from stacks.pair import WEB
from tests.report_worlds import patch_result
from tests.unit.host.answering_runner import AnsweringRunner


def answers(instance: str, *moments: float, status: int = 200) -> list[Request]:
    return [Request(at - 0.01, at, status, instance if status == 200 else "", "1") for at in moments]


def test_a_silence_is_the_longest_one_that_ends_after_the_fault() -> None:
    requests = [
        *answers("vm/0", 1.0, 3.0, 3.1, 3.2, 4.5, 4.6, 4.9),
        *answers("vm/1", 1.0, 2.0, 3.5, 4.0, 4.5),
        *answers("vm/0", 3.6, 3.8, status=503),
    ]
    assert silence(requests, "vm/0", 3.15) == (3.2, 4.5)
    assert silence(reversed(requests), "vm/0", 3.15) == (3.2, 4.5)
    with pytest.raises(ExerciseError, match="vm/0 did not answer"):
        silence(requests, "vm/0", 5.0)


LONGEST_REPAIR_S = 3 * (2 + 5) + 5 + 1 + 5
"""Of a container that hangs: failed health checks, grace, delay, and a start that passes its health check."""
NOBODY: tuple[Verdict, str] = ("no", "nobody within 4 s, and nobody is told to")
SWARM: tuple[Verdict, str] = ("yes", "the orchestrator, as it is told")


def finished(who: dict[Variant, list[tuple[Verdict, str]]], out: dict[Variant, list[float]]) -> RunResult:
    """A run with these findings, and these seconds by supervisors; of the rest nothing was measured."""
    return patch_result().model_copy(
        update={
            "figures": list(plan.FIGURES),
            "variants": list(plan.VARIANTS),
            "findings": [
                Finding(variant=variant.key, repetition=n, question=plan.WHO, answer=answer, verdict=verdict)
                for variant, answers in who.items()
                for n, (verdict, answer) in enumerate(answers)
            ],
            "samples": [
                Sample(figure=plan.OUT.key, variant=variant.key, repetition=n, value=value)
                for variant, values in out.items()
                for n, value in enumerate(values)
            ],
        }
    )


def test_what_each_repetition_found_is_claimed_and_nothing_else() -> None:
    result = finished(
        {
            plan.VM_KILLED: [NOBODY] * 3,
            plan.CONTAINER_KILLED: [SWARM] * 3,
            plan.VM_APP: [NOBODY, ("yes", "systemd, as it is told"), NOBODY],
            plan.VM_FROZEN: [NOBODY, NOBODY, ("no", "nobody within 7 s, and nobody is told to")],
            plan.CONTAINER_HUNG: [SWARM] * 2,
        },
        {plan.VM_APP_TOLD: [0.4, 0.5, 0.6], plan.CONTAINER_KILLED: [2.0, 2.5, 3.0]},
    )
    claimed = [c.text for c in plan.conclude(result) if c.carried]
    assert claimed == [
        "VMs, instance killed: brought back by nobody within 4 s, and nobody is told to.",
        "Containers, instance killed: brought back by the orchestrator, as it is told.",
        "Where it is told to, systemd brings back a killed app sooner than the orchestrator brings back"
        " a killed container.",
    ]


@pytest.mark.parametrize(
    ("by_libvirt", "claim"),
    [
        ([21.0, 22.0, 23.0], "the orchestrator brings back a killed container in less time than libvirt"
         " brings back a VM whose kernel panicked."),
        ([1.1, 1.2, 1.3], "libvirt brings back a VM whose kernel panicked in less time than the orchestrator"
         " brings back a killed container."),
    ],
)  # fmt: skip
def test_supervisors_are_compared_as_they_were_measured(by_libvirt: list[float], claim: str) -> None:
    result = finished({}, {plan.VM_PANIC_TOLD: by_libvirt, plan.CONTAINER_KILLED: [2.0, 2.5, 3.0]})
    assert [c.text for c in plan.conclude(result) if c.carried] == [f"Where each is told to, {claim}"]


def test_every_fault_is_a_variant_and_is_taught() -> None:
    taught = sections("recovery", LabExercise.example)
    assert {kind.variant for kind in FAULTS} | {*plan.ENGINES} == set(plan.VARIANTS)
    for kind in FAULTS:
        assert len(taught[kind.variant.key].text.split()) > 20
        assert kind.__abstractmethods__ == frozenset()


def test_what_an_orchestrator_is_told_to_bring_back_is_watched_for_longer_than_it_needs() -> None:
    supervised = {kind.variant: kind.watch_s for kind in FAULTS if kind.supervisor}
    assert min(supervised.values()) == supervised[plan.CONTAINER_FROZEN] > LONGEST_REPAIR_S
    nobody = {plan.VM_KILLED, plan.VM_FROZEN, plan.VM_HUNG, plan.VM_PANIC, plan.CONTAINER_ALONE}
    assert not nobody & supervised.keys()


def with_side(kind: type[Fault], *there: Instance, systemctl: str = "") -> Fault:
    """A fault in a lab whose VMs these are, and whose service manager prints this."""
    side = SimpleNamespace(
        kind="libvirt",
        name=SideName.VM,
        instances=lambda: [*there],
        runner=lambda *_, **__: AnsweringRunner({"systemctl show": systemctl}),
    )
    return kind(SimpleNamespace(sides={SideName.VM: side}, workload=WEB))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "knows"), [("shut off", True), ("paused", True), ("running", False), ("idle", False)]
)
def test_a_stack_knows_what_does_not_run(state: str, knows: bool) -> None:
    fault = with_side(VmKilled, Instance(SideName.VM, 0, state))
    assert fault.stack_says() == (f"libvirt says {state!r}", knows)
    assert fault.is_coming_back() is not knows


@pytest.mark.parametrize(("state", "knows"), [("failed", True), ("active", False)])
def test_a_service_manager_knows_what_is_not_active(state: str, knows: bool) -> None:
    shown = f"ActiveState={state}\nResult=signal\nRestart=no\nWatchdogUSec=0\n"
    told = f"systemd says ActiveState={state}, Result=signal, Restart=no, WatchdogUSec=0"
    assert with_side(VmApp, systemctl=shown).stack_says() == (told, knows)


def test_an_instance_that_is_gone_is_told_with_those_there_are() -> None:
    with pytest.raises(SideError, match="no instance vm/0") as refused:
        with_side(VmKilled, Instance(SideName.VM, 1, "running")).stack_says()
    assert refused.value.hint == "there are: vm/1"


@pytest.fixture
def workload(tmp_path: Path) -> Iterator[Workload]:
    """A program of its own name that runs twice, one the child of the other."""
    program = tmp_path / "plab-napper"
    shutil.copy("/bin/dash", program)
    os.mkfifo(tmp_path / "never")
    nap = f"trap 'exit 0' TERM; {program} -c 'read -r _ < {tmp_path}/never' & wait"
    started = subprocess.Popen([str(program), "-c", nap], start_new_session=True)
    threading.Thread(target=started.wait, daemon=True).start()
    made = Workload("nap", (), 1, "", "nap.service", (str(program),), "root")
    deadline = time.monotonic() + 10
    while len(_both(made)) < 2:
        assert time.monotonic() < deadline
    yield made
    LocalRunner().run(["pkill", "-KILL", "--session", str(started.pid)], check=False)


def _both(workload: Workload) -> set[int]:
    try:
        found = _inside.processes(LocalRunner(), workload)
    except ExerciseError:
        return set()
    return {found.main} | found.serving


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_serving_processes_hang_and_the_main_one_goes_on(workload: Workload) -> None:
    runner = LocalRunner()
    found = _inside.processes(runner, workload)
    start = _inside.start_of_workload(runner, workload)
    _inside.stop_servers(runner, workload)
    assert [state(pid) for pid in found.serving] == ["T"]
    assert state(found.main) == "S"
    assert _inside.start_of_workload(runner, workload) == start


def test_a_workload_that_goes_on_is_an_error_and_one_that_ends_is_none(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_inside, "_END", _inside._END.replace("tries=200", "tries=4"))
    with pytest.raises(ExerciseError, match="SIGTERM, and its processes go on"):
        _inside.end_workload(LocalRunner(), workload, "TERM")  # its child does not end with it
    _inside.end_workload(LocalRunner(), workload, "KILL")
    with pytest.raises(ExerciseError, match="no plab-napper process runs"):
        _inside.processes(LocalRunner(), workload)


def test_the_clock_of_this_host_is_not_ahead_of_itself() -> None:
    assert abs(_inside.clock_ahead_s(LocalRunner())) < 1
