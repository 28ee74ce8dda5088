"""The rules of `lab.advise`: for each requirement a pure function of it and of what was measured.

Each reason rests on a measured cell of the table of key differences or on a rule that somebody published.
Limits are held against samples, never against those of emulated VMs. What an instance can do is no matter of
speed, so findings of emulated VMs stand beside published rules, marked; they decide nothing alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pairlab.differences import Need
from pairlab.model import SideName
from pairlab.report.advice.limits import OTHER, PLURAL, exercises_for, gap, hold, unmeasured
from pairlab.report.advice.reasons import (
    Basis,
    Gap,
    Reason,
    Ruling,
    Standing,
    Weight,
    all_measured,
    measured,
)
from pairlab.report.advice.requirements import Requirements, Topic
from pairlab.report.summary import Line, Summary
from pairlab.results import Sample, is_less

VM, CONTAINER = SideName.VM, SideName.CONTAINER

SHARED_KERNEL = Basis(
    "cited",
    "containers share their host's kernel, which leaves more to attack between them than a hypervisor does",
    "NIST SP 800-190, Application Container Security Guide, 2017, section 3.5.2",
)
MODULES = Basis(
    "cited",
    "loading a module takes CAP_SYS_MODULE, and the module is then in the one kernel of the host",
    "Linux manual pages, capabilities(7) and init_module(2)",
)
WRITABLE_LAYER = Basis(
    "cited",
    "what is written to a container's own layer does not outlive the container; volumes do",
    "Docker documentation, Storage",
)
OWN_DISK = Basis(
    "cited",
    "a persistent guest stays when it is off or its host restarts; its disks are removed only on request",
    "libvirt wiki, VM lifecycle; virsh manual, undefine --remove-all-storage",
)
GPU_CONTAINER = Basis(
    "cited",
    "containers reach a GPU through its device files, with the driver of the host's kernel",
    "AMD ROCm documentation, Deploy ROCm Docker containers",
)
GPU_VM = Basis(
    "cited",
    "a PCI device that is passed through is taken from the host and given to one guest while that runs",
    "IBM, Linux on IBM Z, libvirt's hostdev element",
)
EQUAL_OR_BETTER = Basis(
    "cited",
    "containers result in equal or better performance than VMs in almost all cases",
    "Felter et al., An Updated Performance Comparison of Virtual Machines and Linux Containers, IBM RC25482,"
    " 2014, abstract",
)
FIRECRACKER = Basis(
    "cited",
    "a Firecracker VM on hardware virtualisation starts its init within 125 ms, with a minimal kernel",
    "Firecracker, SPECIFICATION.md",
)


def kernel(_: Requirements, summary: Summary) -> Ruling:
    """Another kernel or operating system: only a VM brings its own."""
    text = "A VM brings its own kernel; every container runs on its host's."
    changed_by = "a host that runs the wanted kernel, for containers of one operating system only"
    return _only_vms("kernel", text, SHARED_KERNEL, changed_by, summary)


def tenants(_: Requirements, summary: Summary) -> Ruling:
    """Untrusted tenants: a kernel between them."""
    text = (
        "Between tenants who do not trust each other belongs a hypervisor: one flaw of a shared kernel opens"
        " all containers on it."
    )
    changed_by = "tenants who trust each other, or a host for each"
    return _only_vms("tenants", text, SHARED_KERNEL, changed_by, summary)


def modules(_: Requirements, summary: Summary) -> Ruling:
    """Kernel modules: they go into the one kernel of the host."""
    text = "A module that an instance loads for itself needs a kernel of its own."
    return _only_vms("modules", text, MODULES, "modules that the host's administrator loads for all", summary)


def start(required: Requirements, summary: Summary) -> Ruling:
    """A new instance must serve within a time."""
    return hold("start", required, summary, published=(FIRECRACKER,))


def memory(required: Requirements, summary: Summary) -> Ruling:
    """So many instances in so much memory, each taken to need what one needs."""
    return hold("memory", required, summary)


def patch(required: Requirements, summary: Summary) -> Ruling:
    """A security update must be in all instances within a time."""
    return hold("patch", required, summary)


def compute(required: Requirements, summary: Summary) -> Ruling:
    """A GPU, or as much of the processor as there is."""
    faster, bases, gaps = _cheaper(summary)
    if required.compute == "gpu":
        reason = Reason(
            "compute", CONTAINER, Weight.PREFER,
            "Several containers can share a GPU as it is; a VM takes all of it, unless it can be divided.",
            (GPU_CONTAINER, GPU_VM),
            "one instance a GPU, a GPU that can be divided, or a driver that must differ from the host's",
        )  # fmt: skip
        return Ruling((reason,))
    if not bases:
        faster, bases = CONTAINER, (EQUAL_OR_BETTER,)
    text = (
        f"{PLURAL[faster].capitalize()} cost the least of the processor."
        if faster
        else "Measured here, neither side costs clearly less in every figure."
    )
    reason = Reason(
        "compute", faster, Weight.PREFER, text, bases, "a workload that waits more than it computes"
    )
    return Ruling((reason,), gaps)


def state(_: Requirements, summary: Summary) -> Ruling:
    """State inside instances: a disk of one's own against a layer that goes with the container."""
    lines = summary.lines("state")
    found = tuple(all_measured(lines))
    if _outlives(lines, CONTAINER) and not _outlives(lines, VM):
        text, towards = (
            "Measured here, what is inside a container outlives it, and what is inside a VM does not.",
            None,
        )
    else:
        text, towards = "A VM's own disk outlives its failure; a container's own layer does not.", VM
    return Ruling(
        (
            Reason(
                "state", towards, Weight.PREFER, text, (OWN_DISK, WRITABLE_LAYER, *found),
                "state in volumes, or in a service outside the instances",
            ),
        ),
        () if found else (unmeasured("state", summary),),
    )  # fmt: skip


def skills(required: Requirements, _: Summary) -> Ruling:
    """What people know decides only where nothing else does."""
    if required.skills not in (VM, CONTAINER):
        return Ruling()
    side = SideName(required.skills)
    said = Basis("cited", f"those who operate it know {PLURAL[side]}", "your own answer")
    return Ruling(
        (Reason("skills", side, Weight.HABIT, "What people know, they operate with fewer mistakes.", (said,),
                f"people who know {PLURAL[OTHER[side]]} as well"),)
    )  # fmt: skip


RULES: Mapping[Topic, Callable[[Requirements, Summary], Ruling]] = {
    "kernel": kernel,
    "tenants": tenants,
    "start": start,
    "memory": memory,
    "modules": modules,
    "compute": compute,
    "patch": patch,
    "state": state,
    "skills": skills,
}


def _only_vms(topic: Need, text: str, cited: Basis, changed_by: str, summary: Summary) -> Ruling:
    """What a container cannot have; what was found here stands beside the published rule."""
    found = tuple(all_measured(summary.lines(topic)))
    reason = Reason(topic, VM, Weight.MUST, text, (cited, *found), changed_by)
    return Ruling((reason,), () if found else (unmeasured(topic, summary),))


def _cheaper(summary: Summary) -> tuple[SideName | None, tuple[Basis, ...], tuple[Gap, ...]]:
    """The side that does better in every figure of the overhead, where samples of real VMs carry it."""
    winners: set[SideName | None] = set()
    bases: list[Basis] = []
    emulated: list[Basis] = []
    for line in summary.lines("compute"):
        vms, containers = line.of(VM), line.of(CONTAINER)
        if not line.figure or line.figure.better == "neither" or len(vms) != 1 or len(containers) != 1:
            continue
        told = [measured(line, entry) for entry in (*vms, *containers)]
        if vms[0].is_emulated:
            emulated += told
            continue
        bases += told
        winners.add(_better(line.figure.better == "lower", vms[0].samples, containers[0].samples))
    gaps: tuple[Gap, ...] = ()
    if emulated:
        found = Standing("emulated", tuple(emulated))
        gaps = (gap("compute", PLURAL[VM], found, exercises_for("compute", summary)),)
    elif not bases:
        gaps = (unmeasured("compute", summary),)
    return winners.pop() if len(winners) == 1 else None, tuple(bases), gaps


def _better(lower: bool, vms: Sequence[Sample], containers: Sequence[Sample]) -> SideName | None:
    if is_less(vms, containers):
        return VM if lower else CONTAINER
    if is_less(containers, vms):
        return CONTAINER if lower else VM
    return None


def _outlives(lines: Sequence[Line], side: SideName) -> bool:
    """Whether some variant of a side kept its state in every repetition."""
    entries = [entry for line in lines for entry in line.of(side) if entry.answers]
    return any(all(answer.verdict == "yes" for answer in entry.answers) for entry in entries)
