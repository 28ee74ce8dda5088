"""What the hybrid exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Iterator

from pairlab.differences import Row, SummaryCell
from pairlab.exercise import _overhead_figures as speeds
from pairlab.exercise._conclude import agreed, claim_less, compare, counted, order, sentence
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

VM = Variant(key="vm", title="VM", side=SideName.VM)
CONTAINER = Variant(key="container", title="container", side=SideName.CONTAINER)
IN_VM = Variant(key="container-in-vm", title="container in a VM", side=SideName.VM)
IN_CONTAINER = Variant(
    key="vm-in-container", title="VM in a container", side=SideName.CONTAINER, emulated=True
)
HOST = speeds.HOST.model_copy(update={"baseline": True})
FOUR = (VM, CONTAINER, IN_VM, IN_CONTAINER)
VARIANTS = (*FOUR, HOST)

START = Figure(
    key="start", title="start of all of it to first good answer", unit="s",
    method="From the request to start (VM: libvirt's, of a VM that was stopped, a container in it included, "
    "which the VM starts at its own start; container: the end of the one before, from which on Swarm sees to "
    "another, a VM in it included) to the end of the first request that this very instance answered with "
    "200 through its side's front door; 20 requests a second, which instances answer in turn. Images are at "
    "hand.",
)  # fmt: skip
INNER = Figure(
    key="start-inner", title="start in a VM that runs", unit="s",
    method="From the call over ssh that creates the container and starts it, in a VM that has been up and "
    "has the image, to the end of the first request that it answered with 200 through the front door.",
)  # fmt: skip
SEND = Figure(
    key="send", title="container image sent into the VM", unit="s",
    method="From the start of the copy over ssh to its end, of the archive as `docker save` writes it.",
)  # fmt: skip
SENT = Figure(
    key="sent", title="container image sent into the VM: bytes", unit="B",
    method="Size of that archive, uncompressed.",
)  # fmt: skip
LOAD = Figure(
    key="load", title="container image taken in by the VM's engine", unit="s",
    method="From the call that reads the archive into the engine's store, in the VM, to its end.",
)  # fmt: skip
MEMORY = Figure(
    key="memory", title="memory of the host", unit="B",
    method="Proportional set size of the instance's processes on the host, from their smaps, and of the "
    "shim that holds a container: for a VM, QEMU with all that its guest has touched; after a fresh start, "
    "once it had answered.",
)  # fmt: skip
CHARGED = Figure(
    key="charged", title="charged to its control group", unit="B",
    method="Memory that the instance's control group is charged, without file cache, read with the former.",
)  # fmt: skip
DISK = Figure(
    key="own-disk", title="disk of its own", unit="B",
    method="What its own disk occupies on the host (VM: its overlay, after its guest wrote back what it "
    "had; container: sizes of the files in its writable layer), beside the image.",
)  # fmt: skip
IMAGE = Figure(
    key="image", title="images that it starts from", unit="B",
    method="Files of its image (container: layers, uncompressed; VM: disk, compressed, and kernel). For a "
    "container in a VM both are needed; the image of a VM in a container holds QEMU and that VM's image.",
)  # fmt: skip
PROCESSES = Figure(
    key="processes", title="processes on the host", unit="1",
    method="Processes of its control group, and the shim that holds a container.",
)  # fmt: skip
ENGINE = Figure(
    key="engine-inside", title="what holds the container in its VM: memory", unit="B",
    method="Memory without a file (RssAnon and RssShmem) of the VM's processes conmon, which hold its "
    "containers. The engine itself has no daemon: it ends when it has started one.",
)  # fmt: skip
P50 = Figure(
    key="p50", title="latency, median", unit="ms",
    method="Median over the requests that this instance answered with 200, each from before the connection "
    "to the end of the answer; 20 a second at the front door, which its instances answer in turn, so that "
    "the plain and the nested one are asked in the same seconds.",
)  # fmt: skip
SPEEDS = (speeds.INTEGER, speeds.FLOAT, speeds.CALLS, speeds.SWITCHES, speeds.FORKS)
SHARES = tuple(speeds.SHARES[figure.key] for figure in SPEEDS)
FIGURES = (
    START, INNER, SEND, SENT, LOAD, MEMORY, CHARGED, DISK, IMAGE, PROCESSES, ENGINE, P50, *SPEEDS, *SHARES,
)  # fmt: skip

THE_KERNEL = "whose kernel does the workload run on?"
SAME_IMAGE = "is it the very image that the plain container starts from?"
PRIVILEGES = "does a container that holds a VM do without power over its host?"
HARDWARE = "may a VM in a container use the CPU's virtualisation?"
COMPARED = "how does its speed compare with this host's?"
WATCHED = "who sees that the nested instance is well?"

_EVERY = [variant.key for variant in FOUR]
_OTHERS = [VM.key, CONTAINER.key, IN_CONTAINER.key]
_NESTED = [IN_VM.key, IN_CONTAINER.key]
SUMMARY = (
    SummaryCell(row=Row.HYBRID, figure=START.key, variants=_EVERY),
    SummaryCell(row=Row.HYBRID, figure=INNER.key, variants=[IN_VM.key], need="start-inside"),
    SummaryCell(row=Row.HYBRID, figure=MEMORY.key, variants=_OTHERS),
    SummaryCell(row=Row.HYBRID, figure=MEMORY.key, variants=[IN_VM.key], need="memory-inside"),
    SummaryCell(row=Row.HYBRID, figure=IMAGE.key, variants=_EVERY),
    SummaryCell(row=Row.HYBRID, figure=P50.key, variants=_EVERY),
    *(SummaryCell(row=Row.HYBRID, figure=figure.key, variants=_EVERY) for figure in SHARES),
    SummaryCell(row=Row.HYBRID, question=THE_KERNEL, variants=_NESTED),
    SummaryCell(row=Row.HYBRID, question=HARDWARE),
)


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples of a run say of nesting."""
    inner = (f"{IN_VM.title} that runs", result.samples_of(INNER.key, IN_VM.key))
    of_vm = (VM.title, result.samples_of(START.key, VM.key))
    return [
        claim_less("A container starts sooner in a VM that runs than a VM starts.",
                   START, inner, of_vm, [IN_VM, VM]),
        compare(result, START, VM, IN_VM, "A VM that must start a container answers later than a plain one."),
        compare(result, START, CONTAINER, IN_CONTAINER,
                "A container that holds a VM answers later than a plain one."),
        compare(result, MEMORY, CONTAINER, IN_VM,
                "A container takes less memory of the host than one in a VM of its own."),
        order(result, MEMORY, ("a VM", VM), ("a VM in a container", IN_CONTAINER),
              "{less} takes less memory of the host than {more}."),
        order(result, P50, ("a VM", VM), ("a container in a VM", IN_VM),
              "a request to {less} takes less time than one to {more}."),
        order(result, P50, ("a container", CONTAINER), ("a VM in a container", IN_CONTAINER),
              "a request to {less} takes less time than one to {more}."),
        *_speeds(result),
        *(_kernel(result, variant) for variant in (IN_VM, IN_CONTAINER)),
    ]  # fmt: skip


def _speeds(result: RunResult) -> Iterator[Conclusion]:
    """What one layer more costs a program."""
    pairs = (
        (("a VM", VM), ("a container in a VM", IN_VM)),
        (("a VM", VM), ("a VM in a container", IN_CONTAINER)),
    )
    for one, other in pairs:
        for figure, share in zip(SPEEDS, SHARES, strict=True):
            claim = f"{{less}} keeps less of this host's speed than {{more}} in: {figure.title}."
            yield order(result, share, one, other, claim)


def _kernel(result: RunResult, variant: Variant) -> Conclusion:
    """Whose kernel the workload has; a statement about each repetition."""
    found = [f for f in result.findings if f.variant == variant.key and f.question == THE_KERNEL]
    another = bool(found) and found[0].verdict == "yes"
    whose = "another kernel than this host's" if another else "this host's kernel"
    return Conclusion(
        text=f"{sentence(variant)}: the workload runs on {whose}.",
        carried=agreed(found) is not None,
        basis=f"boot ids, read in {counted(len(found), 'repetition')}",
        variants=[variant.key],
    )
