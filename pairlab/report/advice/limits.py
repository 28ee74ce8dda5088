"""Limits that somebody requires, held against samples; what is not known of a side is a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pairlab.differences import Need
from pairlab.model import SideName
from pairlab.report.advice.reasons import (
    BYTES,
    SECONDS,
    Basis,
    Gap,
    Reason,
    Ruling,
    Standing,
    Weight,
    amount,
    standing,
)
from pairlab.report.advice.requirements import Requirements, Topic
from pairlab.report.summary import Summary

PLURAL = {SideName.VM: "VMs", SideName.CONTAINER: "containers"}
UNKNOWN = ("unclear", "emulated", "unmeasured")
NOBODY = "no exercise measures it yet"
OTHER = {SideName.VM: SideName.CONTAINER, SideName.CONTAINER: SideName.VM}
INSIDE: Mapping[Topic, tuple[Need, str]] = {
    "start": ("start-inside", "containers in VMs that run"),
    "memory": ("memory-inside", "containers with a VM each"),
}
"""Requirement -> what was measured of containers in VMs that bears on it, and of which."""


@dataclass(frozen=True)
class Limit:
    """What an amount may be.

    Attributes:
        value: The most, in the unit that has the value 1 in `units`.
        units: Units that can be compared with it -> what to multiply by.
        times: How often the amount is needed.
    """

    value: float
    units: dict[str, float]
    times: int = 1


def limit_of(topic: Topic, required: Requirements) -> Limit:
    """The limit that a requirement sets."""
    if topic == "memory":
        return Limit((required.memory_mib or 0.0) * 1024**2, BYTES, required.instances or 1)
    return Limit((required.start_within_s if topic == "start" else required.patch_within_s) or 0.0, SECONDS)


def hold(
    topic: Need,
    required: Requirements,
    summary: Summary,
    published: tuple[Basis, ...] = (),
) -> Ruling:
    """What samples say of a limit: a side that never meets it is out, one that is known to is preferred."""
    told, limit = required.told(topic), limit_of(topic, required)
    found = {side: _standing(summary, topic, side, limit) for side in SideName}
    run = exercises_for(topic, summary)
    gaps = tuple(
        gap(topic, PLURAL[side], each, run, published if side is SideName.VM else ())
        for side, each in found.items()
        if each.verdict in UNKNOWN
    )
    able = [side for side in SideName if found[side].verdict == "meets"]
    out = [side for side in SideName if found[side].verdict == "fails"]
    if not able and not out:
        return Ruling((), gaps)
    bases = tuple(basis for side in (*able, *out) for basis in found[side].bases)
    text = f"{told[0].upper()}{told[1:]}: {_told(able, out)}."
    if len(able) == 2 or len(out) == 2:
        change = "another limit" if able else "instances that run before they are needed, or more room"
        return Ruling((Reason(topic, None, Weight.PREFER, text, bases, change),), gaps)
    better = able[0] if able else OTHER[out[0]]
    weight = Weight.MUST if able and out else Weight.PREFER
    change = _change(found[OTHER[better]], OTHER[better], limit.units)
    return Ruling((Reason(topic, better, weight, text, bases, change),), gaps)


def hold_inside(topic: Topic, required: Requirements, summary: Summary) -> Ruling:
    """What samples of a container in a VM say of a limit; they speak for neither side."""
    limit, (need, who) = limit_of(topic, required), INSIDE[topic]
    found = _standing(summary, need, SideName.VM, limit)
    if found.verdict in UNKNOWN:
        return Ruling((), (gap(topic, who, found, exercises_for(need, summary)),))
    able = found.verdict == "meets"
    text = f"{who[0].upper()}{who[1:]} {'manage it in every sample' if able else 'do not in any'}."
    change = "another limit" if able else f"{amount(found.needed, limit.units)} or more"
    return Ruling((Reason(topic, None, Weight.PREFER, text, found.bases, change),))


def _standing(summary: Summary, need: Need, side: SideName, limit: Limit) -> Standing:
    return standing(summary.lines(need), side, limit.value, limit.units, limit.times)


def _told(able: list[SideName], out: list[SideName]) -> str:
    unknown = [side for side in SideName if side not in (*able, *out)]
    said = [f"{PLURAL[side]} manage it in every sample" for side in able]
    said += [f"{PLURAL[side]} do not in any" for side in out]
    return "; ".join(said + [f"of {PLURAL[side]} it is not known" for side in unknown])


def _change(other: Standing, side: SideName, units: dict[str, float]) -> str:
    if other.verdict == "fails":
        return (
            f"{amount(other.needed, units)} or more for {PLURAL[side]}, which is what they took here at best"
        )
    return f"{PLURAL[side]} that are measured, and meet it too"


def gap(topic: Topic, who: str, found: Standing, run: str, published: tuple[Basis, ...] = ()) -> Gap:
    """That it is not known how some instances stand to a limit, and by which exercise to find out."""
    if found.verdict == "unmeasured":
        text = f"nothing was measured of {who}"
        return Gap(topic, text, run or NOBODY, published)
    if found.verdict == "emulated":
        text = (
            f"{who} were measured by software emulation only, which says nothing of hardware virtualisation: "
            + "; ".join(f"{basis.text} {basis.accelerator}" for basis in found.bases)
        )
        return Gap(topic, text, f"{run} on a host where VMs run by kvm", published)
    text = f"the samples of {who} are of too few repetitions, or on both sides of the limit: " + "; ".join(
        basis.text for basis in found.bases
    )
    return Gap(topic, text, f"{run}, with more repetitions", published)


def unmeasured(topic: Need, summary: Summary) -> Gap:
    """That a rule rests on nothing measured."""
    text = "this rests on what others published alone; nothing was measured here"
    return Gap(topic, text, exercises_for(topic, summary) or NOBODY)


def exercises_for(topic: Need, summary: Summary) -> str:
    """The commands that measure what bears on a requirement; empty where none does."""
    lines = summary.lines(topic)
    exercises = dict.fromkeys((*summary.measured_by.get(topic, ()), *(line.exercise for line in lines)))
    return " or ".join(f"`invoke exercise.run {name}`" for name in exercises)
