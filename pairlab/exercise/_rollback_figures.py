"""What the rollback exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from itertools import combinations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import agreed, compare, observed, order, sentence, without_failures
from pairlab.model import START_PERIOD_S, SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

LOOKS, LOOK_EVERY_S = 3, 2.0
"""A release is bad after so many failed health checks in a row, so far apart: what containers are held to."""
WATCH_S = 20.0
"""How long a bad release is watched on: an orchestrator, whose checks count after 10 s, decides sooner."""

GOOD_AGAIN = Figure(
    key="good-again", title="every instance good again", unit="s",
    method="From the start of the release (a declaration, or the first file written) until the way back is "
    "over and every instance has answered well to a request sent after that. How it is noticed that the "
    f"release is bad is in it: of containers also the {START_PERIOD_S} s that the orchestrator gives a new "
    f"one to start, before a failed check counts. Not in it are the {WATCH_S:g} s for which a bad VM is then "
    "watched, to see whether anybody else goes back, nor the time before the release that it takes to keep a "
    "VM as it is.",
)  # fmt: skip
BACK = Figure(
    key="back", title="of which the way back", unit="s",
    method="From when somebody decides to go back, as soon as it is no longer watched, to the same end. An "
    "orchestrator does not tell when it decides.",
)  # fmt: skip
SERVED = Figure(
    key="served", title="a bad instance was served", unit="s",
    method="From when the first request was sent that an instance answered with another status than 200, to "
    "the end of the last such answer; nothing where there was none. Answers of the front door itself are no "
    "instance's.",
)  # fmt: skip
FAILED = Figure(
    key="failed", title="failed requests", unit="1",
    method="Requests at the front door that got no answer of 200 within 5 s, of 20 a second over new "
    "connections, from half a second before the release to half a second after every instance is good again.",
)  # fmt: skip
GAP = Figure(
    key="longest-gap", title="longest time in which nobody was answered", unit="s",
    method="Of somebody who asks at the worst moment, and again until it works: from when a request was sent "
    "until it or a later one was answered with 200.",
)  # fmt: skip
READY = Figure(
    key="ready", title="getting ready for the way back", unit="s",
    method="Time that it takes to keep the instance as it is, before the release; it goes on meanwhile.",
)  # fmt: skip
LOST = Figure(
    key="lost", title="time that an instance lost", unit="s",
    method="How much further its clock is behind this host's after the way back than before the release: "
    "what it did in that time is undone. The seconds for which it was watched are not in it.",
)  # fmt: skip
FIGURES = (GOOD_AGAIN, BACK, SERVED, FAILED, GAP, READY, LOST)

VM, CONTAINER = SideName.VM, SideName.CONTAINER
CONTAINERS = Variant(
    key="container-rollout", title="containers, taken back by the orchestrator", side=CONTAINER
)
VM_KEPT = Variant(key="vm-kept", title="VMs, released in place, snapshot put back", side=VM)
VM_BESIDE = Variant(key="vm-beside", title="VMs, a new one beside, declared back", side=VM)
VM_SWITCHED = Variant(key="vm-switched", title="VMs, blue/green, switched back", side=VM)
VARIANTS = (CONTAINERS, VM_KEPT, VM_BESIDE, VM_SWITCHED)
WATCHED = (CONTAINERS, VM_KEPT, VM_BESIDE)
"""Of the others, nothing that serves is left to wait with."""

WHO = "does anybody go back without being told?"
PUTS_BACK = "can a running instance be put back as it was?"
BEFORE = "is what was written before the release still there?"
SINCE = "is what was written since the release still there?"
NEW_HAS = "does the new instance have what was written before?"
DECLARED = "gone back: does the declaration say what runs?"
DRIFT = "in the end: is all as it is declared?"
SUMMARY = (
    SummaryCell(row=Row.ROLLBACK, figure=GOOD_AGAIN.key,
                label="a bad release, until all is good again: containers with"
                f" {START_PERIOD_S} s of start period, a snapshot's VM without the time to keep it"),
    SummaryCell(row=Row.ROLLBACK, figure=BACK.key, label="a bad release, from the decision: the way back"),
    SummaryCell(row=Row.ROLLBACK, figure=READY.key, label="keeping the VM for that, before the release"),
    SummaryCell(row=Row.ROLLBACK, figure=SERVED.key),
    SummaryCell(row=Row.ROLLBACK, figure=FAILED.key, label="failed requests of a bad release"),
    *(
        SummaryCell(row=Row.ROLLBACK, question=question)
        for question in (WHO, PUTS_BACK, BEFORE, SINCE, DECLARED, DRIFT)
    ),
)  # fmt: skip


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples and findings of a run say of bad releases and of the ways back."""
    rollout = ("containers that their orchestrator takes back", CONTAINERS)
    kept, beside = ("a VM that is put back", VM_KEPT), ("a new VM beside that is declared away", VM_BESIDE)
    switched = ("blue/green", VM_SWITCHED)
    ways = (rollout, kept, beside, switched)
    again = "With {less} all is good again sooner than with {more}, from the release on."
    back = "From when it is decided, the way back is shorter with {less} than with {more}."
    return [
        *(order(result, GOOD_AGAIN, *pair, again) for pair in combinations(ways, 2)),
        *(order(result, BACK, *pair, back) for pair in combinations(ways[1:], 2)),
        compare(result, FAILED, CONTAINERS, VM_KEPT,
                "A bad release that an orchestrator rolls out costs fewer requests than one in place."),
        compare(result, FAILED, VM_BESIDE, VM_KEPT,
                "A bad release beside what runs costs fewer requests than one in place."),
        compare(result, FAILED, VM_KEPT, VM_SWITCHED,
                "A bad release in place, of one VM, costs fewer requests than one that all are switched to."),
        *(without_failures(result, FAILED, variant, "a bad release") for variant in VARIANTS),
        *(_says(result, variant, WHO, "somebody goes back without being told",
                f"nobody goes back within {WATCH_S:g} s without being told") for variant in WATCHED),
        *(_says(result, variant, BEFORE, "what was written before the release is kept",
                "what was written before the release is lost") for variant in VARIANTS),
        *(_says(result, variant, SINCE, "what was written since the release is kept",
                "what was written since the release is lost") for variant in VARIANTS),
    ]  # fmt: skip


def _says(result: RunResult, variant: Variant, question: str, yes: str, no: str) -> Conclusion:
    """What the answers to a question say, if every repetition answered alike."""
    found = [f for f in result.findings if f.variant == variant.key and f.question == question]
    verdict = agreed(found)
    affirmed = any(finding.verdict == "yes" for finding in found)
    return Conclusion(
        text=f"{sentence(variant)}: {yes if affirmed else no}.",
        carried=verdict is not None,
        basis=observed(found),
        variants=[variant.key],
    )
