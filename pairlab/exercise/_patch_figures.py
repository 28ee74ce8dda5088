"""What the patch exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import agreed, compare, counted, observed, sentence, without_failures
from pairlab.model import SideName
from pairlab.results import CLAIM_REPETITIONS, Conclusion, Figure, RunResult, Variant, enough

FIRST = Figure(
    key="patched-first", title="first instance patched", unit="s",
    method="From the start of the change (for a rebuild: when its image is there) to the end of the first "
    "request that an instance answered with the new version in its header; 20 requests a second.",
)  # fmt: skip
LAST = Figure(
    key="patched-last", title="last instance patched", unit="s",
    method="The same, until every instance has answered with the new version.",
)  # fmt: skip
IN_ALL = Figure(
    key="patched-in-all", title="last instance patched, building its image included", unit="s",
    method="The same, and for a rebuild the time that its image took to build, for nobody has it before. In "
    "place both are the same.",
)  # fmt: skip
INSTALLED = Figure(
    key="installed", title="package installed everywhere", unit="s",
    method="In place: from the start of the change until apt, and in a VM the restart of the service after "
    "it, has ended in the last instance. Whether what runs is the new version is another matter.",
)  # fmt: skip
BUILD = Figure(
    key="build", title="building the image", unit="s",
    method="From the call that builds one form of the image to its end, with the base and the package files "
    "at hand, as in a build server's warm cache.",
)  # fmt: skip
FAILED = Figure(
    key="failed", title="failed requests", unit="1",
    method="Requests at the front door that got no answer of 200 within 5 s, of 20 a second over new "
    "connections, from a second before the change to a second after the last instance is patched.",
)  # fmt: skip
GAP = Figure(
    key="longest-gap", title="longest time in which nobody was answered", unit="s",
    method="Of somebody who asks at the worst moment, and again until it works: from when a request was sent "
    "until it or a later one was answered with 200. Where nothing fails or stalls, an ordinary latency.",
)  # fmt: skip
P50 = Figure(
    key="latency-p50", title="median latency", unit="ms",
    method="Median over the requests of that time that were answered with 200, from connect to the last "
    "byte. A refusal is quicker than an answer, and does not count here.",
)  # fmt: skip
P99 = Figure(
    key="latency-p99", title="99th percentile of latency", unit="ms",
    method="99 % of those requests took no longer.",
)  # fmt: skip
DOWNLOADED = Figure(
    key="downloaded", title="package files fetched", unit="B",
    method="Sizes of the package files as apt lists them: in place added up over the instances; for a "
    "rebuild those of the update, which the build fetches once.",
)  # fmt: skip
BUILT = Figure(
    key="built", title="image built", unit="B", better="lower",
    method="Size of the files of the new image: the VM's compressed disk, kernel and initial RAM disk; the "
    "container image's archive with its layers.",
)  # fmt: skip
WRITTEN = Figure(
    key="written", title="written to the hosts' disks", unit="B",
    method="In place: growth of the instances' own disk (a VM's overlay, a container's writable layer). "
    "Rebuild: what the host must take of the new image (all files of a VM's; the layers of a container's "
    "that it lacks), and the own disk of the new instances.",
)  # fmt: skip
DRIFTED_PACKAGES = Figure(
    key="drifted-packages", title="packages that differ from the declared image", unit="1",
    method="Names and versions of `dpkg-query` in each instance against the manifest of the image that is "
    "declared for it.",
)  # fmt: skip
CHANGED_FILES = Figure(
    key="changed-files", title="files changed since the instance was fresh", unit="1",
    method="Files of the instance's own disk whose inode changed after it was found fresh (`find -cnewer`): "
    "in place before the update, after a rebuild when all new instances let commands in.",
)  # fmt: skip
DIFFERING = Figure(
    key="differing", title="instances that differ from the others afterwards", unit="1",
    method="After a restart, a kill and a scale-out by one: instances whose package list is not that of the "
    "largest group of equal ones. None differs, too, where all have lost the update.",
)  # fmt: skip
ROLLBACK = Figure(
    key="rollback", title="rolling back", unit="s",
    method="From the start of the way back, one instance after the other, to the end of the first request "
    "that the last instance answered with the version before. None where the update never served.",
)  # fmt: skip
ROLLBACK_FAILED = Figure(
    key="rollback-failed", title="failed requests while rolling back", unit="1",
    method="As for failed requests, during the way back.",
)  # fmt: skip
FIGURES = (
    INSTALLED, FIRST, LAST, IN_ALL, BUILD, FAILED, GAP, P50, P99, DOWNLOADED, BUILT, WRITTEN,
    DRIFTED_PACKAGES, CHANGED_FILES, DIFFERING, ROLLBACK, ROLLBACK_FAILED,
)  # fmt: skip

RUNS_IT = "is the running process the patched one?"
VM, CONTAINER = SideName.VM, SideName.CONTAINER
VM_IN_PLACE = Variant(key="vm-in-place", title="VMs, patched in place", side=VM)
VM_REBUILD = Variant(key="vm-rebuild", title="VMs, image rebuilt", side=VM)
CONTAINER_IN_PLACE = Variant(key="container-in-place", title="containers, patched in place", side=CONTAINER)
CONTAINER_REBUILD = Variant(key="container-rebuild", title="containers, image rebuilt", side=CONTAINER)


def _naive(variant: Variant) -> Variant:
    return Variant(
        key=f"{variant.key}-at-once",
        title=f"{variant.title}, all at once",
        side=variant.side,
        baseline=True,
    )


VM_IN_PLACE_AT_ONCE = _naive(VM_IN_PLACE)
VM_REBUILD_AT_ONCE = _naive(VM_REBUILD)
CONTAINER_IN_PLACE_AT_ONCE = _naive(CONTAINER_IN_PLACE)
CONTAINER_REBUILD_AT_ONCE = _naive(CONTAINER_REBUILD)
VM_KERNEL = Variant(key="vm-kernel", title="VMs, kernel package", side=VM)
CONTAINER_KERNEL = Variant(key="container-kernel", title="containers, kernel package", side=CONTAINER)
MAIN = (VM_IN_PLACE, VM_REBUILD, CONTAINER_IN_PLACE, CONTAINER_REBUILD)
NAIVE = (VM_IN_PLACE_AT_ONCE, VM_REBUILD_AT_ONCE, CONTAINER_IN_PLACE_AT_ONCE, CONTAINER_REBUILD_AT_ONCE)
VARIANTS = (*MAIN, *NAIVE, VM_KERNEL, CONTAINER_KERNEL)

LIKE_ITS_IMAGE = "rolled back: is it again what its image holds?"
OWN_KERNEL = "a VM that boots its own disk: does the new kernel run after a reboot?"
GIVEN_KERNEL = "a VM whose kernel its host gives: does the new kernel run after a reboot?"
CONTAINERS_KERNEL = "can a container's kernel be patched from inside?"


def which_version(what: str) -> str:
    """The question of what an instance serves after something happened to it, such as `killed`."""
    return f"{what}: which version serves?"


SUMMARY = (
    SummaryCell(row=Row.PATCHING, figure=LAST.key),
    SummaryCell(row=Row.PATCHING, figure=IN_ALL.key, need="patch"),
    SummaryCell(row=Row.PATCHING, question=RUNS_IT),
    SummaryCell(row=Row.PATCHING, figure=FAILED.key),
    SummaryCell(row=Row.PATCHING, figure=WRITTEN.key),
    SummaryCell(row=Row.PATCHING, figure=DRIFTED_PACKAGES.key),
    SummaryCell(
        row=Row.PATCHING, question=which_version("killed"), need="state",
        label="does what was changed inside outlive a kill?",
        variants=[VM_IN_PLACE.key, CONTAINER_IN_PLACE.key],
    ),
    SummaryCell(row=Row.PATCHING, figure=ROLLBACK.key, label="an update taken back everywhere"),
    SummaryCell(row=Row.PATCHING, figure=ROLLBACK_FAILED.key, label="failed requests while it is taken back"),
    SummaryCell(row=Row.PATCHING, question=LIKE_ITS_IMAGE),
    *(
        SummaryCell(row=Row.KERNEL, question=question, need="kernel", label="can its kernel be patched?")
        for question in (OWN_KERNEL, GIVEN_KERNEL, CONTAINERS_KERNEL)
    ),
)  # fmt: skip


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples of a run say of the four strategies."""
    return [
        compare(result, LAST, CONTAINER_REBUILD, VM_REBUILD,
                "Containers take a rebuilt image faster than VMs do."),
        _unchanged_process(result),
        compare(result, LAST, VM_REBUILD, VM_IN_PLACE,
                "VMs are replaced by a rebuilt image's faster than they are patched in place."),
        compare(result, WRITTEN, CONTAINER_REBUILD, VM_REBUILD,
                "A rebuilt container image costs its host fewer bytes than a rebuilt VM image."),
        *(without_failures(result, FAILED, variant, "one after the other") for variant in MAIN),
        compare(result, GAP, VM_REBUILD, VM_REBUILD_AT_ONCE,
                "Replacing VMs one after the other avoids the outage of replacing them all at once."),
        *(_survival(result, variant) for variant in MAIN),
    ]  # fmt: skip


def _unchanged_process(result: RunResult) -> Conclusion:
    found = [f for f in result.findings if f.variant == CONTAINER_IN_PLACE.key and f.question == RUNS_IT]
    stale = sum(f.verdict == "cannot" for f in found)
    return Conclusion(
        text="In a running container the package can be updated, and the process that serves can not.",
        carried=agreed(found) == "cannot",
        basis=f"the serving process still ran the old files {counted(stale, 'time')}, of {observed(found)}",
        variants=[CONTAINER_IN_PLACE.key],
    )


def _survival(result: RunResult, variant: Variant) -> Conclusion:
    found = [f for f in result.findings if f.variant == variant.key and "which version serves" in f.question]
    lost = sorted({f.question.split(":")[0] for f in found if f.verdict == "no"})
    named = sentence(variant)
    text = (
        f"{named}: the update is lost when an instance is {' or '.join(lost)}."
        if lost
        else f"{named}: the update survives a restart, a kill and a scale-out."
    )
    # A statement about what happened each time, not about an amount: every repetition must agree.
    asked = [[f for f in found if f.question == question] for question in {f.question for f in found}]
    alike = all(len({f.verdict for f in each}) == 1 for each in asked)
    often = bool(asked) and enough(*asked)
    basis = f"{counted(len(found), 'observation')}, the same in each repetition"
    if not alike:
        basis = "the repetitions differ"
    elif not often:
        basis = f"{counted(len(found), 'observation')}, of fewer than {CLAIM_REPETITIONS} repetitions"
    return Conclusion(text=text, carried=often and alike, basis=basis, variants=[variant.key])
