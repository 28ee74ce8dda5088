"""What the startup exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Mapping

from pairlab.differences import Need, Row, SummaryCell
from pairlab.exercise._conclude import combined, compare, told, too_few
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

START = Figure(
    key="start", title="start to first good answer", unit="s",
    method="From the request to start (fresh: the call that declares one instance more; stopped: the call "
    "that starts a VM again, or the end of a container, from which on Swarm sees to another) to the end of "
    "the first request that this very instance answered with 200 through its front door. The client sends "
    "20 requests a second, which the instances answer in turn: with n of them, one meets each every n "
    "twentieths of a second. Images are on the host and the page cache is as it is: nothing is pulled, "
    "nothing is dropped.",
)  # fmt: skip
SERVING = Figure(
    key="serving", title="start until it could serve", unit="s",
    method="From the same request to when its serving process began, by its own clock set against this "
    "host's; what follows is waiting until others notice.",
)  # fmt: skip
STOP = Figure(
    key="stop", title="stop", unit="s",
    method="From the request to end in good order to the end of its last process: a VM's guest powers off, "
    "told over an open connection, and libvirt is asked every 0.05 s; a container's first process gets its "
    "stop signal, and the engine tells when it has ended.",
)  # fmt: skip
RESTART = Figure(
    key="restart", title="out of service: stopped and started again", unit="s",
    method="From the request to stop to the first good answer after the next start, which is asked for at "
    "once.",
)  # fmt: skip
ALL = Figure(
    key="all", title="until the last of all has answered", unit="s",
    method="All instances of a side stopped, then started at the same time: from the first request to start "
    "to the first good answer of the last one.",
)  # fmt: skip
DECLARE = Figure(
    key="declare", title="phase: Pulumi", unit="s", part_of=START.key,
    method="From the call to when a provider turns to the first resource: the engine, its state, the "
    "program.",
)  # fmt: skip
PROVIDE = Figure(
    key="provide", title="phase: libvirt, or Docker and Swarm", unit="s", part_of=START.key,
    method="From there, or from the request where nothing is declared, to the begin of its first process on "
    "the host, QEMU or process 1 of the container, by the kernel's record of processes (in hundredths of a "
    "second). For a fresh VM disk and seed are made; a container that ended is replaced after the declared "
    "second.",
)  # fmt: skip
FIRMWARE = Figure(
    key="firmware", title="phase: firmware", unit="s", part_of=START.key,
    method="From the begin of QEMU to the zero of the guest kernel's clock: QEMU's own start, the firmware, "
    "and loading and unpacking the kernel. The guest's clock is set against the host's after its start, by "
    "its uptime; it does not tick before the kernel has set up its timer.",
)  # fmt: skip
KERNEL = Figure(
    key="kernel", title="phase: kernel", unit="s", part_of=START.key,
    method="From there to the begin of systemd, as it tells (UserspaceTimestampMonotonic): the kernel and "
    "the initial RAM file system.",
)  # fmt: skip
INIT = Figure(
    key="init", title="phase: init", unit="s", part_of=START.key,
    method="From there to when systemd turns to the workload's unit (InactiveExitTimestampMonotonic): "
    "systemd itself, and what the unit waits for, without the seed.",
)  # fmt: skip
SEED = Figure(
    key="seed", title="phase: seed (cloud-init)", unit="s", part_of=START.key,
    method="Of that time, what units took to apply the lab's seed (accounts, keys, files, network), from "
    "InactiveExitTimestampMonotonic to ActiveEnterTimestampMonotonic: pairlab-seed.service, or those of "
    "cloud-init that end before the workload's unit begins. None in a guest that has no such unit.",
)  # fmt: skip
APP = Figure(
    key="app", title="phase: the workload", unit="s", part_of=START.key,
    method="From the begin of the workload's unit, or of the container's first process, to the begin of its "
    "first serving process, by the clock inside (in hundredths of a second).",
)  # fmt: skip
TRUST = Figure(
    key="trust", title="phase: the orchestrator's health check", unit="s", part_of=START.key,
    method="From there to when Swarm says that the container runs, which it does once the declared health "
    "check, every 2 s, was good.",
)  # fmt: skip
DOOR = Figure(
    key="door", title="phase: the front door notices", unit="s", part_of=START.key,
    method="From there to the first good answer: the front door's DNS (every 0.5 s) and its own check "
    "(every 0.25 s), and the client's turn. Less than nothing where the door was faster than who was to "
    "tell it.",
)  # fmt: skip
PHASES = (DECLARE, PROVIDE, FIRMWARE, KERNEL, INIT, SEED, APP, TRUST, DOOR)
FIGURES = (START, SERVING, STOP, RESTART, ALL, *PHASES)

VM, CONTAINER = SideName.VM, SideName.CONTAINER
VM_COLD = Variant(key="vm-cold", title="VM, fresh", side=VM)
VM_WARM = Variant(key="vm-warm", title="VM, stopped and started", side=VM)
VM_ALL = Variant(key="vm-all", title="VMs, all at once", side=VM)
CONTAINER_COLD = Variant(key="container-cold", title="container, fresh", side=CONTAINER)
CONTAINER_WARM = Variant(key="container-warm", title="container, stopped and replaced", side=CONTAINER)
CONTAINER_ALL = Variant(key="container-all", title="containers, all at once", side=CONTAINER)
COLD = {VM: VM_COLD, CONTAINER: CONTAINER_COLD}
WARM = {VM: VM_WARM, CONTAINER: CONTAINER_WARM}
TOGETHER = {VM: VM_ALL, CONTAINER: CONTAINER_ALL}
VARIANTS = (VM_COLD, CONTAINER_COLD, VM_WARM, CONTAINER_WARM, VM_ALL, CONTAINER_ALL)

SAME_DISK = "started again: has it the disk that it had?"
STAYS_STOPPED = "stopped: can it stay so, until somebody starts it?"


def _line(
    figure: Figure, of: Mapping[SideName, Variant], label: str, need: Need | None = None
) -> SummaryCell:
    keys = [variant.key for variant in of.values()]
    return SummaryCell(row=Row.START, figure=figure.key, variants=keys, label=label, need=need)


SUMMARY = (
    _line(START, COLD, "a fresh one, from its declaration to its first good answer", "start"),
    _line(START, WARM, "a stopped one, from its start to its first good answer"),
    _line(APP, WARM, "of it, the workload's own start"),
    _line(STOP, WARM, "to stop one"),
    _line(ALL, TOGETHER, "all at once, until the last answers"),
    SummaryCell(row=Row.START, question=SAME_DISK),
)

MACHINE = (FIRMWARE, KERNEL, INIT, SEED)
WAITING = (PROVIDE, TRUST, DOOR)
HALF = 50.0


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples of a run say of starts."""
    return [
        compare(result, START, CONTAINER_COLD, VM_COLD, "A fresh container answers sooner than a fresh VM."),
        compare(result, START, CONTAINER_WARM, VM_WARM,
                "A stopped container is replaced sooner than a stopped VM is back."),
        compare(result, STOP, CONTAINER_WARM, VM_WARM, "A container stops faster than a VM."),
        compare(result, SERVING, VM_WARM, VM_COLD,
                "To start a VM again on its disk takes less than to declare and start a fresh one."),
        _share(result, VM_WARM, MACHINE, "its machine (firmware, kernel, init, seed)",
               "Most of a VM's start is its machine, not its workload."),
        _share(result, CONTAINER_WARM, WAITING, "waiting for those around it",
               "Most of a container's start is others: who starts it, checks it and finds it."),
        *(compare(result, START, WARM[side], TOGETHER[side], f"{name} started all at once are slower each.")
          for side, name in ((VM, "VMs"), (CONTAINER, "Containers"))),
    ]  # fmt: skip


def _share(
    result: RunResult, variant: Variant, phases: tuple[Figure, ...], name: str, claim: str
) -> Conclusion:
    """The claim that some phases together were more than half of each start."""
    known = [samples for phase in phases if (samples := result.samples_of(phase.key, variant.key))]
    starts = result.samples_of(START.key, variant.key)
    shares = combined(lambda start, *parts: 100 * sum(parts) / start, starts, *known) if known else []
    values = [sample.value for sample in shares]
    lacking = too_few(shares) or ("" if min(values) > HALF else ": not more than half of each")
    part = Figure(key="part", title="part of its start", unit="%", method="")
    return Conclusion(
        text=claim,
        carried=not lacking,
        basis=f"{part.title}: {name} {told(values, part)}{lacking}",
        variants=[variant.key],
    )
