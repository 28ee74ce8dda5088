"""The isolation exercise on a real lab: who holds which boundary, and that this host is left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import Commands, left_of

from pairlab.result_files import read_result
from pairlab.results import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.deep, pytest.mark.timeout(900)]
MIB = 1024**2
SWAPPINESS = Path("/proc/sys/vm/swappiness")
ATTACKED = ("vm-attacked", "container-attacked")
VARIANTS = ("vm-usual", "vm-admin", "container-usual", "container-admin")


@pytest.fixture(scope="module")
def result(commands: Commands, lab: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder, before = tmp_path_factory.mktemp("results"), SWAPPINESS.read_text()
    words = ("--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(folder))
    commands.run("exercise.run", "isolation", *words)
    assert left_of(lab) == set()
    assert SWAPPINESS.read_text() == before
    (path,) = folder.glob("*-isolation.json")
    return read_result(path)


def answers(result: RunResult, about: str) -> dict[str, tuple[str, str]]:
    """Variant -> verdict and answer to the one question that begins so."""
    found = [f for f in result.findings if f.question.startswith(about)]
    assert [f.variant for f in found] == list(VARIANTS), about
    return {f.variant: (f.verdict, f.answer) for f in found}


def test_every_probe_was_made_from_every_place(result: RunResult) -> None:
    assert result.complete
    questions = [f.question for f in result.findings if f.variant in VARIANTS]
    assert len(set(questions)) >= 25
    assert all(questions.count(question) == len(VARIANTS) for question in questions)
    assert all("Held by: " in f.answer for f in result.findings if f.verdict in ("yes", "no"))
    for variant in VARIANTS:
        (held,), (crossed,) = (result.values(figure, variant) for figure in ("held", "crossed"))
        others = sum(f.verdict not in ("yes", "no") for f in result.findings if f.variant == variant)
        assert held + crossed + others == len(set(questions))


def test_a_vm_keeps_more_from_its_host_than_a_container(result: RunResult) -> None:
    for account in ("usual", "admin"):
        assert result.values("crossed", f"vm-{account}") < result.values("crossed", f"container-{account}")
        rests = [result.values("by-host-kernel", f"{side}-{account}")[0] for side in ("vm", "container")]
        assert rests[0] < rests[1]
    for about in ("the kernel:", "user numbers", "the size of the memory", "the list of disks"):
        found = answers(result, about)
        assert [found[variant][0] for variant in VARIANTS] == ["yes", "yes", "no", "no"], about


def test_a_containers_administrator_lacks_what_a_vms_has(result: RunResult) -> None:
    assert (
        0 < result.values("capabilities", "container-admin")[0] < result.values("capabilities", "vm-admin")[0]
    )
    assert result.values("capabilities", "container-usual") == [0]
    for account in ("usual", "admin"):
        reach = [result.values("system-calls", f"{side}-{account}")[0] for side in ("container", "vm")]
        assert 0 < reach[0] < reach[1] <= 21
    for about in ("loading a kernel module", "mounting", "restarting", "the clock", "the kernel's log"):
        found = answers(result, about)
        assert {verdict for verdict, _ in found.values()} == {"yes"}, about
        assert "its own kernel" in found["vm-admin"][1]
        assert "this host's kernel (it has no CAP_" in found["container-admin"][1], about
    assert "control group forbids" in answers(result, "the disk by its number")["container-admin"][1]


def test_instances_do_not_see_each_other_but_share_a_network(result: RunResult, lab: str) -> None:
    for about in ("another instance's memory", "another instance's files", "processes"):
        assert {verdict for verdict, _ in answers(result, about).values()} == {"yes"}, about
    for about in ("the network of its side: is another", "the network of its side: is the front door"):
        assert {verdict for verdict, _ in answers(result, about).values()} == {"no"}, about
    assert {verdict for verdict, _ in answers(result, "this host's addresses: is the front").values()} == {
        "yes"
    }
    other = {name: verdict for name, (verdict, _) in answers(result, "the network of the other").items()}
    # Into VMs libvirt lets nobody; into containers older engines let who comes from another bridge.
    assert other["container-usual"] == other["container-admin"] == "yes"
    assert other["vm-usual"] == other["vm-admin"]
    another = answers(result, "the network of another lab")
    assert {verdict for verdict, _ in another.values()} <= {"yes", "no"}
    assert all(f"vm/0 of {lab}-beside" in answer for _, answer in another.values())
    assert left_of(f"{lab}-beside") == set()


def test_attacks_from_inside_end_nobody_else(result: RunResult) -> None:
    for variant in ATTACKED:
        assert result.values("lost", variant) == [0]
        assert result.values("busy-failed", variant) == [0]
        found = {f.question.partition(":")[0]: f for f in result.findings if f.variant == variant}
        assert list(found) == [
            "memory exhaustion", "process bomb", "disk filling", "busy neighbour", "kernel panic"
        ]  # fmt: skip
    verdicts = {(f.variant, f.question): f.verdict for f in result.findings}
    for question in ("process bomb: do all others", "disk filling: do all"):
        assert {verdicts[key] for key in verdicts if key[1].startswith(question)} == {"yes"}, question
    memory = "memory exhaustion: is only the attacker ended?"
    assert verdicts["container-attacked", memory] == "yes"
    # An emulated guest may stall until the attack's own alarm.
    assert verdicts["vm-attacked", memory] in ("yes", "no")
    (vm, container) = (f for f in result.findings if f.question.startswith("kernel panic: does only"))
    assert (vm.verdict, container.verdict) == ("yes", "untried")
    assert "all others go on" in vm.answer


def test_what_an_attack_takes_of_this_host_differs(result: RunResult) -> None:
    def one(figure: str, side: str) -> float:
        (value,) = result.values(figure, f"{side}-attacked")
        return value

    # The limit holds a container's processes; a VM's are none of this host's.
    assert 0 < one("processes-made", "container") < 64 <= one("processes-made", "vm")
    assert one("host-threads", "container") > one("host-threads", "vm")
    for side in ("vm", "container"):
        assert 0 < one("memory-taken", side) <= 256 * MIB
        assert one("disk-taken", side) >= 64 * MIB
        assert one("burned-limited", side) < one("burned-declared", side)
    assert one("disk-kept", "container") < 64 * MIB <= one("disk-kept", "vm")
    assert one("memory-kept", "container") < one("memory-kept", "vm")
    # More virtual processors than it has, a VM cannot be given.
    assert result.values("burned-raised", "vm-attacked") == []
    assert one("burned-raised", "container") > one("burned-limited", "container")
