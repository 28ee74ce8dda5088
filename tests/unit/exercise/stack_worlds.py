"""A lab whose instances answer from a table: VMs with kernels of their own, containers on the host's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pairlab.exercise import Declaration, Log
from pairlab.exercise._guide import sections
from pairlab.model import Layer, SideName
from stacks.pair import WEB
from tests.unit.host.answering_runner import Answer, AnsweringRunner

HOST_BOOT, MIB = "host-boot", 1024**2
STATUS = "Name:\t{name}\nState:\tS (sleeping)\nPid:\t{pid}\nPPid:\t{parent}\n{memory}"
USER = "VmSize:\t 900 kB\nPss_Anon:       {kib} kB\nPss_Shmem:      0 kB\n"
MEMINFO = """MemTotal:         200000 kB
Buffers:            1000 kB
Cached:            30000 kB
Slab:              12000 kB
KernelStack:         700 kB
PageTables:          300 kB
Percpu:              100 kB
"""
IOMEM = "00001000-0c7fffff : System RAM\n  01000000-019fffff : Kernel code\n000a0000-000fffff : Reserved\n"
VM_MOUNTS = "20 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n21 20 0:5 / /proc rw - proc proc rw\n"
OVERLAY = "280 220 0:74 / / rw master:6 - overlay overlay rw,lowerdir=/var/l/A:/var/l/B,upperdir=/var/u\n"


def status(pid: int, parent: int, name: str, kib: int | None) -> str:
    """A process's status; one of the kernel where it has no memory."""
    memory = "" if kib is None else USER.format(kib=kib)
    return STATUS.format(name=name, pid=pid, parent=parent, memory=memory)


VM_PROCESSES = "905\n" + "".join(
    status(*each)
    for each in (
        (1, 0, "systemd", 4000),
        (2, 0, "kthreadd", None),
        (9, 2, "kworker/0:1", None),
        (300, 1, "sshd", 1500),
        (310, 1, "systemd-journal", 2500),
        (400, 1, "nginx", 900),
        (401, 400, "nginx", 1100),
        # Who looks: below the ssh server.
        (902, 300, "sshd", 1800),
        (903, 902, "sshd", 1800),
        (905, 903, "sh", 100),
        (906, 905, "cat", 90),
    )
)
CONTAINER_PROCESSES = "75\n" + "".join(
    status(*each)
    for each in (
        (1, 0, "nginx", 900),
        (21, 1, "nginx", 1100),
        (70, 0, "healthcheck", 3000),
        (75, 0, "sh", 100),
        (76, 75, "cat", 90),
    )
)


def inside(boot_id: str, processes: str, mounts: str, namespaces: str) -> AnsweringRunner:
    answers: dict[str, Answer] = {
        "cat /proc/sys/kernel/random/boot_id": f"{boot_id}\n",
        "uname": "Linux 6.1.0\n",
        "sh -c echo $$": processes,
        "sh -c for each in": namespaces,
        "cat /proc/iomem": IOMEM + MEMINFO,
        "cat /proc/self/mountinfo": mounts,
        "dpkg-query": "nginx 1.22\nlibc6 2.36\n",
    }
    return AnsweringRunner(answers)


@dataclass
class FakeSide:
    """One half, whose instances all answer alike but for their boot id."""

    name: SideName
    boots: list[str]
    runner_bytes: int = 100 * MIB

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        return [
            Layer("host-kernel", f"Linux 6.18, boot id {HOST_BOOT}", "host"),
            Layer("engine", "an engine", "side", disk_bytes=9, memory_bytes=30 * MIB, processes=2),
            Layer("orchestrator", "none: nobody watches", "none"),
            Layer("image", "an image", "side", disk_bytes=90 * MIB),
            Layer("runner", "a holder", "instance", memory_bytes=self.runner_bytes, processes=1),
            Layer("boundary", "a fence", "instance", memory_bytes=60 * MIB),
            Layer("own-disk", "a disk", "instance", disk_bytes=5 * MIB),
        ]

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> AnsweringRunner:
        if self.name is SideName.VM:
            return inside(self.boots[index], VM_PROCESSES, VM_MOUNTS, "pid:[7]\n")
        return inside(self.boots[index], CONTAINER_PROCESSES, OVERLAY, "pid:[7]\nuser:[2]\n")

    def host(self) -> AnsweringRunner:
        return inside(HOST_BOOT, "", "", "pid:[1]\nuser:[2]\n")


@dataclass
class FakeLab:
    """Two instances on each side."""

    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = field(default_factory=lambda: Declaration(2, 2))
    sides: Mapping[SideName, Any] = field(
        default_factory=lambda: {
            SideName.VM: FakeSide(SideName.VM, ["vm-0-boot", "vm-1-boot"]),
            SideName.CONTAINER: FakeSide(SideName.CONTAINER, [HOST_BOOT, HOST_BOOT], runner_bytes=3 * MIB),
        }
    )


class Reader:
    """Keeps what a guided person would read: the text of each step, and what it told."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.told: dict[str, list[str]] = {}

    def before(self, section: Any) -> None:
        self.read.append(section.key)

    def after(self, section: Any, changes: list[str]) -> None:
        self.told[section.key] = list(changes)  # what is told later, nobody reads


def log_of(name: str, reader: Reader) -> Log:
    return Log(lambda values: sections(name, values), reader, lambda line: None, lambda: None)
