"""All memory of an instance is taken: who ends that, who goes on, and what its host has back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from pairlab.errors import ExerciseError
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._client import GOOD
from pairlab.exercise._isolation_bounded import (
    BY_WATCHDOG,
    EXHAUST,
    KILLED,
    Ended,
    Target,
    available_bytes,
    detached,
    memory_limit_bytes,
    oom_kills,
    perl,
)
from pairlab.exercise._isolation_containment import (
    BACK_TIMEOUT_S,
    START_TIMEOUT_S,
    VIRTUAL_HARDWARE,
    Aftermath,
    Containment,
)
from pairlab.exercise._isolation_figures import HOST_KERNEL
from pairlab.exercise._isolation_place import Tried
from pairlab.exercise._log import now
from pairlab.results import Verdict

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

MORE_THAN_LIMIT = 2.5
"""How much an attacker asks for, in limits: where this host swaps, an engine allows twice the limit."""
HOST_SHARE = 0.5
"""The most of this host's free memory that may be asked for."""
MOST_OF_IT = 0.75
"""Memory counts as exhausted from this share of what there was, if a kernel ended nobody for want of it."""
LIFE_S = 20.0
"""A guest whose memory is full may move its file cache about for minutes before it ends anybody."""
STEADY = 20


def exhaust(lab: Lab, log: Log, containment: Containment, target: Target) -> Iterator[str]:
    """One process takes memory until it is ended: by the kernel that owns the limit, or by its watchdog.

    Raises:
        ExerciseError: It may not take so much here; or it ended by itself.
    """
    limit = memory_limit_bytes(target)
    most = int(limit * MORE_THAN_LIMIT)
    free = available_bytes(target.side.host())
    if most > free * HOST_SHARE:
        raise ExerciseError(
            f"{target.name} may take {limit // plan.MIB} MiB, and {free // plan.MIB} MiB are free here",
            hint="end something else on this host, or give the lab less memory",
        )
    room = available_bytes(target.usual) if target.own_kernel else limit
    held, kills = target.side.footprint(0).memory_bytes, oom_kills(target.usual)
    ended, aftermath = _attack(lab, log, containment, target, most)
    taken = max([0, *(int(line) for line in ended.said if line.isdigit())]) * plan.MIB if ended else 0
    kernel = "its own kernel" if target.own_kernel else HOST_KERNEL
    holder = VIRTUAL_HARDWARE if target.own_kernel else f"{HOST_KERNEL} (a control group's limit of memory)"
    got = f"got {taken // plan.MIB} MiB"
    verdict: Verdict = "yes"
    if ended is None:
        happened = "nobody inside told how it ended"
    elif aftermath.is_silent and ended.status in BY_WATCHDOG:
        happened = f"{got} until it was ended"  # by whom, its kernel knows no more
    elif ended.status == KILLED and oom_kills(target.usual) > kills:
        happened = f"{got}, then {kernel} ended it by SIGKILL"
    elif ended.status in BY_WATCHDOG and taken >= room * MOST_OF_IT:
        happened = f"{got} and stalled it, until its watchdog ended it after {LIFE_S:g} s"
        holder, verdict = "nobody: the attack itself was bounded", "no"
    else:
        raise ExerciseError(
            f"a process in {target.name} {got} of {limit // plan.MIB} and ended by itself"
            f" (status {ended.status})",
            hint="no memory was exhausted: there would be nothing to compare",
        )
    if ended:
        log.sample(plan.TAKEN, taken)
    if not aftermath.is_silent:
        log.sample(plan.MEMORY_KEPT, target.side.footprint(0).memory_bytes - held)
    tried = Tried(f"took memory, under a limit of {limit // plan.MIB} MiB", happened, verdict, holder)
    yield containment.tell_who_goes_on(target, plan.MEMORY_ALONE, tried, aftermath)


def _attack(
    lab: Lab, log: Log, containment: Containment, target: Target, most: int
) -> tuple[Ended | None, Aftermath]:
    """Have all memory taken, while a client asks the front door; None where nobody inside told the end."""
    side, name, ended = target.fleet.side, target.name, None

    def serves() -> bool:
        return client.saw_answer(name, since=now(), timeout_s=BACK_TIMEOUT_S)

    with log.client(side, lab.port(side), lab.workload.health_path) as client:
        client.await_good(target.fleet.calm(STEADY))
        began = now()
        with containment.brought_back(target, serves) as aftermath:
            ended = detached(target.usual, perl(EXHAUST, most // plan.MIB, LIFE_S), LIFE_S)
        client.await_answer(name, since=now(), timeout_s=START_TIMEOUT_S)
    own = (each for each in client.requests if each.instance == name and each.status == GOOD)
    ends = sorted(each.ended for each in own)
    log.sample(plan.SILENT, max(after - before for before, after in pairwise(ends) if after > began))
    log.sample(plan.MEMORY_FAILED, log.timelines[-1].failed())
    return ended, aftermath
