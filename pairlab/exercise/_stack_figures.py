"""What the stack exercise reads of each layer, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Mapping

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import agreed, compare, sentence
from pairlab.model import SideName
from pairlab.results import CLAIM_REPETITIONS, Conclusion, Figure, RunResult, Variant

VM = Variant(key="vm", title="VMs", side=SideName.VM)
CONTAINER = Variant(key="container", title="containers", side=SideName.CONTAINER)
VARIANTS = (VM, CONTAINER)

PARTS = {
    "host-kernel": "host kernel",
    "engine": "engine",
    "orchestrator": "orchestrator",
    "image": "image",
    "runner": "what holds an instance",
    "boundary": "boundary",
    "kernel": "kernel of its own",
    "own-disk": "disk of its own",
    "init": "init",
    "services": "other services",
    "app": "workload",
}
"""Part of a stack -> its name, from the bottom up."""
INSIDE = ("kernel", "init", "services", "app")
"""Parts that what the boundary holds is made of."""

ONCE = (
    "Of the first repetition only: to look is to work inside, so that later ones would weigh the same "
    "instances with what the looks before have left."
)
_SHARED = "Memory of its processes, of which a page that several share is divided by their number: PSS of "
_ANONYMOUS = (
    "Memory of its processes that is of no file, of which a page that several share is divided by their "
    "number: Pss_Anon and Pss_Shmem of /proc/PID/smaps_rollup, "
)
_MEMORY = {
    "engine": f"{_SHARED}/proc/PID/smaps, of the daemons on this host.",
    "runner": f"{_SHARED}/proc/PID/smaps, of QEMU without the region that is the guest's memory, or of "
    "the container's shim.",
    "boundary": "Host memory of all that is inside: the resident part of the guest's memory in QEMU, from "
    f"/proc/PID/smaps; the charge of the container's control group without its inactive file cache. {ONCE}",
    "kernel": "Memory that the guest's kernel has for itself, seen inside: RAM of /proc/iomem less MemTotal, "
    "and slab, kernel stacks, page tables and per-CPU data of /proc/meminfo.",
    "init": f"{_ANONYMOUS}of process 1 seen inside, where that is not the workload itself.",
    "services": f"{_ANONYMOUS}seen inside, of all processes but init, the workload and those that look.",
    "app": f"{_ANONYMOUS}seen inside, of the workload's processes.",
}
_PROCESSES = {
    "engine": "Processes of the daemons on this host.",
    "runner": "Processes of this host that hold one instance, without what runs inside of it.",
    "kernel": "Threads of the guest's own kernel: processes seen inside that have no memory of their own.",
    "init": "Process 1 seen inside, where that is not the workload itself.",
    "services": "Processes seen inside, without init, the workload and those that look.",
    "app": "Processes of the workload's program, seen inside.",
}
_DISK = {
    "engine": "Sizes of the programs and libraries, each once, that the daemons and what holds an instance "
    "run (/proc/PID/maps).",
    "image": "What all instances of the image share. VMs: blocks of base disk, which is compressed (qcow2, "
    "zstd), kernel and initial RAM disk in the lab's pool. Containers: sizes of the files in all layers, as "
    "the engine tells, which are unpacked and not compressed.",
    "own-disk": "What one instance has beside its image. A VM: blocks of its overlay and seed disk. A "
    "container: sizes of the files in its writable layer, as the engine tells, without what their file "
    f"system needs for them. {ONCE}",
}
_OBJECTS = {
    "engine": "Domains, volumes, pools and networks of this lab that libvirt keeps account of.",
    "orchestrator": "Services, running tasks, networks, configs and secrets of this lab that Swarm keeps.",
}


def _of(part: str, cost: str, unit: str, methods: Mapping[str, str], word: str) -> list[Figure]:
    if part not in methods:
        return []
    title = f"{PARTS[part]}: {word}"
    return [Figure(key=f"{cost}-{part}", title=title, unit=unit, method=methods[part])]


LAYER_FIGURES = {
    part: (
        *_of(part, "disk", "B", _DISK, "on disk"),
        *_of(part, "memory", "B", _MEMORY, "memory"),
        *_of(part, "processes", "1", _PROCESSES, "kernel threads" if part == "kernel" else "processes"),
        *_of(part, "objects", "1", _OBJECTS, "objects kept"),
    )
    for part in PARTS
}
"""Part -> the figures of what it costs."""
PACKAGES = Figure(
    key="packages", title="image: packages", unit="1",
    method="Lines of `dpkg-query --show` inside an instance.",
)  # fmt: skip
CACHE = Figure(
    key="memory-cache", title="file cache of its own", unit="B", better="neither",
    method="Cached and Buffers of /proc/meminfo inside; only a kernel has a file cache, so containers share "
    "this host's.",
)  # fmt: skip
INSTANCE_MEMORY = Figure(
    key="instance-memory", title="one more instance: memory", unit="B",
    method="What holds an instance and what its boundary holds, together. An emulated VM's grows with "
    f"its age, and with each look, by the code that emulation translates. {ONCE}",
)  # fmt: skip
INSTANCE_PROCESSES = Figure(
    key="instance-processes", title="one more instance: processes, on the host and inside together", unit="1",
    method="What holds an instance, init, other services and the workload together, without kernel threads.",
)  # fmt: skip
INSTANCE_DISK = Figure(
    key="instance-disk", title="one more instance: on disk", unit="B",
    method="The same as its disk of its own: image and programs are there already.",
)  # fmt: skip
TOTALS = (INSTANCE_MEMORY, INSTANCE_PROCESSES, INSTANCE_DISK)
FIGURES = (*TOTALS, *(figure for figures in LAYER_FIGURES.values() for figure in figures), CACHE, PACKAGES)

OWN_KERNEL = "is its kernel another one than this host's?"
ROOT = "what is its root file system?"
NAMESPACES = "which namespaces of the host's kernel are its own?"


def whose(part: str) -> str:
    """The question who shares a layer."""
    return f"{PARTS[part]}: one for all, or one for each?"


SUMMARY = (
    *(
        SummaryCell(row=Row.ABSTRACTION, question=whose(part))
        for part in ("runner", "boundary", "kernel", "init")
    ),
    SummaryCell(row=Row.ABSTRACTION, figure=INSTANCE_PROCESSES.key, label=INSTANCE_PROCESSES.title),
    SummaryCell(row=Row.ABSTRACTION, figure=PACKAGES.key),
    SummaryCell(row=Row.KERNEL, question=OWN_KERNEL, need="kernel"),
    SummaryCell(row=Row.MEMORY, figure=INSTANCE_MEMORY.key),
    SummaryCell(row=Row.DISK, figure="disk-image",
                label="image: on disk, a VM's compressed, a container's layers not"),
    SummaryCell(row=Row.DISK, figure=INSTANCE_DISK.key,
                label="one more instance: on disk, a VM's blocks, sizes of a container's files"),
    SummaryCell(row=Row.TOOLS, question=whose("orchestrator")),
)  # fmt: skip


def conclude(result: RunResult) -> list[Conclusion]:
    """What a run says of both stacks."""
    return [
        compare(result, INSTANCE_PROCESSES, CONTAINER, VM,
                "One more container is fewer processes than one more VM."),
        compare(result, PACKAGES, CONTAINER, VM, "A container's image holds fewer packages than a VM's."),
        _whose_kernel(result, VM, "yes", "runs a kernel of its own"),
        _whose_kernel(result, CONTAINER, "no", "runs on this host's kernel, as all containers on it do"),
    ]  # fmt: skip


def _whose_kernel(result: RunResult, variant: Variant, verdict: str, what: str) -> Conclusion:
    found = [f for f in result.findings if f.variant == variant.key and f.question == OWN_KERNEL]
    same = agreed(found) == verdict
    basis = f"boot ids compared {len(found)} times"
    if not same:
        basis += f": they differ between repetitions, or there are fewer than {CLAIM_REPETITIONS}"
    return Conclusion(
        text=f"{sentence(variant)}: each {what}.", carried=same, basis=basis, variants=[variant.key]
    )
