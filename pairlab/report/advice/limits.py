"""Limits that somebody requires, held against samples; what is not known of a side is a gap."""

from __future__ import annotations

from pairlab.differences import Need
from pairlab.model import SideName
from pairlab.report.advice.reasons import Basis, Gap, Reason, Ruling, Standing, Weight, amount, standing
from pairlab.report.advice.requirements import Requirements
from pairlab.report.summary import Summary

PLURAL = {SideName.VM: "VMs", SideName.CONTAINER: "containers"}
NOBODY = "no exercise measures it yet"
OTHER = {SideName.VM: SideName.CONTAINER, SideName.CONTAINER: SideName.VM}


def hold(
    topic: Need,
    required: Requirements,
    summary: Summary,
    limit: float,
    units: dict[str, float],
    *,
    times: int = 1,
    published: tuple[Basis, ...] = (),
) -> Ruling:
    """What samples say of a limit: a side that never meets it is out, one that is known to is preferred."""
    told = required.told(topic)
    found = {side: standing(summary.lines(topic), side, limit, units, times) for side in SideName}
    gaps = tuple(
        gap(topic, side, each, summary, published if side is SideName.VM else ())
        for side, each in found.items()
        if each.verdict in ("unclear", "emulated", "unmeasured")
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
    change = _change(found[OTHER[better]], OTHER[better], units)
    return Ruling((Reason(topic, better, weight, text, bases, change),), gaps)


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


def gap(topic: Need, side: SideName, found: Standing, summary: Summary, published: tuple[Basis, ...]) -> Gap:
    """That it is not known how a side stands to a limit, and how to find out."""
    run = _run(topic, summary)
    if found.verdict == "unmeasured":
        text = f"nothing was measured of {PLURAL[side]}"
        return Gap(topic, text, run or NOBODY, published)
    if found.verdict == "emulated":
        text = (
            "VMs were measured by software emulation only, which says nothing of hardware virtualisation: "
            + "; ".join(f"{basis.text} {basis.accelerator}" for basis in found.bases)
        )
        return Gap(topic, text, f"{run} on a host where VMs run by kvm", published)
    text = f"the samples of {PLURAL[side]} are too few, or lie on both sides of the limit: " + "; ".join(
        basis.text for basis in found.bases
    )
    return Gap(topic, text, f"{run}, with more repetitions", published)


def unmeasured(topic: Need, summary: Summary) -> Gap:
    """That a rule rests on nothing measured."""
    text = "this rests on what others published alone; nothing was measured here"
    return Gap(topic, text, _run(topic, summary) or NOBODY)


def _run(topic: Need, summary: Summary) -> str:
    lines = summary.lines(topic)
    exercises = dict.fromkeys((*summary.measured_by.get(topic, ()), *(line.exercise for line in lines)))
    return " or ".join(f"`invoke exercise.run {name}`" for name in exercises)
