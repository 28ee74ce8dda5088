"""What the overhead exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import compare, order, told, too_few
from pairlab.model import Accelerator, SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

ARRAY_BYTES = 8 * 1024**2
"""Of each of the three arrays that every worker of STREAM has."""
FILE_BYTES = 64 * 1024**2
NEARLY_ALL = 90.0
"""Per cent of the host's speed from which a place computes at about the speed of the host."""
BUSY_PERCENT, STOLEN_PERCENT = 10.0, 2.0
"""Of this host's CPU time: more used by others, or taken away, and a run is named as disturbed."""

ONE_CORE = "One second on one CPU: the last that its kernel lets it use."
INTEGER = Figure(
    key="integer", title="integer arithmetic: SHA-256", unit="B/s", better="higher",
    method="Bytes that `openssl speed` hashed, in blocks of 16 KiB, with plain x86-64 instructions only, so "
    f"that all places run the same instructions. {ONE_CORE}",
)  # fmt: skip
FLOAT = Figure(
    key="float", title="floating point: products of matrices", unit="1/s", better="higher",
    method="Products of two 128 by 128 matrices by stress-ng (`--matrix-method prod`), a compiled loop of "
    f"multiplications and additions. {ONE_CORE}",
)  # fmt: skip
MEMORY = Figure(
    key="memory", title="memory and last cache: STREAM in 24 MiB", unit="B/s", better="higher",
    method="Bytes that stress-ng's STREAM (copy, scale, add, triad) moves in three arrays of 8 MiB, with "
    "a little arithmetic. Where the last cache is large they may lie in it, and then it is the cache that is "
    "measured: a finding tells. Filling them at first is part of the time, so they are not larger: emulation "
    "would do nothing else. Two seconds on one CPU, as above.",
)  # fmt: skip
FLOAT_ALL = Figure(
    key="float-all", title="products of matrices, all cores", unit="1/s", better="higher",
    method="The same with a worker for each CPU, on as many CPUs as every place has; the sum of all workers.",
)  # fmt: skip
MEMORY_ALL = Figure(
    key="memory-all", title="STREAM in 24 MiB a core, all cores", unit="B/s", better="higher",
    method="The same with a worker for each CPU, each with three arrays of its own; the sum of all workers.",
)  # fmt: skip
CALLS = Figure(
    key="calls", title="system calls", unit="1/s", better="higher",
    method="Reads of one byte of /dev/zero and writes of one to /dev/null by `dd`, divided by its own time. "
    f"Hardly anything is done but to enter and leave the kernel. {ONE_CORE}",
)  # fmt: skip
SWITCHES = Figure(
    key="switches", title="context switches", unit="1/s", better="higher",
    method="Messages through a pipe from one process of stress-ng (`--switch-method pipe`) to another on the "
    f"same CPU, which has to switch for each. {ONE_CORE}",
)  # fmt: skip
FORKS = Figure(
    key="forks", title="new processes", unit="1/s", better="higher",
    method="Processes that a worker of stress-ng forks (`--fork 1`), which end at once and are waited for. "
    f"{ONE_CORE}",
)  # fmt: skip
WRITE = Figure(
    key="write", title="disk: sequential write", unit="B/s", better="higher",
    method="One second of `sysbench fileio` in blocks of 1 MiB, of a file of 64 MiB on its disk, past "
    "its kernel's page cache (O_DIRECT) if every place can; fsync after every 16 MiB and at the end.",
)  # fmt: skip
READ = Figure(
    key="read", title="disk: sequential read", unit="B/s", better="higher",
    method="One second of reads of 1 MiB in the order of the same file, over and over, past its kernel's "
    "page cache if every place can. A VM's disk is a file of this host, which may hold it cached.",
)  # fmt: skip
FETCH = Figure(
    key="fetch", title="disk: random reads", unit="1/s", better="higher",
    method="One second of reads of 4 KiB at random places of the same file, one after the other, past its "
    "kernel's page cache if every place can. A VM's disk is a file of this host, which may hold it cached.",
)  # fmt: skip
COMMIT = Figure(
    key="commit", title="disk: random writes, each made durable", unit="1/s", better="higher",
    method="One second of writes of 4 KiB at random places of the same file, one after the other, each with "
    "an fsync, as a data base does when it commits.",
)  # fmt: skip
DISK = (WRITE, READ, FETCH, COMMIT)
SPEEDS = (INTEGER, FLOAT, MEMORY, FLOAT_ALL, MEMORY_ALL, CALLS, SWITCHES, FORKS, *DISK)


def _share(figure: Figure) -> Figure:
    return Figure(
        key=f"{figure.key}-share",
        title=f"{figure.title}, of this host's speed",
        unit="%",
        better="higher",
        method="That figure, divided by that of this host itself in the same repetition, seconds before.",
    )


SHARES = {figure.key: _share(figure) for figure in SPEEDS}
OTHERS = Figure(
    key="others", title="CPU that others used meanwhile", unit="%",
    method="In each run, of all CPU time of this host (/proc/stat): what was used, without what the programs "
    "used (`times` of their shell; for a VM: of its QEMU, as libvirt counts). It includes what starts "
    "the run, and what this host's kernel does, also for the programs, in interrupts and threads of its own.",
)  # fmt: skip
STOLEN = Figure(
    key="stolen", title="CPU taken from this host meanwhile", unit="%",
    method="In each run, the steal of /proc/stat of all CPU time of this host: what a machine below it kept "
    "back. None where this host is no VM itself.",
)  # fmt: skip
STOLEN_INSIDE = Figure(
    key="stolen-inside", title="CPU taken from the guest meanwhile", unit="%",
    method="In each run, the same of the guest's /proc/stat. Under emulation a guest has no clock for that, "
    "and tells 0.",
)  # fmt: skip
FIGURES = (*SPEEDS, *SHARES.values(), OTHERS, STOLEN, STOLEN_INSIDE)

HOST = Variant(key="host", title="this host itself", side=None)
CONTAINER = Variant(key="container", title="container", side=SideName.CONTAINER)
VM = Variant(key="vm", title="VM", side=SideName.VM)
VARIANTS = (HOST, CONTAINER, VM)
PLACES = {SideName.CONTAINER: CONTAINER, SideName.VM: VM}
HOW = {Accelerator.TCG: "VM (tcg)", Accelerator.KVM: "VM (kvm)"}


def variants(accelerator: Accelerator) -> Sequence[Variant]:
    """The same, with how the VM runs in its title."""
    return (HOST, CONTAINER, VM.model_copy(update={"title": HOW[accelerator]}))


def _cell(figure: Figure) -> SummaryCell:
    # A requirement rests on one figure of an exercise: what computes most is what HPC would ask for.
    need = "compute" if figure is FLOAT_ALL else None
    places = [CONTAINER.key, VM.key]
    return SummaryCell(row=Row.OVERHEAD, figure=SHARES[figure.key].key, variants=places, need=need)


SUMMARY = tuple(_cell(figure) for figure in SPEEDS)

SAME = "the programs: are they the same files as on this host?"
CPUS = "its CPUs: may it use as many as are compared?"
PROCESSOR = "its processor: what do programs see?"
CACHE = "its last cache: may STREAM's arrays lie in it?"
FILTER = "its system calls: does a filter look at them?"
STORAGE = "its disk: what does the test file lie on?"
QUIET = "was this host undisturbed while it was measured?"
KERNEL_WORKS = (
    "in tests of the disk, others are likely this host's kernel, which works for them in threads of its own"
    " and in interrupts"
)


def conclude(result: RunResult) -> Iterator[Conclusion]:
    """What the samples of a run say of overhead."""
    yield _computes(result)
    claim = "A container makes fewer system calls a second than a program of this host itself."
    yield compare(result, CALLS, CONTAINER, HOST, claim)
    how = result.environment.accelerator
    vm = ("a VM" if how == Accelerator.KVM else "an emulated VM", VM)
    for figure in SPEEDS:
        claim = f"{{less}} keeps less of this host's speed than {{more}} in: {figure.title}."
        yield order(result, SHARES[figure.key], vm, ("a container", CONTAINER), claim)


def _computes(result: RunResult) -> Conclusion:
    """Whether a container computes as fast as its host."""
    shares = {
        figure: result.values(SHARES[figure.key].key, CONTAINER.key)
        for figure in (INTEGER, FLOAT, MEMORY, FLOAT_ALL, MEMORY_ALL)
    }
    measured = [result.samples_of(SHARES[figure.key].key, CONTAINER.key) for figure in shares]
    keeps = all(value >= NEARLY_ALL for values in shares.values() for value in values)
    lacking = too_few(*measured) or ("" if keeps else f": not all are {NEARLY_ALL:g} % or more")
    return Conclusion(
        text=f"A container computes, and uses memory, at no less than {NEARLY_ALL:g} % of this host's speed.",
        carried=not lacking,
        basis="; ".join(
            f"{figure.title}: {told(values, SHARES[figure.key])}" for figure, values in shares.items()
        )
        + lacking,
        variants=[CONTAINER.key],
    )
