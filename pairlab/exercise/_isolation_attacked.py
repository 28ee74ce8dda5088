"""What attacks from inside an instance cost, what is asked of each, and what may be concluded from it."""

from __future__ import annotations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import compare
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

VM = Variant(key="vm-attacked", title="VM, attacked from inside", side=SideName.VM)
CONTAINER = Variant(
    key="container-attacked", title="container, attacked from inside", side=SideName.CONTAINER
)
VARIANTS = (VM, CONTAINER)

LIMIT_CPUS = 0.25
RATE_HZ = 60.0
WINDOW_S = 5.0
"""Half of its requests are others': enough for a 99th percentile that is not their slowest."""
MIB = 1024**2
DISK_BYTES = 64 * MIB

TAKEN = Figure(
    key="memory-taken", title="memory that the attacker got", unit="B", better="neither",
    method="Whole MiB that one process inside had written to when it was ended.",
)  # fmt: skip
MEMORY_KEPT = Figure(
    key="memory-kept", title="memory of this host that stays taken after that", unit="B",
    method="The instance's memory on this host (PSS of QEMU, or of the container's processes and shim) once "
    "the attacker is gone, less the same before it began.",
)  # fmt: skip
SILENT = Figure(
    key="memory-silent", title="silence of the attacked one meanwhile", unit="s",
    method="Longest time between two good answers of the attacked instance at the front door, of 20 requests "
    "a second that it shares with the others; from the end of one to the end of the next.",
)  # fmt: skip
MEMORY_FAILED = Figure(
    key="memory-failed", title="failed requests while memory was exhausted", unit="1",
    method="Requests at the front door that got no answer of 200 within 5 s, from a second before the attack "
    "until the attacked instance answered after it.",
)  # fmt: skip
MADE = Figure(
    key="processes-made", title="processes that the bomb made", unit="1", better="neither",
    method="Children that one process inside had when it could make no more, or had as many as it wanted.",
)  # fmt: skip
THREADS = Figure(
    key="host-threads", title="threads that this host's kernel got by that", unit="1",
    method="Threads of QEMU, or of the container and its shim, while the bomb's children live, less the same "
    "before.",
)  # fmt: skip
DISK_TAKEN = Figure(
    key="disk-taken", title="disk of this host that the flood took", unit="B", better="neither",
    method=f"The instance's own disk on this host (its overlay, or its writable layer) after "
    f"{DISK_BYTES // MIB} MiB were written inside, less the same before the first flood of the run.",
)  # fmt: skip
DISK_KEPT = Figure(
    key="disk-kept", title="disk of this host that stays taken after removal", unit="B",
    method="The same after the file was removed inside.",
)  # fmt: skip
LOST = Figure(
    key="lost", title="others that were lost", unit="1",
    method="Other instances, of both sides, whose first process or kernel was another after an attack than "
    "before, or who did not answer; all attacks of one repetition together.",
)  # fmt: skip
CONDITIONS = {
    "calm": "while all are calm",
    "declared": "beside a busy one, as declared",
    "raised": "beside a busy one, without limit",
    "limited": f"beside a busy one, limited to {LIMIT_CPUS:g} CPU",
}
"""Key -> what one instance does meanwhile, and what holds it."""
BUSY = tuple(key for key in CONDITIONS if key != "calm")
_OTHERS = (
    f"From the start of a request at the front door to the end of its answer, of {RATE_HZ:g} requests a"
    f" second over {WINDOW_S:g} s, without those that the busy instance itself answered. The client and the"
    " front door use the same processors of this host. With two instances that is half of them, of which the"
    " slowest hundredth are one or two."
)
P50 = {
    key: Figure(key=f"p50-{key}", title=f"others' median latency {when}", unit="ms", method=_OTHERS)
    for key, when in CONDITIONS.items()
}
P99 = {
    key: Figure(key=f"p99-{key}", title=f"others' 99th percentile {when}", unit="ms", method=_OTHERS)
    for key, when in CONDITIONS.items()
}
BURNED = {
    key: Figure(
        key=f"burned-{key}", title=f"CPUs that the busy one burned, {CONDITIONS[key].split(', ')[1]}",
        unit="1", better="neither",
        method="CPU time that the instance used over the window by its host's account, by the window's time.",
    )
    for key in BUSY
}  # fmt: skip
BUSY_FAILED = Figure(
    key="busy-failed", title="failed requests beside a busy one", unit="1",
    method="Requests at the front door, whoever they were for, that got no answer of 200 within 5 s, from "
    "the calm window to the end of the last one.",
)  # fmt: skip
PANIC_FAILED = Figure(
    key="panic-failed", title="failed requests around a kernel panic", unit="1",
    method="Requests at the front door that got no answer of 200 within 5 s, of 20 a second, from a second "
    "before the panic until the instance was started again and answered.",
)  # fmt: skip
FIGURES = (
    TAKEN, MEMORY_KEPT, SILENT, MEMORY_FAILED, MADE, THREADS, DISK_TAKEN, DISK_KEPT, LOST,
    *P50.values(), *P99.values(), *BURNED.values(), BUSY_FAILED, PANIC_FAILED,
)  # fmt: skip

MEMORY_ALONE = "memory exhaustion: is only the attacker ended?"
PROCESSES_DECLARED = "process bomb: does a limit of this host hold it, as declared?"
PROCESSES_LIMIT = "process bomb: can this host limit it?"
PROCESSES_ALONE = "process bomb: do all others go on?"
PROCESSES_WAY_IN = "process bomb: can an administrator still work inside?"
DISK_BOUNDED = "disk filling: is what it can take of this host's disk bounded?"
DISK_ALONE = "disk filling: do all others go on?"
BUSY_LIMIT = "busy neighbour: can its CPU be limited while it runs?"
BUSY_RAISE = "busy neighbour: can it be left without a limit?"
PANIC_ALONE = "kernel panic: does only the attacked instance end?"
PANIC_KNOWN = "kernel panic: does its stack know?"
ONCE = (MEMORY_ALONE, BUSY_LIMIT, BUSY_RAISE, PANIC_ALONE, PANIC_KNOWN)
"""Asked once a run, however long it is: of them nothing is claimed."""
SUMMARY = (
    *(
        SummaryCell(row=Row.ISOLATION, question=question, variants=[VM.key, CONTAINER.key])
        for question in (MEMORY_ALONE, PROCESSES_DECLARED, DISK_BOUNDED, PANIC_ALONE)
    ),
    *(
        SummaryCell(row=Row.ISOLATION, figure=P99[key].key, variants=[VM.key, CONTAINER.key])
        for key in ("calm", "declared")
    ),
)


def conclude(result: RunResult) -> list[Conclusion]:
    """What a run says of attacks and what they cost."""
    return [
        compare(result, THREADS, VM, CONTAINER,
                "A process bomb in a VM burdens this host's kernel less than one in a container that is"
                " limited."),
        compare(result, DISK_KEPT, CONTAINER, VM,
                "A file that was written and removed inside keeps less of this host's disk for a container"
                " than for a VM."),
    ]  # fmt: skip
