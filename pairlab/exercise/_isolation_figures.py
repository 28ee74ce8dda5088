"""What the isolation exercise counts and compares, and what may be concluded from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pairlab.differences import Row, SummaryCell
from pairlab.exercise import _isolation_attacked as attacked
from pairlab.exercise._conclude import compare, counted, sentence
from pairlab.model import SideName
from pairlab.results import CLAIM_REPETITIONS, Conclusion, Figure, RunResult, Variant, enough

VM, CONTAINER = SideName.VM, SideName.CONTAINER
VM_USUAL = Variant(key="vm-usual", title="VM, usual account", side=VM)
VM_ADMIN = Variant(key="vm-admin", title="VM, administrator", side=VM)
CONTAINER_USUAL = Variant(key="container-usual", title="container, usual account", side=CONTAINER)
CONTAINER_ADMIN = Variant(key="container-admin", title="container, administrator", side=CONTAINER)
ACCOUNTS = (VM_USUAL, VM_ADMIN, CONTAINER_USUAL, CONTAINER_ADMIN)
VARIANTS = (*ACCOUNTS, *attacked.VARIANTS)

HELD = Figure(
    key="held", title="probes at which the boundary held", unit="1", better="higher",
    method="Findings of one repetition whose verdict is yes: what was tried did not reach this host or "
    "another instance.",
)  # fmt: skip
CROSSED = Figure(
    key="crossed", title="probes that crossed the boundary", unit="1",
    method="Findings of one repetition whose verdict is no: something of this host or of another instance "
    "was seen or reached. They differ much in weight; the findings say which they are.",
)  # fmt: skip
BY_HOST_KERNEL = Figure(
    key="by-host-kernel", title="probes that only this host's kernel held back", unit="1",
    method="Findings of one repetition that name this host's kernel as what held the boundary: a flaw in it "
    "would open them.",
)  # fmt: skip
CAPABILITIES = Figure(
    key="capabilities", title="effective capabilities", unit="1", better="neither",
    method="Bits of CapEff in /proc/self/status of a process of the account, over whichever kernel it has.",
)  # fmt: skip
SYSTEM_CALLS = Figure(
    key="system-calls", title="system calls that reach a kernel", unit="1", better="neither",
    method="Of system calls through which kernels were broken, made with arguments that none accepts, those "
    "whose error is neither EPERM nor ENOSYS: no filter and no check of rights stopped them before. A VM's "
    "reach its own kernel, a container's this host's.",
)  # fmt: skip
FIGURES = (HELD, CROSSED, BY_HOST_KERNEL, CAPABILITIES, SYSTEM_CALLS, *attacked.FIGURES)
THE_KERNEL = "the kernel: is it another one than this host's?"
MODULES = "loading a kernel module: is this host's kernel safe?"
EVERY_ACCOUNT = [variant.key for variant in ACCOUNTS]
ADMINS = [VM_ADMIN.key, CONTAINER_ADMIN.key]
WHICH_CROSSED = "which probes crossed the boundary?"
HOST_KERNEL = "this host's kernel"
"""Begins the name of the enforcer in a probe's answer."""


def summary(probes: int) -> tuple[SummaryCell, ...]:
    """What stands in the table of key differences.

    Args:
        probes: How many each account makes.
    """
    counts = (
        SummaryCell(
            row=Row.ISOLATION, figure=figure.key, variants=EVERY_ACCOUNT, label=f"{figure.title}, of {probes}"
        )
        for figure in (CROSSED, BY_HOST_KERNEL)
    )
    return (
        *counts,
        SummaryCell(row=Row.ISOLATION, question=WHICH_CROSSED, variants=EVERY_ACCOUNT),
        SummaryCell(row=Row.ISOLATION, figure=CAPABILITIES.key, variants=ADMINS),
        SummaryCell(row=Row.ISOLATION, question=THE_KERNEL, variants=ADMINS, need="tenants"),
        SummaryCell(row=Row.KERNEL, question=MODULES, variants=ADMINS, need="modules"),
        *attacked.SUMMARY,
    )


def topics(questions: Iterable[str]) -> str:
    """What some questions are about, and how many of them where that is not one."""
    about = Counter(question.partition(":")[0] for question in questions)
    return ", ".join(f"{topic} ({often})" if often > 1 else topic for topic, often in about.items())


def conclude(result: RunResult) -> list[Conclusion]:
    """What a run says of the boundary."""
    return [
        compare(result, CROSSED, VM_ADMIN, CONTAINER_ADMIN,
                "Made by the administrator, fewer probes cross a VM's boundary than a container's."),
        compare(result, CROSSED, VM_USUAL, CONTAINER_USUAL,
                "Made by the usual account, fewer probes cross a VM's boundary than a container's."),
        compare(result, BY_HOST_KERNEL, VM_ADMIN, CONTAINER_ADMIN,
                "More of a container's boundary than of a VM's rests on this host's kernel."),
        compare(result, CAPABILITIES, CONTAINER_ADMIN, VM_ADMIN,
                "The administrator of a container has fewer capabilities than that of a VM."),
        *(_crossed(result, variant) for variant in VARIANTS),
        *attacked.conclude(result),
    ]  # fmt: skip


def _crossed(result: RunResult, variant: Variant) -> Conclusion:
    """Which probes crossed the boundary; a statement about each repetition, so all must agree."""
    own = [f for f in result.findings if f.variant == variant.key and f.question not in attacked.ONCE]
    found = [f for f in own if f.verdict in ("yes", "no")]
    by_repetition = [
        {f.question for f in found if f.repetition == number and f.verdict == "no"}
        for number in sorted({f.repetition for f in found})
    ]
    agreed = enough(found) and all(each == by_repetition[0] for each in by_repetition)
    crossed = by_repetition[0] if by_repetition else set[str]()
    asked = dict.fromkeys(f.question for f in found)
    named = topics(each for each in asked if each in crossed)
    held = f"at all but {len(crossed)} points: {named}." if crossed else "at every point."
    same = "the same in each" if agreed else f"they differ, or are fewer than {CLAIM_REPETITIONS}"
    return Conclusion(
        text=f"{sentence(variant)}: the boundary held {held}",
        carried=agreed,
        basis=f"{counted(len(by_repetition), 'repetition')} of {len(asked)} questions: {same}",
        variants=[variant.key],
    )
