"""What the scale exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import order, without_failures
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

FEW, MANY = 2, 4
"""Instances of a side before and after; so few that an emulated side can bear it."""

FIRST = Figure(
    key="first-ready", title="first new instance ready", unit="s",
    method="From the start of the declaration of more instances to the end of the first good answer of a new "
    "one at the front door, which is asked 20 times a second.",
)  # fmt: skip
LAST = Figure(
    key="last-ready", title="last new instance ready", unit="s",
    method="The same, until every new instance has answered.",
)  # fmt: skip
ENGINE = Figure(
    key="engine", title="of which the engine's own start", unit="s",
    method="From the start of the declaration to when Pulumi turns to the first resource; the same work for "
    "both sides.",
)  # fmt: skip
GONE = Figure(
    key="given-back", title="resources given back", unit="s",
    method="From the start of the declaration of fewer instances to when nothing of the lab (machines, "
    "disks, containers, tasks) is on the host that was not there before it grew; looked at ten times a "
    "second from the end of the declaration on. Memory is told apart. Of containers it has in it the two "
    "seconds that Swarm gives its name service before it stops one; a VM is switched off at once.",
)  # fmt: skip
FAILED = Figure(
    key="failed", title="failed requests", unit="1",
    method="Requests of the steady client (20 a second) and, in a spike, of the spike's (600 a second) that "
    "got no answer of 200 within 5 s, from before the change until all is calm again.",
)  # fmt: skip
HELD = Figure(
    key="held", title="requests held for more than a second", unit="1",
    method="Of the same requests, those that were answered with 200 after more than a second.",
)  # fmt: skip
GAP = Figure(
    key="longest-gap", title="longest time in which nobody was answered", unit="s",
    method="Of somebody who asks at the worst moment, and again until it works: from when a request of the "
    "steady client was sent until it or a later one was answered with 200.",
)  # fmt: skip
SPARE_MEMORY = Figure(
    key="spare-memory", title="memory of an idle spare", unit="B",
    method="Host memory of each new instance while no client asks, as its stack counts it: the resident set "
    "of a VM's QEMU, a container's control group without idle file cache and without its shim.",
)  # fmt: skip
SPARE_CPU = Figure(
    key="spare-cpu", title="CPU of an idle spare", unit="%",
    method="CPU time of each new instance over four seconds in which no client asks, of one core; health "
    "checks go on.",
)  # fmt: skip
SPARE_DISK = Figure(
    key="spare-disk", title="disk of an idle spare", unit="B",
    method="Bytes that each new instance has of its own: blocks of a VM's overlay, sizes of the files in a "
    "container's writable layer.",
)  # fmt: skip
HOST_TAKEN = Figure(
    key="host-memory-taken", title="host memory taken by a new instance", unit="B",
    method="How much less memory is available on the host (MemAvailable) after growing than before, divided "
    "by the number of new instances. It has what no instance is charged for: the engine's own memory, shims, "
    "networks and mounts. Whatever else the host does is in it too.",
)  # fmt: skip
HOST_BACK = Figure(
    key="host-memory-back", title="host memory back for an instance gone", unit="B", better="higher",
    method="How much more memory is available on the host after shrinking than before, divided likewise, "
    "as soon as the instances are gone. Less than nothing where the engine or others took more meanwhile "
    "than was given back.",
)  # fmt: skip


def _latency(when: str, key: str, method: str) -> tuple[Figure, Figure]:
    median = Figure(
        key=f"p50-{key}", title=f"median latency {when}", unit="ms",
        method=f"Median time of the steady client's answers of 200, from connect to the last byte, {method}. "
        "Failed requests are counted apart.",
    )  # fmt: skip
    worst = Figure(
        key=f"p99-{key}", title=f"99th percentile of latency {when}", unit="ms",
        method=f"99 % of the steady client's answers of 200 took no longer, {method}.",
    )  # fmt: skip
    return median, worst


BEFORE = _latency("before the spike", "before", "in the three seconds before")
DURING = _latency("in the spike", "during", "from the first to the last request of the spike")
AFTER = _latency("after the spike", "after", "in the three seconds after the spike's last request was sent")
NORMAL = Figure(
    key="back-to-normal", title="back to normal after the spike", unit="s",
    method="From when the last request of the spike was sent to when that request of the steady client was "
    "sent from which on, for a second, nine of ten are answered with 200 and take no longer than 95 % did "
    "before.",
)  # fmt: skip
FIGURES = (
    FIRST, LAST, ENGINE, GONE, FAILED, HELD, GAP, SPARE_MEMORY, SPARE_CPU, SPARE_DISK, HOST_TAKEN, HOST_BACK,
    *BEFORE, *DURING, *AFTER, NORMAL,
)  # fmt: skip


class SideVariants:
    """What is compared of one side.

    Attributes:
        plural: What its instances are called.
        out: From few to many.
        back: From many to few.
        spike_few: A spike on few.
        spike_many: A spike on many.
    """

    def __init__(self, side: SideName, plural: str) -> None:
        def variant(key: str, title: str) -> Variant:
            return Variant(key=f"{side}-{key}", title=f"{plural}, {title}", side=side)

        self.plural = plural
        self.out = variant("out", f"{FEW} to {MANY}")
        self.back = variant("back", f"{MANY} to {FEW}")
        self.spike_few = variant("spike-few", f"a spike on {FEW}")
        self.spike_many = variant("spike-many", f"a spike on {MANY}")
        self.all = (self.spike_few, self.out, self.spike_many, self.back)


VMS = SideVariants(SideName.VM, "VMs")
CONTAINERS = SideVariants(SideName.CONTAINER, "containers")
OF_SIDE = {SideName.VM: VMS, SideName.CONTAINER: CONTAINERS}
VARIANTS = (*VMS.all, *CONTAINERS.all)
CHANGES = [variant.key for own in OF_SIDE.values() for variant in (own.out, own.back)]
SUMMARY = (
    *(
        SummaryCell(row=Row.SCALING, figure=figure.key)
        for figure in (FIRST, LAST, GONE, SPARE_MEMORY, SPARE_CPU)
    ),
    *(SummaryCell(row=Row.SCALING, figure=figure.key, variants=CHANGES) for figure in (FAILED, HELD)),
    SummaryCell(row=Row.SCALING, figure=DURING[0].key),
)


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples of a run say of elasticity."""
    out = (("containers", CONTAINERS.out), ("VMs", VMS.out))
    back = (("containers", CONTAINERS.back), ("VMs", VMS.back))
    return [
        order(result, FIRST, *out, "The first of new {less} serves sooner than the first of new {more}."),
        order(result, LAST, *out, "The last of new {less} serves sooner than the last of new {more}."),
        order(result, GONE, *back, "{less} that are dismissed are gone from the host sooner than {more}."),
        order(result, SPARE_MEMORY, *out, "Idle {less} hold less memory than idle {more}."),
        order(result, SPARE_CPU, *out, "Idle {less} use less CPU than idle {more}."),
        *(
            without_failures(result, FAILED, variant, "under load")
            for own in (VMS, CONTAINERS)
            for variant in (own.out, own.back)
        ),
        *(
            _of_spike(result, own, figure, claim)
            for own in (VMS, CONTAINERS)
            for figure, claim in (
                (DURING[0], "In a spike, {less} answer sooner than {more}"),
                (NORMAL, "After a spike, {less} are back to normal sooner than {more}"),
            )
        ),
    ]


def _of_spike(result: RunResult, own: SideVariants, figure: Figure, claim: str) -> Conclusion:
    """Whether few or many fared better, and why, where that is few."""
    many, few = (f"{MANY} {own.plural}", own.spike_many), (f"{FEW} {own.plural}", own.spike_few)
    found = order(result, figure, many, few, claim)
    reason = f": {_why_more_do_not_help(result, own)}" if found.variants[0] == own.spike_few.key else ""
    return found.model_copy(update={"text": f"{found.text}{reason}."})


def _why_more_do_not_help(result: RunResult, own: SideVariants) -> str:
    here, is_vm = result.environment, own is VMS
    cpus, daemon = ("vmCpus", "libvirtUri") if is_vm else ("containerCpus", "dockerHost")
    if daemon in here.settings or MANY * float(here.settings.get(cpus, 1)) <= here.cores:
        return "nothing that was measured tells why"
    emulated = "are emulated, and " if is_vm and here.accelerator == "tcg" else ""
    return f"they {emulated}share this host's {here.cores} cores, and each adds work of its own"
