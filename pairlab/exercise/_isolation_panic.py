"""A guest's kernel panics: who ends with it, who knows, and back again. Never tried on a shared kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pairlab.exercise import _inside
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._isolation_bounded import Target, switch_off_and_on
from pairlab.exercise._isolation_containment import VIRTUAL_HARDWARE, Containment
from pairlab.exercise._isolation_place import Tried
from pairlab.exercise._log import now

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

STEADY = 20
PANIC_TIMEOUT_S = 30.0
BACK_TIMEOUT_S = 240.0


def panic(lab: Lab, log: Log, containment: Containment, target: Target) -> Iterator[str]:
    """Crash the kernel of one instance, if it is its own, and start the instance again.

    Raises:
        ExerciseError: It did not panic.
    """
    if not target.own_kernel:
        told = "it would be this host's kernel, and the end of all that runs on it"
        log.finding(plan.PANIC_ALONE, told, "untried")
        yield f"{plan.PANIC_ALONE} not tried: {told}"
        return
    name, of, calm = target.name, target.fleet.side, target.fleet.calm(STEADY)
    with log.client(of, lab.port(of), lab.workload.health_path) as client:
        client.await_good(calm)
        try:
            _inside.crash_kernel(target.fleet.admin(0), name)
            client.await_without(name, calm, timeout_s=PANIC_TIMEOUT_S)
            known, alone = _known(target), _alone(containment.missing(target, itself=False))
        finally:
            began = now()
            switch_off_and_on(target)
        target.fleet.await_commands()
        client.await_answer(name, since=began, timeout_s=BACK_TIMEOUT_S)
    log.sample(plan.PANIC_FAILED, log.timelines[-1].failed())
    for question, tried in ((plan.PANIC_ALONE, alone), (plan.PANIC_KNOWN, known)):
        log.finding(question, tried.answer, tried.verdict)
        yield f"{question} {tried.verdict}: {tried.answer}"


def _alone(others: list[str]) -> Tried:
    tried = "crashed its kernel by sysrq"
    if others:
        return Tried(tried, f"it answers nobody, and {', '.join(others)} ended with it", "no", "nobody")
    return Tried(tried, "it answers nobody; all others go on", "yes", VIRTUAL_HARDWARE)


def _known(target: Target) -> Tried:
    found = target.found()
    told = f"{target.side.kind} says {found.state!r}"
    if found.is_running:
        return Tried("asked for its state", told, "no", "nobody")
    return Tried("asked for its state", told, "yes", target.side.kind)
