"""What the recovery exercise measures and compares, and what may be concluded from it."""

from __future__ import annotations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import agreed, claim_less, compare, observed, order, sentence
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

OUT = Figure(
    key="out", title="back without anybody's help", unit="s",
    method="Time to repair by the instance's own supervisor: its longest silence at the front door, from the "
    "end of its last good answer to the end of its next one; before, it answers ten times a second. Only "
    "where somebody else than the exercise brought it back.",
)  # fmt: skip
HAND = Figure(
    key="by-hand", title="back after somebody acted", unit="s",
    method="Time to repair where no supervisor did it: from the start of the repair (a service start, a "
    "thaw, a declaration, a power off and a declaration, an engine's start) to the end of the instance's "
    "first good answer; where an engine ended, of the last instance's. How long it takes until somebody acts "
    "is not in it, nor how long it was watched whether a supervisor would, or whether all serve again once "
    "their engine is back.",
)  # fmt: skip
NOTICED = Figure(
    key="noticed", title="the front door avoids it after", unit="s",
    method="From the end of the instance's last good answer to when the last request was sent, before the "
    "repair, that failed or was held for more than a second; unless one that was started anew answered it.",
)  # fmt: skip
FAILED = Figure(
    key="failed", title="failed requests", unit="1",
    method="Requests at the front door that got no answer of 200 within 5 s, of 20 a second over new "
    "connections, from half a second before the fault to half a second after the instance is back: also "
    "while it is watched, as long as the front door sends requests to it. Not where an engine ended: how "
    "long it is away is up to the exercise, and a finding tells how many failed of how many.",
)  # fmt: skip
HELD = Figure(
    key="held", title="requests held for more than a second", unit="1",
    method="Of the same requests, those that were answered with 200 after more than a second.",
)  # fmt: skip
GAP = Figure(
    key="longest-gap", title="longest time in which nobody was answered", unit="s",
    method="Of somebody who asks at the worst moment, and again until it works: from when a request was sent "
    "until it or a later one was answered with 200.",
)  # fmt: skip
CLOCK = Figure(
    key="clock-behind", title="clock behind after the thaw", unit="s",
    method="How much further the instance's clock is behind this host's after the thaw than before the "
    "freeze, each as `date` told it inside.",
)  # fmt: skip
FIGURES = (OUT, HAND, NOTICED, FAILED, HELD, GAP, CLOCK)

VM, CONTAINER = SideName.VM, SideName.CONTAINER
VM_APP = Variant(key="vm-app", title="VMs, app killed, unit as shipped", side=VM)
VM_APP_TOLD = Variant(key="vm-app-restart", title="VMs, app killed, Restart=always", side=VM)
VM_HUNG = Variant(key="vm-hung", title="VMs, app hangs", side=VM)
VM_KILLED = Variant(key="vm-killed", title="VMs, instance killed", side=VM)
VM_FROZEN = Variant(key="vm-frozen", title="VMs, instance frozen", side=VM)
VM_PANIC = Variant(key="vm-panic", title="VMs, kernel panics", side=VM)
VM_PANIC_TOLD = Variant(key="vm-panic-restart", title="VMs, kernel panics, on_crash=restart", side=VM)
CONTAINER_APP = Variant(key="container-app", title="containers, app ended", side=CONTAINER)
CONTAINER_HUNG = Variant(key="container-hung", title="containers, app hangs", side=CONTAINER)
CONTAINER_KILLED = Variant(key="container-killed", title="containers, instance killed", side=CONTAINER)
CONTAINER_FROZEN = Variant(key="container-frozen", title="containers, instance frozen", side=CONTAINER)
CONTAINER_ALONE = Variant(
    key="container-alone", title="containers, instance killed, restarts off", side=CONTAINER, baseline=True
)
VM_ENGINE = Variant(key="vm-engine", title="VMs, their engine killed", side=VM)
CONTAINER_ENGINE = Variant(key="container-engine", title="containers, their engine killed", side=CONTAINER)
ENGINES = (VM_ENGINE, CONTAINER_ENGINE)
VARIANTS = (
    VM_APP, VM_APP_TOLD, VM_HUNG, VM_KILLED, VM_FROZEN, VM_PANIC, VM_PANIC_TOLD, VM_ENGINE,
    CONTAINER_APP, CONTAINER_HUNG, CONTAINER_KILLED, CONTAINER_FROZEN, CONTAINER_ALONE, CONTAINER_ENGINE,
)  # fmt: skip
ONCE = (VM_HUNG, CONTAINER_ALONE, *ENGINES)
"""Tried in the first repetition only, as they take long; so nothing is claimed of them."""

WHO = "who brings it back?"
KNOWS = "does its stack know?"
SEES = "does Pulumi's refresh see it?"
SERVES_ON = "its engine ends: do all go on serving?"
SERVES_AGAIN = "its engine is back: do all serve again by themselves?"
SAME_AFTER = "its engine is back: do those before run on?"
SUMMARY = (
    *(
        SummaryCell(row=Row.RECOVERY, question=question)
        for question in (WHO, KNOWS, SEES, SERVES_ON, SERVES_AGAIN, SAME_AFTER)
    ),
    *(SummaryCell(row=Row.RECOVERY, figure=figure.key) for figure in (OUT, HAND, FAILED)),
)


def conclude(result: RunResult) -> list[Conclusion]:
    """What the samples and findings of a run say of faults and of who repairs them."""
    return [
        *(_who(result, variant) for variant in VARIANTS if variant not in ONCE),
        compare(result, OUT, VM_APP_TOLD, CONTAINER_KILLED,
                "Where it is told to, systemd brings back a killed app sooner than the orchestrator brings"
                " back a killed container."),
        claim_less(
            "The orchestrator brings back a killed container in less time than a killed VM takes even from"
            " the moment when somebody declares it again.", OUT,
            (CONTAINER_KILLED.title, result.samples_of(OUT.key, CONTAINER_KILLED.key)),
            (f"{VM_KILLED.title}, {HAND.title}", result.samples_of(HAND.key, VM_KILLED.key)),
            (CONTAINER_KILLED, VM_KILLED),
        ),
        compare(result, HAND, VM_FROZEN, VM_KILLED,
                "A VM that is thawed is back sooner than one that was killed and is declared again."),
        compare(result, FAILED, VM_FROZEN, CONTAINER_FROZEN,
                "A frozen VM costs fewer failed requests than a frozen container."),
        compare(result, OUT, CONTAINER_KILLED, CONTAINER_HUNG,
                "The orchestrator brings back a container that ended sooner than one that hangs."),
        order(result, OUT,
              ("the orchestrator brings back a killed container", CONTAINER_KILLED),
              ("libvirt brings back a VM whose kernel panicked", VM_PANIC_TOLD),
              "Where each is told to, {less} in less time than {more}."),
    ]  # fmt: skip


def _who(result: RunResult, variant: Variant) -> Conclusion:
    found = [f for f in result.findings if f.variant == variant.key and f.question == WHO]
    answers = {finding.answer for finding in found}
    who = min(answers) if len(answers) == 1 else "the same each time"
    return Conclusion(
        text=f"{sentence(variant)}: brought back by {who}.",
        carried=agreed(found) is not None and len(answers) == 1,
        basis=observed(found),
        variants=[variant.key],
    )
