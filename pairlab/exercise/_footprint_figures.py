"""What the footprint exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub, truediv
from statistics import median

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import claim_less, combined, compare, counted, scale, told, too_few
from pairlab.exercise._line import line
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant, enough

COUNTS = (1, 2, 4)
"""Instances a side, one after the other."""

MEMORY = Figure(
    key="memory", title="host memory of an instance", unit="B",
    method="Memory of its processes on the host, of which a page that several processes share is divided by "
    "their number (PSS of /proc/PID/smaps): QEMU, which holds guest and machine; or all processes of the "
    "container's control group, and the shim that holds them. The page cache is not in it but for pages "
    "that are mapped.",
)  # fmt: skip
HOLDER = Figure(
    key="holder", title="of it: what only holds the instance", unit="B",
    method="PSS of the container's shim alone. QEMU is machine and holder in one, so a VM has no such "
    "figure.",
)  # fmt: skip
TRANSLATED = Figure(
    key="translated", title="of it: code translated by emulation", unit="B",
    method="PSS of QEMU's mapping that may be written and executed: there emulation keeps the machine code "
    "that it made of the guest's, by default up to 1 GiB, or an eighth of the host's memory. It grows with "
    "the time that a guest runs, is never given back, and does not exist with hardware virtualisation.",
)  # fmt: skip
CHARGED = Figure(
    key="charged", title="charged to its control group, without file cache", unit="B",
    method="What the kernel charges the control group of the VM or container for, less its file cache: "
    "memory of its processes whoever else maps it, and what the kernel itself keeps for them. A container's "
    "shim is charged to the engine.",
)  # fmt: skip
CACHE = Figure(
    key="cache", title="file cache charged to it", unit="B", better="neither",
    method="File cache of the same control group. Who read a file first is charged for it, others use it "
    "for nothing; the host takes it back where memory is short. A guest's own page cache is memory of its "
    "QEMU, which is not given back.",
)  # fmt: skip
GUEST = Figure(
    key="guest", title="of it: memory that the guest has touched", unit="B",
    method="PSS of QEMU's mapping that is as large as the guest's memory. What a guest has used once its "
    "host does not get back, whether the guest still needs it or not.",
)  # fmt: skip
MOST = Figure(
    key="most", title="memory if it used all that it may", unit="B",
    method="All memory that the guest was given, and what its QEMU takes beside the guest's; or the "
    "container's limit, and its shim.",
)  # fmt: skip
PROCESSES = Figure(
    key="processes", title="processes on the host", unit="1",
    method="Those whose memory is counted above.",
)  # fmt: skip
THREADS = Figure(
    key="threads", title="threads on the host", unit="1",
    method="Entries of /proc/PID/task of the same processes.",
)  # fmt: skip
INSIDE = Figure(
    key="inside", title="processes inside", unit="1", better="neither",
    method="Numbered entries of /proc as seen inside, without those that look: in a VM with the threads of "
    "its kernel.",
)  # fmt: skip
DESCRIPTORS = Figure(
    key="descriptors", title="open files on the host", unit="1",
    method="Entries of /proc/PID/fd of the same processes.",
)  # fmt: skip
OWN_DISK = Figure(
    key="own-disk", title="disk of its own (a VM's blocks, sizes of a container's files)", unit="B",
    method="A VM: blocks that its overlay and its seed occupy, once its guest has written back what it held "
    "(sync). A container: size of the files in its writable layer, as the engine tells.",
)  # fmt: skip
SHARED_DISK = Figure(
    key="shared-disk", title="disk shared by all instances of the image (a VM's compressed)", unit="B",
    method="A VM: blocks that the image's disk, which is compressed (qcow2, zstd), its kernel and initial "
    "RAM disk occupy in the lab's pool. A container: size of the files in the image's layers, unpacked and "
    "not compressed, as the engine tells.",
)  # fmt: skip
IMAGE = Figure(
    key="image", title="image, as it is kept and sent", unit="B",
    method="Size of its files: the VM's compressed disk, kernel and initial RAM disk; the container's "
    "archive of layers, not compressed.",
)  # fmt: skip
KERNEL = Figure(
    key="kernel", title="memory that the host's kernel keeps for it", unit="B",
    method="Of the charge of the same control group: page tables, stacks of threads, sockets, names of "
    "files. It is no memory of any process, so it comes on top of theirs.",
)  # fmt: skip


TOTAL = {
    count: Figure(
        key=f"memory-of-{count}",
        title=f"host memory of {counted(count, 'instance')}",
        unit="B",
        method="Of all instances of the side, at rest: memory of their processes, as above, and what the"
        " host's kernel keeps for them.",
    )
    for count in COUNTS
}
DISK = {
    count: Figure(
        key=f"disk-of-{count}",
        title=f"disk of {counted(count, 'instance')}",
        unit="B",
        method="What they share, once, and what each has of its own, at the same moment.",
    )
    for count in COUNTS
}
FURTHER = Figure(
    key="further", title="host memory of each further instance", unit="B",
    method="Slope of the line through the host memory of 1, 2 and 4 instances, by least squares, in each "
    "repetition: their processes, shims, and what the kernel charges them for. What the engine itself takes "
    "for each, its networks and mounts are not in it.",
)  # fmt: skip
AVAILABLE = Figure(
    key="available", title="memory that the host could still give", unit="B", better="neither",
    method="MemAvailable of /proc/meminfo while the most instances run at rest: the kernel's estimate of "
    "what new programs could get without swapping, with the page cache that it would give up.",
)  # fmt: skip
FIT = Figure(
    key="fit", title="further instances that would fit, by their own memory alone", unit="1", better="higher",
    method="That, divided by the host memory of each further instance: as many as could be at rest, at most. "
    "CPU is not in it, and may end first: divide the host's CPUs by what an idle one uses, as `scale` tells. "
    "What the engine, its networks and mounts take for each is not in it; `scale` has it in the memory that "
    "the host loses. If each came to use all that it may, fewer fit: the conclusions tell how many.",
)  # fmt: skip
FIGURES = (
    MEMORY, HOLDER, GUEST, TRANSLATED, KERNEL, CHARGED, CACHE, MOST, PROCESSES, THREADS, INSIDE, DESCRIPTORS,
    OWN_DISK, SHARED_DISK, IMAGE, *TOTAL.values(), FURTHER, AVAILABLE, FIT, *DISK.values(),
)  # fmt: skip

VM, CONTAINER = SideName.VM, SideName.CONTAINER
VM_REST = Variant(key="vm-rest", title="VMs at rest", side=VM)
VM_SERVING = Variant(key="vm-serving", title="VMs serving", side=VM)
CONTAINER_REST = Variant(key="container-rest", title="containers at rest", side=CONTAINER)
CONTAINER_SERVING = Variant(key="container-serving", title="containers serving", side=CONTAINER)
REST = {VM: VM_REST, CONTAINER: CONTAINER_REST}
SERVING = {VM: VM_SERVING, CONTAINER: CONTAINER_SERVING}
VARIANTS = (VM_REST, CONTAINER_REST, VM_SERVING, CONTAINER_SERVING)
REST_KEYS = [variant.key for variant in REST.values()]
SUMMARY = tuple(
    SummaryCell(row=row, figure=figure.key, variants=REST_KEYS, label=figure.title, need=need)
    for row, figure, need in (
        (Row.MEMORY, MEMORY, None),
        (Row.MEMORY, TRANSLATED, None),
        (Row.MEMORY, PROCESSES, None),
        (Row.MEMORY, INSIDE, None),
        (Row.DISK, OWN_DISK, None),
        (Row.DISK, SHARED_DISK, None),
        (Row.DISK, IMAGE, None),
        (Row.DENSITY, FURTHER, "memory"),
        (Row.DENSITY, FIT, None),
    )
)
NAMES = {VM: "VM", CONTAINER: "container"}


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples of a run say of footprints."""
    return [
        compare(result, MEMORY, CONTAINER_REST, VM_REST,
                "A container takes less of its host's memory than a VM."),
        *_without_translation(result),
        compare(result, FURTHER, CONTAINER_REST, VM_REST,
                "Each further container takes less of its host's memory than each further VM."),
        *(_slope(result, side) for side in SideName),
        *(_room(result, side) for side in SideName),
        compare(result, OWN_DISK, CONTAINER_REST, VM_REST, "A container has less disk of its own than a VM."),
        compare(result, IMAGE, CONTAINER_REST, VM_REST, "A container's image is smaller than a VM's."),
        *(_second(result, side) for side in SideName),
    ]  # fmt: skip


def _without_translation(result: RunResult) -> Iterator[Conclusion]:
    """What is left of an emulated VM's memory without what only emulation needs; nothing for others."""
    whole = result.samples_of(MEMORY.key, VM_REST.key)
    translated = result.samples_of(TRANSLATED.key, VM_REST.key)
    if not any(sample.value for sample in translated):
        return
    yield claim_less(
        "Even without the code that emulation translated, a VM takes more of its host's memory than a"
        " container.",
        MEMORY,
        (CONTAINER_REST.title, result.samples_of(MEMORY.key, CONTAINER_REST.key)),
        (f"{VM_REST.title}, without that", combined(sub, whole, translated)),
        [CONTAINER_REST, VM_REST],
    )
    share = [sample.value for sample in combined(truediv, translated, whole)]
    short = told([sample.value for sample in translated], TRANSLATED)
    yield Conclusion(
        text=f"About {median(share):.0%} of an emulated VM's memory is code that emulation translated: with"
        " hardware virtualisation it would not be there.",
        carried=enough(translated),
        basis=f"{TRANSLATED.title}: {short}; its share is {min(share):.0%} to {max(share):.0%}"
        + too_few(translated),
        variants=[VM_REST.key],
    )


def _slope(result: RunResult, side: SideName) -> Conclusion:
    """What each further instance adds, over all repetitions."""
    variant, name = REST[side], NAMES[side]
    each_count = [result.samples_of(TOTAL[count].key, variant.key) for count in COUNTS]
    points = [(count, s.value) for count, own in zip(COUNTS, each_count, strict=True) for s in own]
    if len(points) < len(COUNTS):
        return Conclusion(
            text=f"Each further {name} takes some of its host's memory.", carried=False,
            basis=f"{TOTAL[1].title}: not measured", variants=[variant.key],
        )  # fmt: skip
    found = line(*zip(*points, strict=True))
    divisor, unit = scale(MEMORY, found.slope)
    half = (found.half_width or 0) / divisor
    slope, start = found.slope / divisor, found.intercept / divisor
    counts = ", ".join(map(str, COUNTS[:-1]))
    return Conclusion(
        text=f"Each further {name} takes {slope:.3g} {unit} of its host's memory, give or take {half:.2g}"
        f" {unit}, without what its engine takes for it.",
        carried=enough(*each_count) and half < slope,
        basis=f"line of least squares through {len(points)} measurements of {counts} and {COUNTS[-1]}"
        f" instances at rest: {slope:.4g} {unit} each, 95 % confidence {slope - half:.4g} to"
        f" {slope + half:.4g}; {start:.3g} {unit} for none" + too_few(*each_count),
        variants=[variant.key],
    )


def _room(result: RunResult, side: SideName) -> Conclusion:
    """How many more would fit, and what ends it."""
    variant, name = REST[side], NAMES[side]
    fits = result.values(FIT.key, variant.key)
    if not fits:
        return Conclusion(text=f"By memory alone, further {name}s would fit into this host.", carried=False,
                          basis=f"{FIT.title}: not measured", variants=[variant.key])  # fmt: skip
    available, further, most, translated = (
        median(result.values(figure.key, variant.key) or [0])
        for figure in (AVAILABLE, FURTHER, MOST, TRANSLATED)
    )
    divisor, unit = scale(AVAILABLE, available)
    lowest, highest = int(min(fits)), int(max(fits))
    basis = (
        f"{available / divisor:.3g} {unit} that the host could give, divided by what each further one takes"
    )
    basis += f" at rest: {lowest} to {highest}, n = {len(fits)}"
    if most:
        basis += f"; {int(available / most)} if each used all that it may"
    if 0 < translated < further:
        basis += f"; {int(available / (further - translated))} without the code that emulation translated"
    samples = result.samples_of(FIT.key, variant.key)
    return Conclusion(
        text=f"By memory alone, and by their own, about {int(median(fits))} further {name}s would fit into"
        " this host: without what their engine takes for them, and whatever CPU they use.",
        carried=enough(samples) and lowest > 0,
        basis=basis + too_few(samples),
        variants=[variant.key],
    )


def _second(result: RunResult, side: SideName) -> Conclusion:
    """What of the disk the second instance shares with the first."""
    variant, name = REST[side], NAMES[side]
    one, two = (result.samples_of(DISK[count].key, variant.key) for count in (1, 2))
    return claim_less(
        f"A second {name} adds less to the disk than the first: they share the image.",
        DISK[2],
        ("added by the second", combined(sub, two, one)),
        ("the first", one),
        [variant],
    )
