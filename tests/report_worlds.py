"""Results as a `patch` exercise would write them: plausible figures from a seeded generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median, quantiles
from typing import Any

from pairlab.circumstances import Environment
from pairlab.differences import Row, SummaryCell
from pairlab.model import SideName
from pairlab.results import (
    Conclusion,
    Figure,
    Finding,
    Mark,
    RunResult,
    Sample,
    StackLayer,
    Timeline,
    Variant,
    is_less,
)

OLD, NEW = "1.22.1-9+deb12u9", "1.22.1-9+deb12u11"
RATE_HZ = 20.0
REPETITIONS = 3
MIB = 1024.0**2
STARTED = datetime(2026, 11, 24, 21, 15, tzinfo=UTC)

FIGURES = [
    Figure(
        key="patched-first",
        title="First instance patched",
        unit="s",
        method="From the command to patch until the front door's first answer with the new version.",
    ),
    Figure(
        key="patched-last",
        title="All instances patched",
        unit="s",
        method="From the command to patch until the last answer with the old version.",
    ),
    Figure(
        key="failed",
        title="Failed requests",
        unit="1",
        method="Requests of the steady client that did not get a 200, of the whole repetition.",
    ),
    Figure(
        key="longest-gap",
        title="Longest wait for an answer",
        unit="ms",
        method="Of somebody who asked, and asked again until it worked: from asking until an answer of 200.",
    ),
    Figure(
        key="latency-p50",
        title="Latency, median",
        unit="ms",
        method="Of all answers of 200, from the sent request to the last byte.",
    ),
    Figure(
        key="latency-p99",
        title="Latency, 99th percentile",
        unit="ms",
        method="Of all answers of 200, from the sent request to the last byte.",
    ),
    Figure(
        key="downloaded",
        title="Downloaded",
        unit="B",
        method="Bytes that the package repository sent for this patch, from its log.",
    ),
    Figure(
        key="built",
        title="Image built",
        unit="B",
        method="Size of the new image, as the image store has it; nothing where none is built.",
    ),
    Figure(
        key="written",
        title="Written to disk",
        unit="B",
        method="Growth of each instance's own disk or layer, from before the patch until after.",
    ),
    Figure(
        key="rollback",
        title="Rolled back",
        unit="s",
        method="From the command to roll back until the last answer with the new version.",
    ),
    Figure(
        key="differing",
        title="Instances that differ from what is declared",
        unit="1",
        method="Instances whose installed package differs from that of the declared image, afterwards.",
    ),
]


KERNELS = [
    Variant(key="vm-kernel", title="VM, kernel package", side=SideName.VM),
    Variant(key="container-kernel", title="Container, kernel package", side=SideName.CONTAINER),
]
"""Ways of which nothing is measured: they have findings only."""


@dataclass(frozen=True)
class Way:
    """How a variant behaves: when its instances change, and when nobody answers.

    Attributes:
        key: Of the variant.
        title: Of the variant.
        side: Of the variant.
        changes_s: When each of two instances is replaced.
        out_s: Spans without answers.
        latency_ms: Ordinary latency.
        sizes: Bytes downloaded, built, written.
    """

    key: str
    title: str
    side: SideName
    changes_s: tuple[float, float]
    out_s: tuple[tuple[float, float], ...]
    latency_ms: float
    sizes: tuple[float, float, float]
    baseline: bool = False


VM, CONTAINER = SideName.VM, SideName.CONTAINER
WAYS = [
    Way("vm-in-place", "VM, package upgraded in place", VM, (19.0, 38.0), ((18.2, 18.5),), 6.1,
        (0.62 * MIB, 0, 2.9 * MIB)),
    Way("vm-rebuild", "VM, rebuilt from a new image", VM, (41.0, 74.0), (), 6.4,
        (0.62 * MIB, 214 * MIB, 12.4 * MIB)),
    Way("container-in-place", "Container, package upgraded in place", CONTAINER, (5.0, 9.0),
        ((4.6, 4.8), (8.7, 8.9)), 1.1, (0.62 * MIB, 0, 3.1 * MIB)),
    Way("container-rebuild", "Container, rolled to a new image", CONTAINER, (7.0, 12.0), (), 1.0,
        (0.62 * MIB, 97 * MIB, 0.02 * MIB)),
    Way("vm-rebuild-at-once", "VM, all rebuilt at once", VM, (44.0, 46.0), ((8.0, 44.0),), 6.3,
        (0.62 * MIB, 214 * MIB, 12.4 * MIB), baseline=True),
    Way("container-rebuild-at-once", "Container, all replaced at once", CONTAINER, (5.5, 5.8),
        ((3.1, 5.5),), 1.0, (0.62 * MIB, 97 * MIB, 0.02 * MIB), baseline=True),
]  # fmt: skip


def timeline(way: Way, repetition: int, random: Random) -> Timeline:
    """A client's requests: latencies, failures, and which version answered."""
    late = random.uniform(0.9, 1.1)
    first, last = (at * late for at in way.changes_s)
    out = [(begin * late, end * late) for begin, end in way.out_s]
    at = [n / RATE_HZ + random.uniform(0, 0.004) for n in range(int((last + 8) * RATE_HZ))]
    at[0] = 0.0
    latency, status, version = [], [], []
    for n, sent in enumerate(at):
        dead = any(begin <= sent < end for begin, end in out)
        busy = 4.0 if 3 < sent < last else 1.0
        answered = way.latency_ms * busy ** random.random() * random.lognormvariate(0, 0.3)
        latency.append(0.4 if dead else answered)
        status.append((503, 503, 0)[n % 3] if dead else 200)
        new = sent >= last or (sent >= first and n % 2 == 1)
        version.append("" if dead else NEW if new else OLD)
    name = f"{way.side}/"
    marks = [
        Mark(at_s=3.0, text="the update is asked for"),
        Mark(at_s=round(first, 2), text=f"{name}0 serves the new version"),
        Mark(at_s=round(last, 2), text=f"{name}1 serves the new version"),
    ]
    return Timeline(
        variant=way.key,
        repetition=repetition,
        rate_hz=RATE_HZ,
        at_s=[round(sent, 4) for sent in at],
        latency_ms=[round(ms, 3) for ms in latency],
        status=status,
        version=version,
        marks=marks,
        client_cpu_percent=round(random.uniform(3, 5), 1),
        client_worst_gap_ms=round(random.uniform(4, 30), 1),
    )


def samples_of(line: Timeline, way: Way, random: Random) -> list[Sample]:
    """What one repetition measured."""
    good = [ms for ms, status in zip(line.latency_ms, line.status, strict=True) if status == 200]
    first, last = (mark.at_s for mark in line.marks[1:])
    found = {
        "patched-first": first - 3,
        "patched-last": last - 3,
        "failed": float(line.failed()),
        "longest-gap": line.longest_gap_s() * 1000,
        "latency-p50": median(good),
        "latency-p99": quantiles(good, n=100)[-1],
        "rollback": (last - 3) * random.uniform(0.7, 0.9),
        "differing": 2.0 if "in-place" in way.key else 0.0,
    }
    found |= dict(zip(("downloaded", "built"), way.sizes, strict=False))
    own: dict[str, Any] = {"variant": way.key, "repetition": line.repetition}
    samples = [Sample(figure=figure, value=value, **own) for figure, value in found.items()]
    return samples + [
        Sample(
            figure="written",
            **own,
            value=way.sizes[2] * random.uniform(0.98, 1.02),
            instance=f"{way.side}/{index}",
        )
        for index in range(2)
    ]


def findings() -> list[Finding]:
    """Answers of every verdict, one of them not the same in every repetition."""
    killed, kernel, record = (
        "Killed: which version comes back?",
        "Can the kernel be patched?",
        "Who can tell afterwards what was done?",
    )
    answers = {
        "vm-in-place": [
            (killed, "the patched one: its disk outlives it", "yes"),
            (kernel, "and the guest must start again for it", "yes"),
            (record, "the package manager's log, in each guest", "fact"),
        ],
        "vm-rebuild": [
            (killed, "the patched one", "yes"),
            (kernel, "a new image brings a new kernel", "yes"),
            (record, "the image's digest, declared and in the state", "fact"),
        ],
        "container-in-place": [
            (killed, f"the old one, {OLD}: a new container starts from the unpatched image", "no"),
            (kernel, "a container has none of its own; it runs on this host's", "cannot"),
            (record, "nobody: it went with the container", "fact"),
        ],
        "container-rebuild": [
            (killed, "the patched one", "yes"),
            (kernel, "a container has none of its own; it runs on this host's", "cannot"),
            (record, "the image's digest, declared and in the state", "fact"),
        ],
    }
    found = [
        Finding(variant=variant, repetition=n, question=question, answer=answer, verdict=verdict)
        for variant, each in answers.items()
        for question, answer, verdict in each
        for n in range(REPETITIONS)
    ]
    kernels = [
        ("vm-kernel", "Does the new kernel run after a reboot?", "yes: 6.1.0-49 -> 6.1.0-50", "yes"),
        (
            "container-kernel",
            "Can its kernel be patched from inside?",
            "cannot: it runs on its host's",
            "cannot",
        ),
    ]
    return [
        *found,
        *(
            Finding(variant=variant, repetition=n, question=question, answer=answer, verdict=verdict)
            for variant, question, answer, verdict in kernels
            for n in range(REPETITIONS)
        ),
        *(
            Finding(
                variant="vm-in-place",
                repetition=n,
                question="Does the service restart by itself?",
                answer="it did" if n else "one VM had to be told",
                verdict="yes" if n else "no",
            )
            for n in range(REPETITIONS)
        ),
    ]


def environment(accelerator: str = "tcg") -> Environment:
    return Environment(
        processor="Intel(R) Xeon(R) Processor @ 2.60GHz",
        cores=2,
        memory_bytes=24 * 1024**3,
        kernel="6.18.44",
        system="Debian GNU/Linux 12 (bookworm)",
        accelerator=accelerator,
        accelerator_reason="/dev/kvm opens, but a guest kernel did not run under it",
        versions={"Docker": "20.10.24", "QEMU": "7.2.22", "libvirt": "9.0.0", "Pulumi": "3.259.0"},
        plugins={"docker": "5.2.0, embedded", "libvirt": "0.5.4, embedded"},
        images={"web, vm": "40764068633f", "web, container": "4bf2249fc9e4"},
        load_before=0.31,
        load_after=1.87,
    )


def conclusions(result_samples: Sequence[Sample]) -> list[Conclusion]:
    def of(figure: str, variant: str) -> list[Sample]:
        return [s for s in result_samples if (s.figure, s.variant) == (figure, variant)]

    rolled, rebuilt = of("patched-last", "container-rebuild"), of("patched-last", "vm-rebuild")
    containers, vms = ([s.value for s in each] for each in (rolled, rebuilt))
    p50 = of("latency-p50", "container-rebuild"), of("latency-p50", "container-in-place")
    return [
        Conclusion(
            text="Containers rolled to a new image were all patched sooner than rebuilt VMs.",
            carried=is_less(rolled, rebuilt),
            basis=f"{median(containers):.1f} s [{min(containers):.1f}–{max(containers):.1f}] against"
            f" {median(vms):.1f} s [{min(vms):.1f}–{max(vms):.1f}], 3 samples each",
        ),
        Conclusion(
            text="A container that is patched in place loses the patch when it is killed; a VM keeps it.",
            carried=True,
            basis="in 3 of 3 repetitions",
        ),
        Conclusion(
            text="Containers answer faster after a new image than after a patch in place.",
            carried=is_less(*p50),
            basis="the ranges of the samples overlap",
        ),
    ]


def patch_result(*, ways: Sequence[Way] = WAYS, seed: int = 7, accelerator: str = "tcg") -> RunResult:
    """A complete result of the exercise `patch`.

    Args:
        ways: What is compared.
        seed: The same seed makes the same result.
        accelerator: How its VMs ran.
    """
    random = Random(seed)
    lines = [(timeline(way, n, random), way) for way in ways for n in range(REPETITIONS)]
    samples = [sample for line, way in lines for sample in samples_of(line, way, random)]
    variants = [Variant(key=w.key, title=w.title, side=w.side, baseline=w.baseline) for w in ways] + KERNELS
    return RunResult(
        exercise="patch",
        title="Patching a running service",
        question="A security update is out: how soon is it served, and what do users notice meanwhile?",
        section="Updates and patches",
        lab="dev",
        vms=2,
        replicas=2,
        started=STARTED,
        ended=STARTED + timedelta(minutes=21, seconds=14),
        repetitions=REPETITIONS,
        complete=True,
        incomplete_reason="",
        subject=f"nginx from {OLD} to {NEW}, out of the lab's own package repository.",
        environment=environment(accelerator),
        figures=FIGURES,
        variants=variants,
        samples=samples,
        findings=[f for f in findings() if f.variant in {variant.key for variant in variants}],
        timelines=[line for line, _ in lines],
        conclusions=conclusions(samples),
        summary=summary_cells() if ways is WAYS else [],
    )


def with_layers(result: RunResult) -> RunResult:
    """The same, which also tells what two of its variants stand on."""
    layers = [
        StackLayer(variant=variant, name=name, found=f"{name} of {variant}", scope=scope, costs=costs)
        for variant in ("vm-rebuild", "container-rebuild")
        for name, scope, costs in (
            ("host kernel", "host", []),
            ("engine", "side", ["built", "written", "patched-first"]),
            ("Failed requests", "instance", ["failed"]),
            ("init", "none" if variant.startswith("c") else "instance", []),
        )
    ]
    return RunResult.model_validate({**result.model_dump(), "layers": layers})


def cut_short(result: RunResult, reason: str = "vm/1 never answered after its rebuild") -> RunResult:
    """The same, as it is saved when it was stopped in its second repetition."""
    return result.model_copy(
        update={
            "complete": False,
            "incomplete_reason": reason,
            "samples": [sample for sample in result.samples if sample.repetition < 1],
            "timelines": [line for line in result.timelines if line.repetition < 1],
            "findings": [finding for finding in result.findings if finding.repetition < 1],
            "conclusions": [],
        }
    )


def summary_cells() -> list[SummaryCell]:
    """What `patch` puts into the table of key differences."""
    return [
        SummaryCell(row=Row.PATCHING, figure="patched-last", need="patch"),
        SummaryCell(row=Row.PATCHING, figure="downloaded", variants=["vm-rebuild", "container-rebuild"]),
        SummaryCell(row=Row.PATCHING, question="Who can tell afterwards what was done?"),
        SummaryCell(row=Row.ROLLBACK, figure="rollback", label="the way back"),
        SummaryCell(
            row=Row.PATCHING,
            question="Killed: which version comes back?",
            label="does what was changed inside outlive a kill?",
            variants=["vm-in-place", "container-in-place"],
            need="state",
        ),
        SummaryCell(
            row=Row.KERNEL,
            question="Does the new kernel run after a reboot?",
            label="its kernel",
            need="kernel",
        ),
        SummaryCell(
            row=Row.KERNEL,
            question="Can its kernel be patched from inside?",
            label="its kernel",
            need="kernel",
        ),
    ]


def small_result(
    exercise: str,
    cell: SummaryCell,
    figure: Figure,
    values: Mapping[SideName | None, Sequence[float]],
    *,
    accelerator: str = "kvm",
) -> RunResult:
    """A complete result of one figure, with a variant a side that is named as the side is.

    Args:
        exercise: Its name.
        cell: What of it stands in the table of key differences.
        figure: What is measured.
        values: Side, or None for the host -> a sample a repetition.
        accelerator: How its VMs ran.
    """
    variants = [Variant(key=side or "host", title=f"the {side or 'host'}", side=side) for side in values]
    samples = [
        Sample(figure=figure.key, variant=side or "host", repetition=n, value=value)
        for side, each in values.items()
        for n, value in enumerate(each)
    ]
    return patch_result(accelerator=accelerator).model_copy(
        update={
            "exercise": exercise,
            "title": exercise.capitalize(),
            "figures": [figure],
            "variants": variants,
            "samples": samples,
            "findings": [],
            "timelines": [],
            "conclusions": [],
            "summary": [cell],
        }
    )
