"""VMs, containers or both? An answer to requirements, with its reasons and with what would change it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pairlab.model import SideName
from pairlab.report.advice.limits import INSIDE, hold_inside
from pairlab.report.advice.reasons import Basis, Gap, Reason, Ruling, Weight
from pairlab.report.advice.requirements import FIELDS, Requirements, Topic, ask, parse
from pairlab.report.advice.rules import RULES
from pairlab.report.summary import Summary

__all__ = [
    "FIELDS",
    "Advice",
    "Basis",
    "Gap",
    "Reason",
    "Requirements",
    "Weight",
    "WhatIf",
    "advise",
    "ask",
    "parse",
]

Answer = Literal["vm", "container", "hybrid", "undecided"]


@dataclass(frozen=True)
class WhatIf:
    """What the answer would be without one of the requirements.

    Attributes:
        topic: The requirement that is left out.
        told: It, in words.
        answer: The answer then.
    """

    topic: Topic
    told: str
    answer: Answer


@dataclass(frozen=True)
class Advice:
    """An answer.

    Attributes:
        required: What was required.
        answer: VMs, containers, both, or that nothing required tells them apart.
        how: What that means here.
        reasons: Why, those that decide first.
        gaps: What would matter and is not known.
        what_ifs: Requirements without which the answer would be another.
    """

    required: Requirements
    answer: Answer
    how: str
    reasons: tuple[Reason, ...]
    gaps: tuple[Gap, ...]
    what_ifs: tuple[WhatIf, ...]


def advise(required: Requirements, summary: Summary) -> Advice:
    """Answer requirements from what was measured here and from published rules.

    Args:
        required: The requirements.
        summary: The table of key differences.
    """
    topics = required.given()
    rulings = {topic: RULES[topic](required, summary) for topic in topics}
    order = list(Weight)
    reasons = sorted(
        _reasons(rulings.values()), key=lambda each: (not each.towards, order.index(each.weight))
    )
    answer = decide(reasons)
    what_ifs = []
    for topic in topics:
        other = decide(_reasons(ruling for key, ruling in rulings.items() if key != topic))
        if other != answer:
            what_ifs.append(WhatIf(topic, required.told(topic), other))
    held = [*rulings.values()]
    if answer == "hybrid" and _is_nested(reasons):
        nested = [hold_inside(topic, required, summary) for topic in INSIDE if topic in topics]
        reasons, held = [*reasons, *_reasons(nested)], [*held, *nested]
    gaps = tuple(gap for ruling in held for gap in ruling.gaps)
    return Advice(required, answer, _how(answer, reasons, required), tuple(reasons), gaps, tuple(what_ifs))


def decide(reasons: Sequence[Reason]) -> Answer:
    """The answer that reasons add up to.

    What only one side can do, and what one side is preferred for, decide alike: where they point to both,
    it is both. Habit decides only where there is nothing else.
    """
    sides = {
        weight: {each.towards for each in reasons if each.weight is weight and each.towards}
        for weight in Weight
    }
    musts, prefers, habits = sides[Weight.MUST], sides[Weight.PREFER], sides[Weight.HABIT]
    for decisive in (musts | prefers, habits):
        if len(decisive) == 2:
            return "hybrid"
        if decisive:
            return "vm" if SideName.VM in decisive else "container"
    return "undecided"


def _reasons(rulings: Iterable[Ruling]) -> list[Reason]:
    return [reason for ruling in rulings for reason in ruling.reasons]


def _is_nested(reasons: Iterable[Reason]) -> bool:
    """Whether both means containers inside VMs: what only a VM can give, all instances need."""
    return any(each.towards is SideName.VM and each.weight is Weight.MUST for each in reasons)


def _how(answer: Answer, reasons: Sequence[Reason], required: Requirements) -> str:
    if answer == "undecided":
        return "Nothing that is required and known tells them apart."
    if answer != "hybrid":
        return "Virtual machines." if answer == "vm" else "Containers."

    def of(side: SideName) -> str:
        deciding = [each for each in reasons if each.towards is side and each.weight is not Weight.HABIT]
        return " and ".join(dict.fromkeys(required.told(each.topic) for each in deciding))

    place = "Containers inside VMs" if _is_nested(reasons) else "Containers and VMs side by side"
    return f"{place}: VMs for {of(SideName.VM)}; containers for {of(SideName.CONTAINER)}."
