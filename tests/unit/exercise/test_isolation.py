"""The isolation probes' judgement, from instances that answer from a table; nothing is tried here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pairlab.errors import CommandError, ExerciseError
from pairlab.exercise import _isolation_figures as plan
from pairlab.exercise import _isolation_kernel as kernel
from pairlab.exercise import _isolation_network as network
from pairlab.exercise import _isolation_view as view
from pairlab.exercise._isolation_network import Knocked, Surroundings
from pairlab.exercise._isolation_place import (
    CAPABILITIES,
    SYSCALLS,
    Outcome,
    Place,
    Tried,
    decode,
    judge,
    status_of,
)
from pairlab.exercise.isolation import PROBES
from pairlab.results import Finding, RunResult, Sample, Variant, Verdict
from pairlab.run import Completed, LocalRunner
from tests.report_worlds import patch_result
from tests.unit.host.answering_runner import Answer, AnsweringRunner

DEFAULT_RIGHTS = "00000000a80425fb"
"""What an engine leaves to the administrator of a container."""
FULL_RIGHTS = "000001ffffffffff"
HARM = "it reaches all"


class Instance(AnsweringRunner):
    """Answers perl by its system call, or by what a script is about; everything else from the table."""

    def __init__(self, answers: Mapping[str, Answer], said: str = "error 1") -> None:
        super().__init__(answers)
        self.said = said
        self.calls: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] == "perl":
            # It must be Perl; that it compiles does not run it. A call may write to the strings that it gets.
            assert not re.search(r"syscall\([^;]*[\"']", argv[2])
            LocalRunner().run(["perl", "-c", "-e", argv[2]])
            self.calls.append(tuple(argv[3:]))
            return Completed(tuple(argv), 0, self.said, "")
        return super().run(argv, **options)


def place(
    variant: Variant = plan.CONTAINER_ADMIN,
    *,
    own_kernel: bool = False,
    rights: str = DEFAULT_RIGHTS,
    said: str = "error 1",
    answers: Mapping[str, Answer] | None = None,
    host: Mapping[str, Answer] | None = None,
) -> Place:
    return Place(
        variant=variant,
        name="container/0",
        admin=variant in (plan.CONTAINER_ADMIN, plan.VM_ADMIN),
        runner=Instance(answers or {}, said),
        host=AnsweringRunner(host or {}),
        own_kernel=own_kernel,
        capabilities=decode(rights),
        is_filtered=not own_kernel,
        calls={},
    )


def vm(**options: Any) -> Place:
    return place(plan.VM_ADMIN, own_kernel=True, rights=FULL_RIGHTS, **options)


def calls(where: Place) -> list[tuple[str, ...]]:
    assert isinstance(where.runner, Instance)
    return where.runner.calls


def test_capabilities_are_decoded_by_their_number() -> None:
    assert decode("0") == frozenset()
    assert decode("1") == {"CHOWN"}
    assert decode(FULL_RIGHTS) == set(CAPABILITIES)
    assert decode(DEFAULT_RIGHTS) == {
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP",
    }  # fmt: skip
    assert decode("40000000000") == {"42"}


@pytest.mark.parametrize(
    ("where", "error", "verdict", "enforcer"),
    [
        (vm(), "", "yes", "the virtual hardware: what it reached is its own kernel"),
        (vm(), "EBADF", "yes", "the virtual hardware: what it reached is its own kernel"),
        (vm(), "EACCES", "yes", "its own kernel (the file's owner and mode)"),
        (place(), "", "no", "nobody"),
        (place(), "EBADF", "no", "nobody"),
        (
            place(),
            "EPERM",
            "yes",
            "this host's kernel (it has no CAP_SYS_ADMIN; a filter of system calls stands before that)",
        ),
        (
            place(),
            "EROFS",
            "yes",
            "this host's kernel (the file lies on a mount that is read-only; it has no CAP_SYS_ADMIN)",
        ),
        (replace(place(), is_filtered=False), "EPERM", "yes", "this host's kernel (it has no CAP_SYS_ADMIN)"),
    ],
)
def test_whose_kernel_granted_it_decides(where: Place, error: str, verdict: str, enforcer: str) -> None:
    tried = judge(where, "did it", Outcome(error), harm=HARM, needs="SYS_ADMIN", passed=["EBADF"])
    assert tried.verdict == verdict
    assert tried.enforcer == enforcer
    assert (HARM in tried.happened) is (verdict == "no")


GUARDED: list[tuple[Callable[[Place], Any], str]] = [
    (kernel.module, "SYS_MODULE"),
    (kernel.mount, "SYS_ADMIN"),
    (kernel.restart, "SYS_BOOT"),
    (kernel.clock, "SYS_TIME"),
    (kernel.file_by_its_number, "DAC_READ_SEARCH"),
]


@pytest.mark.parametrize(("probe", "right"), GUARDED)
def test_what_would_change_this_host_is_not_tried(probe: Callable[[Place], Any], right: str) -> None:
    mask = f"{1 << CAPABILITIES.index(right):x}"
    mighty = place(rights=mask, said="ok 0")
    tried = probe(mighty)
    assert calls(mighty) == []
    assert (tried.tried, tried.verdict, tried.enforcer) == ("not tried", "no", "nobody")
    assert f"CAP_{right}" in tried.happened
    # Without the right it is tried, but for the clock, and refused.
    weak = place()
    assert probe(weak).verdict == "yes"
    assert len(calls(weak)) == (0 if right == "SYS_TIME" else 1)


def test_calls_are_made_with_words_that_make_them_do_nothing() -> None:
    where = place()
    kernel.module(where)
    kernel.restart(where)
    assert calls(where) == [
        (str(SYSCALLS["finit_module"]), "-1", "", "0"),
        (str(SYSCALLS["reboot"]), "0", "0", "0", "0"),
    ]


@pytest.mark.parametrize("probe", [*kernel.POWER, *kernel.SECRETS], ids=lambda probe: probe.make.__name__)
def test_every_probe_is_judged_from_both_sides(probe: Any) -> None:
    modules = {"cat /proc/modules": "", "modprobe --dry-run": 1}
    refused, worked = place(), place(said="ok 4")
    assert probe.make(refused).verdict == "yes"
    assert probe.make(worked).verdict == ("yes" if probe.make is kernel.clock else "no")
    for said in ("error 1", "ok 4"):
        own = probe.make(vm(said=said, answers=modules, host=modules))
        assert own.verdict == "yes"
        assert "this host's kernel" not in own.enforcer


def test_a_module_is_loaded_only_into_a_kernel_of_its_own_and_goes_again() -> None:
    listed = {"loaded": False}

    def modprobe(argv: tuple[str, ...]) -> str:
        listed["loaded"] = "--remove" not in argv
        return ""

    answers: dict[str, Answer] = {
        "cat /proc/modules": lambda _: "nls_ascii 16384 0\n" if listed["loaded"] else "",
        "modprobe --dry-run": 1,
        "modprobe --dry-run nls_ascii": "",
        "modprobe": modprobe,
    }
    where = vm(answers=answers, host={"cat /proc/modules": 1})
    tried = kernel.module(where)
    assert "nls_ascii" in tried.tried
    assert not listed["loaded"]
    # One that this host has too would prove nothing.
    same = vm(answers=answers, said="error 9", host={"cat /proc/modules": "nls_ascii 1 0\n"})
    assert kernel.module(same).happened == "permitted (EBADF: nothing to do)"
    assert not listed["loaded"]


def test_an_empty_cover_is_no_view_of_the_kernels_memory() -> None:
    covered = kernel.kernel_memory(place(said="ok 0"))
    assert (covered.verdict, "covers" in covered.enforcer) == ("yes", True)
    assert kernel.kernel_memory(place(said="ok 4")).verdict == "no"


def test_a_device_that_may_be_made_but_not_opened_is_held_by_the_control_group() -> None:
    assert "control group" in kernel.disk_by_its_number(place()).enforcer
    assert "no CAP_MKNOD" in kernel.disk_by_its_number(place(rights="0")).enforcer


def test_what_a_probe_cannot_say_is_an_error() -> None:
    with pytest.raises(ExerciseError, match="nothing that can be understood"):
        kernel.keyring(place(said="perl: warning"))
    with pytest.raises(CommandError):
        place().attempt("this is { no perl")


# -- what is seen --------------------------------------------------------------------------------

OVERLAY = "280 220 0:74 / / rw - overlay overlay rw,lowerdir=/d/l/A,upperdir=/d/x/diff,workdir=/d/x/work\n"
BOUND = "297 280 254:0 /d/hosts /etc/hosts rw - ext4 /dev/vda rw\n"
PLAIN = "20 1 254:0 / / rw - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(("table", "verdict"), [(OVERLAY, "no"), (BOUND, "no"), (PLAIN, "yes")])
def test_paths_of_this_host_are_found_in_the_table_of_mounts(table: str, verdict: str) -> None:
    assert view.mounts(place(answers={"cat /proc/self/mountinfo": table})).verdict == verdict


def test_numbers_that_equal_this_hosts_are_this_hosts() -> None:
    told = {
        "cat /proc/meminfo": "MemTotal:  2048000 kB\n",
        "cat /proc/uptime": "500.0 1\n",
        "cat /proc/partitions": "major minor  #blocks  name\n\n 254  0  268435456 vda\n",
    }
    other = {
        "cat /proc/meminfo": "MemTotal:  1024 kB\n",
        "cat /proc/uptime": "9.0 1\n",
        "cat /proc/partitions": "major minor  #blocks  name\n\n 254  0  4194304 vda\n",
    }
    for probe in (view.memory, view.uptime, view.disks):
        assert probe(place(answers=told, host=told)).verdict == "no"
        assert probe(vm(answers=other, host=told)).verdict == "yes"


def test_a_mark_that_is_not_found_where_it_was_put_is_an_error() -> None:
    blind = AnsweringRunner({"sh": "", "kill": "", "rm": ""})
    with pytest.raises(ExerciseError, match="not found there itself"), view.marked("vm/1", blind):
        pass
    assert [line.split()[0] for line in blind.lines()][-2:] == ["kill", "rm"]


def test_a_mark_is_taken_away_whatever_happens() -> None:
    seeing = AnsweringRunner({"sh": "42\n", "kill 42": 1, "rm -f /tmp/pairlab-": ""})

    def look() -> None:
        with view.marked("vm/1", seeing) as neighbour:
            assert neighbour.mark.startswith("pairlab-")
            assert view.others_files(place(answers={"sh": ""}), neighbour).verdict == "yes"
            assert view.others_files(place(answers={"sh": "/proc/7/root/tmp/x"}), neighbour).verdict == "no"
            raise KeyError

    with pytest.raises(KeyError):
        look()
    assert seeing.lines()[-2] == "kill 42"


# -- the network ---------------------------------------------------------------------------------

AROUND = Surroundings(
    "vm/1", "10.1.0.11", "container/0", ("172.18.0.3",), ("10.1.0.1", "10.9.9.9"), 20801, 8080,
    {"10.2.0.11:80": "vm/0 of three", "10.9.9.9:20901": "the front door of three's vm side"},
)  # fmt: skip
TCP = """  sl  local_address rem_address   st
   0: 00000000:1F90 00000000:0000 0A
   1: 0500000A:1F90 0100010A:D431 06
   2: 0100007F:1F90 0100007F:D431 06
   3: 0500000A:0016 0900010A:D431 01
"""


def test_peers_are_read_from_the_kernels_table() -> None:
    runner = AnsweringRunner({"cat /proc/net/tcp": TCP})
    assert network.peers(runner, 8080) == ["10.1.0.1"]


def knocked(**said: str) -> Knocked:
    """What was said by who is around, silent all others."""
    to = {
        "neighbour": "10.1.0.11:8080",
        "door": "10.1.0.1:20801",
        "host": "10.9.9.9:20801",
        "other": "172.18.0.3:8080",
        "vm": "10.2.0.11:80",
        "labs_door": "10.9.9.9:20901",
    }
    answers = {address: said.pop(who, "silent") for who, address in to.items()}
    assert not said
    return Knocked("vm/0", AROUND, ["10.1.0.1"], answers)


@pytest.mark.parametrize(
    ("tell", "found", "verdict"),
    [
        (network.neighbours, knocked(neighbour="open"), "no"),
        (network.neighbours, knocked(), "yes"),
        (network.front_door, knocked(door="refused"), "no"),
        (network.front_door, knocked(), "yes"),
        (network.host_services, knocked(door="refused"), "yes"),
        (network.host_services, knocked(door="refused", host="open"), "no"),
        (network.host_itself, knocked(door="refused"), "no"),
        (network.host_itself, knocked(host="unreachable"), "yes"),
        (network.other_side, knocked(other="refused"), "yes"),
        (network.other_side, knocked(other="open"), "no"),
        (network.another_lab, knocked(labs_door="refused"), "yes"),
        (network.another_lab, knocked(labs_door="open"), "no"),
    ],
)
def test_an_answer_is_a_way_there(tell: Callable[[Knocked], Tried], found: Knocked, verdict: str) -> None:
    assert tell(found).verdict == verdict


def test_all_around_is_knocked_at_once_and_each_only_once() -> None:
    heard = "".join(f"{to} silent\n" for to in knocked().said)
    where = vm(said=heard, answers={"cat /proc/net/tcp": TCP})
    assert network.knock(where, AROUND) == replace(knocked(), name=where.name)
    ((_, *asked),) = calls(where)
    assert sorted(asked) == sorted(knocked().said)


def test_what_of_another_lab_is_reached_is_named_and_without_one_nothing_is_tried() -> None:
    assert network.another_lab(knocked(vm="open")).happened == "vm/0 of three at 10.2.0.11:80 is reached"
    alone = vm(said="10.1.0.11:8080 silent\n", answers={"cat /proc/net/tcp": TCP})
    tried = network.another_lab(network.knock(alone, replace(AROUND, other_labs={})))
    assert tried.verdict == "untried"
    assert not set(calls(alone)[0]) & set(AROUND.other_labs)
    assert "none was up, and none came up for this" in tried.answer


def test_without_health_checks_there_is_no_front_door() -> None:
    heard = "".join(f"{to} silent\n" for to in knocked().said)
    unasked = vm(said=heard, answers={"cat /proc/net/tcp": TCP.splitlines()[0]})
    with pytest.raises(ExerciseError, match=f"no front door has asked {unasked.name}"):
        network.front_door(network.knock(unasked, AROUND))


# -- the whole -----------------------------------------------------------------------------------


def test_there_are_at_least_twenty_questions_and_no_two_are_equal() -> None:
    asked = [probe.question for probe in (*kernel.IDENTITY, *kernel.POWER, *kernel.SECRETS, *view.VIEW)]
    asked += [question for question, _ in (*view.NEIGHBOUR, *network.NETWORK)] + [
        network.RAW_PACKETS.question
    ]
    assert len(asked) == len(set(asked)) == PROBES >= 20


def result_of(crossed: Sequence[Sequence[str]]) -> RunResult:
    """Of repetitions, each with the questions at which the administrator of a container got through."""
    questions = ("mounting: safe?", "the clock: safe?")
    findings = [
        Finding(variant="container-admin", repetition=number, question=question, answer="",
                verdict="no" if question in through else "yes")
        for number, through in enumerate(crossed)
        for question in questions
    ]  # fmt: skip
    samples = [
        Sample(figure="crossed", variant=variant, repetition=number, value=value)
        for number in range(len(crossed))
        for variant, value in (("vm-admin", 1.0), ("container-admin", 5.0))
    ]
    document = patch_result().model_dump() | {
        "figures": [figure.model_dump() for figure in plan.FIGURES],
        "variants": [variant.model_dump() for variant in plan.VARIANTS],
        "samples": [sample.model_dump() for sample in samples],
        "findings": [finding.model_dump() for finding in findings],
        "timelines": [],
        "summary": [],
        "conclusions": [],
    }
    return RunResult.model_validate(document)


def conclusion(result: RunResult, begin: str) -> Any:
    (found,) = [each for each in plan.conclude(result) if each.text.startswith(begin)]
    return found


def test_what_crossed_is_claimed_only_where_all_repetitions_agree() -> None:
    agreed = conclusion(result_of([["mounting: safe?"]] * 3), "Container, administrator")
    assert agreed.text.endswith("at all but 1 points: mounting.")
    assert agreed.carried
    assert not conclusion(result_of([["mounting: safe?"]] * 2), "Container, administrator").carried
    differ = conclusion(result_of([["mounting: safe?"], [], []]), "Container, administrator")
    assert not differ.carried
    never = conclusion(result_of([[], [], []]), "Container, administrator")
    assert never.text == "Container, administrator: the boundary held at every point."
    assert never.carried


def test_an_attack_that_is_made_once_a_run_counts_in_no_run() -> None:
    def found(*answers: tuple[str, Verdict]) -> list[Finding]:
        of = plan.attacked.VM.key
        return [Finding(variant=of, repetition=0, question=q, answer="", verdict=v) for q, v in answers]

    run, bomb = result_of([[]]), found((plan.attacked.PROCESSES_ALONE, "yes"))
    later = found((plan.attacked.MEMORY_ALONE, "no"), (plan.attacked.PANIC_KNOWN, "no"))
    told = [
        conclusion(run.model_copy(update={"findings": findings}), "VM, attacked from inside")
        for findings in (bomb, bomb + later)
    ]
    assert told[0] == told[1]


def test_fewer_crossings_are_claimed_of_three_repetitions() -> None:
    text = "Made by the administrator"
    assert conclusion(result_of([[]] * 3), text).carried
    assert not conclusion(result_of([[]] * 2), text).carried


def test_the_status_of_a_process_is_read_by_name() -> None:
    shown = status_of(AnsweringRunner({"cat": "Name:\tcat\nCapEff:\t00ff\nSeccomp:\t2\n"}))
    assert (shown["CapEff"], shown["Seccomp"]) == ("00ff", "2")
