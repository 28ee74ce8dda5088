"""Attacks under which an instance answers nobody: who ends them, and that the lab can be used after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from stack_worlds import Reader, log_of

from pairlab.errors import CommandError, ExerciseError, LabError, SideError
from pairlab.exercise import Log, _isolation_bounded, _isolation_containment
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._isolation_bounded import ALARMED, KILLED, Target
from pairlab.exercise._isolation_containment import FLOOD, Containment
from pairlab.exercise._isolation_memory import LIFE_S, exhaust
from pairlab.exercise._isolation_panic import panic
from pairlab.model import Instance, SideName
from pairlab.run import Completed
from tests.unit.host.answering_runner import Answer, AnsweringRunner

MIB, FREE_MIB = 1024**2, 80
CALM = 24
"""Good answers in a row that show a side of a dozen at rest."""


@dataclass
class Vm:
    """A machine that may fall silent under an attack, and its half of the lab.

    Attributes:
        output: What the attack prints at its end.
        stalls: The attack leaves it silent: until it is switched on again.
        kills: How many processes its kernel has ended.
    """

    output: str
    stalls: bool = False
    kills: int = 0
    is_silent: bool = False
    happened: list[str] = field(default_factory=list)
    supervisor: str = ""
    kind: str = "fake"
    name: SideName = SideName.VM
    there: list[Instance] = field(default_factory=lambda: [Instance(SideName.VM, 0, "running")])
    own_kernel: bool = True
    hosts_disk: int = 9
    asked_for_more: str = "fallocate: fallocate failed: No space left on device\nended 1\n"

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if self.is_silent:
            raise CommandError("it did not answer", hint="wait")
        inside: dict[str, Answer] = {
            "true": "",
            "cat /proc/sys/kernel/random/boot_id": f"boot-id\n1 (init) {' '.join('0' for _ in range(30))}\n",
            "cat /proc/meminfo": f"MemTotal: {100 * 1024} kB\nMemAvailable: {FREE_MIB * 1024} kB\n",
            "cat /proc/vmstat": f"oom_kill {self.kills}\n",
            "cat /tmp/pairlab-attack-": self.output,
            "sh -c out=": "",
            "sh -c cat /proc/loadavg": "",
            "sh -c life=": self.output,
            "rm": "",
            "sh -c sync": "",
            "df": f"Size Avail\n{400 * MIB} {300 * MIB}\n",
        }
        if "sh -c LC_ALL=C fallocate" in " ".join(argv):
            self.happened.append(f"asked for {int(argv[-2]) // MIB} MiB")
            return AnsweringRunner({"sh": self.asked_for_more}).run(argv, **options)
        if [*argv] == ["rm", "-f", FLOOD]:
            self.happened.append("removed")
        done = AnsweringRunner(inside).run(argv, **options)
        if argv[2:3] and argv[2].startswith(("out=", "life=", "sync")):
            self.happened.append("attacked")
            self.is_silent = self.stalls
            self.kills += f"ended {KILLED}" in self.output
            if self.is_silent and argv[2].startswith("life="):
                raise CommandError("it did not end in time", hint="wait")
        return done

    def instances(self) -> list[Instance]:
        return self.there

    def kill(self, index: int) -> None:
        self.happened.append("switched off")

    def start(self, index: int) -> None:
        self.happened.append("switched on")
        self.is_silent = False

    def footprint(self, index: int) -> Any:
        return SimpleNamespace(memory_bytes=100 * MIB, threads=3)

    def written_bytes(self, index: int) -> int:
        return plan.DISK_BYTES if "attacked" in self.happened else 0

    def limited(self, index: int, **limits: Any) -> Any:
        raise SideError("no such limit", hint="a fake")

    def host(self) -> AnsweringRunner:
        free = f"MemTotal: {8 * MIB} kB\nMemAvailable: {4 * MIB} kB\n"
        return AnsweringRunner({"cat /proc/meminfo": free, "df": f"Size Avail\n{self.hosts_disk} 9\n"})


class Watched(Containment):
    """Notes when it is looked who goes on; who was switched off did not."""

    def __init__(self, log: Log, vm: Vm) -> None:
        super().__init__(SimpleNamespace(), log)  # type: ignore[arg-type]
        self.vm = vm
        self._disk_before = {"vm/0": 0}

    def missing(self, target: Target, *, itself: bool = True) -> list[str]:
        self.vm.happened.append("looked at all" if itself else "looked at others")
        return ["vm/0"] if itself and "switched on" in self.vm.happened else []


class Door:
    """A client whose every request is answered by the attacked one, when it runs."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.requests: list[Any] = [SimpleNamespace(instance="vm/0", status=200, ended=0.0)]

    def await_good(self, count: int) -> None:
        assert count == CALM

    def await_without(self, instance: str, count: int, *, timeout_s: float) -> None:
        assert (instance, count) == ("vm/0", CALM)

    def saw_answer(self, instance: str, *, since: float, timeout_s: float) -> bool:
        return not self.vm.is_silent

    def await_answer(self, instance: str, *, since: float, timeout_s: float) -> None:
        assert not self.vm.is_silent
        self.requests.append(SimpleNamespace(instance="vm/0", status=200, ended=since))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_isolation_bounded, "POLL_S", 0.01)
    monkeypatch.setattr(_isolation_bounded, "COME_TO_ITSELF_S", 0.2 - LIFE_S)
    monkeypatch.setattr(_isolation_containment, "BACK_TIMEOUT_S", 0.05)


def attacked(vm: Vm, kind: str, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The log of one attack on it."""
    log = log_of("isolation", Reader())

    @contextmanager
    def client(*_: Any) -> Iterator[Door]:
        yield Door(vm)
        log.timelines.append(SimpleNamespace(failed=lambda: 0))  # type: ignore[arg-type]

    monkeypatch.setattr(log, "client", client)
    lab: Any = SimpleNamespace(port=lambda side: 1, workload=SimpleNamespace(health_path="/"))
    fleet: Any = SimpleNamespace(
        side=plan.VM.side,
        name=lambda index: f"vm/{index}",
        usual=lambda index: vm,
        admin=lambda index: vm,
        await_commands=lambda timeout_s=0: None,
        calm=lambda answers: max(answers, CALM),
    )
    of = Target(plan.VM, vm, fleet, vm.own_kernel)  # type: ignore[arg-type]
    containment = Watched(log, vm)
    attacks: dict[str, Callable[[Target], Iterable[str]]] = {
        "memory": lambda of: exhaust(lab, log, containment, of),
        "processes": containment.processes,
        "disk": containment.disk,
        "panic": lambda of: panic(lab, log, containment, of),
    }
    with log.doing(of.variant):
        list(attacks[kind](of))
    return log


def told(log: Log, question: str) -> tuple[str, str]:
    (found,) = [each for each in log.findings if each.question == question]
    return found.verdict, found.answer


def printed(mib: int, status: int) -> str:
    return "".join(f"{each}\n" for each in range(1, mib + 1)) + f"ended {status}\n"


FLOODED = ["attacked", "removed", "asked for 400 MiB", "removed"]
SWITCHED = ["looked at others", "switched off", "switched on", "looked at all"]


def test_a_kernel_that_ends_the_attacker_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm(printed(70, KILLED))
    log = attacked(vm, "memory", monkeypatch)
    verdict, answer = told(log, plan.MEMORY_ALONE)
    assert verdict == "yes"
    assert "got 70 MiB, then its own kernel ended it by SIGKILL; all others go on" in answer
    assert {sample.figure for sample in log.samples} >= {plan.TAKEN.key, plan.MEMORY_KEPT.key}
    assert vm.happened == ["attacked", "looked at all"]


def test_a_vm_that_stalls_has_a_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, answer = told(attacked(Vm(printed(70, ALARMED)), "memory", monkeypatch), plan.MEMORY_ALONE)
    assert verdict == "no"
    ended = f"until its watchdog ended it after {LIFE_S:g} s"
    assert f"got 70 MiB and stalled it, {ended}; all others go on" in answer
    assert "Held by: nobody" in answer


@pytest.mark.parametrize(("mib", "status"), [(9, ALARMED), (9, KILLED + 1), (70, 0)])
def test_memory_that_was_not_exhausted_is_nothing_to_tell_of(
    mib: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExerciseError, match="ended by itself"):
        attacked(Vm(printed(mib, status)), "memory", monkeypatch)


def test_a_vm_that_stays_silent_is_switched_off_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("", stalls=True)
    log = attacked(vm, "memory", monkeypatch)
    # Who else was lost is looked at before anybody is brought back, and everybody after it.
    assert vm.happened == ["attacked", *SWITCHED]
    verdict, answer = told(log, plan.MEMORY_ALONE)
    assert verdict == "no"
    assert "had to be switched off and on; vm/0 did not go on" in answer
    assert {sample.figure for sample in log.samples} == {plan.SILENT.key, plan.MEMORY_FAILED.key}


def test_an_attack_that_did_not_begin_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Vm, argv: Sequence[str], **options: Any) -> Completed:
        if argv[2:3] and argv[2].startswith("out="):
            raise CommandError("no such program", hint="look")
        return started(self, argv, **options)

    started = Vm.run
    monkeypatch.setattr(Vm, "run", refuse)
    with pytest.raises(ExerciseError, match="an attack did not begin"):
        attacked(Vm(""), "memory", monkeypatch)


def test_a_bomb_that_leaves_it_silent_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("61 11\n", stalls=True)
    log = attacked(vm, "processes", monkeypatch)
    assert vm.happened == ["attacked", *SWITCHED]
    assert told(log, plan.PROCESSES_ALONE)[0] == "no"
    assert told(log, plan.PROCESSES_WAY_IN)[0] == "no"


def test_a_bomb_that_its_watchdog_ended_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    log = attacked(Vm(f"61 11\nended {ALARMED}\n"), "processes", monkeypatch)
    assert "its watchdog ended it after 40 s" in told(log, plan.PROCESSES_ALONE)[1]


def test_a_bomb_that_did_not_get_far_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    log = attacked(Vm(f"88 0\nended {ALARMED}\n"), "processes", monkeypatch)
    said = "made 88 processes: of 150 that were asked for; its watchdog ended it after 40 s"
    assert said in told(log, plan.PROCESSES_ALONE)[1]
    assert told(log, plan.PROCESSES_WAY_IN)[0] == "untried"


def test_a_bomb_that_nobody_saw_is_an_error_and_leaves_the_vm_well(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("", stalls=True)
    with pytest.raises(ExerciseError, match="had to be switched off and on"):
        attacked(vm, "processes", monkeypatch)
    assert not vm.is_silent


def test_a_kernel_that_panics_is_seen_by_a_door_that_had_each_one_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vm = Vm("", stalls=True)
    log = attacked(vm, "panic", monkeypatch)
    assert vm.happened == ["attacked", *SWITCHED[:-1]]
    assert told(log, plan.PANIC_ALONE)[0] == "yes"


def test_an_attacked_one_that_is_gone_is_told_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("", stalls=True, there=[Instance(SideName.VM, 1, "running")])
    with pytest.raises(SideError, match="no instance vm/0"):
        attacked(vm, "panic", monkeypatch)


def test_a_flood_that_leaves_it_silent_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("", stalls=True)
    log = attacked(vm, "disk", monkeypatch)
    assert vm.happened == ["attacked", *SWITCHED[:-1], *FLOODED[1:], SWITCHED[-1]]
    assert told(log, plan.DISK_ALONE)[0] == "no"


def test_a_flood_that_its_watchdog_ended_leaves_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExerciseError, match="status 124"):
        attacked(Vm("ended 124\n"), "disk", monkeypatch)


def test_more_than_a_disk_of_its_own_has_free_is_asked_for_and_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vm = Vm("ended 0\n")
    verdict, answer = told(attacked(vm, "disk", monkeypatch), plan.DISK_BOUNDED)
    assert vm.happened == [*FLOODED, "looked at all"]
    assert verdict == "yes"
    assert answer.startswith("asked for 100 MiB more than it has free: refused (ENOSPC): 400 MiB are its own")


@pytest.mark.parametrize("told", ["ended 0\n", "fallocate: Operation not supported\nended 1\n"])
def test_a_disk_whose_bound_is_not_met_is_an_error(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("ended 0\n", asked_for_more=told)
    with pytest.raises(ExerciseError, match="was to be refused 400 MiB"):
        attacked(vm, "disk", monkeypatch)
    assert vm.happened == FLOODED


def test_a_disk_that_is_this_hosts_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("ended 0\n", own_kernel=False, hosts_disk=400 * MIB)
    assert told(attacked(vm, "disk", monkeypatch), plan.DISK_BOUNDED)[0] == "no"
    assert vm.happened == ["attacked", "removed", "looked at all"]


def test_a_command_that_fails_in_one_that_is_well_stays_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    vm = Vm("")
    of: Any = SimpleNamespace(name="vm/0", usual=vm, side=vm)
    containment = Watched(log_of("isolation", Reader()), vm)
    with pytest.raises(LabError, match="broken"), containment.brought_back(of):
        raise CommandError("broken", hint="mend it")
    assert vm.happened == []
