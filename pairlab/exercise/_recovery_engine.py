"""What becomes of the instances whose engine, the daemon that carries them, ends, and who starts it again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._client import GOOD, Client
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._log import now
from pairlab.results import Variant, Verdict
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log
    from pairlab.host.engine_switch import EngineSwitch

WATCH_S = 10.0
"""How long an engine is watched; systemd takes two seconds for one that it is told to restart."""
SETTLE_S = 1.0
"""Until what ended with the engine counts as gone; a front door asks each instance once a second."""
BY_ITSELF_S = 20.0
"""How long an engine that is back gets to have all serve again: an orchestrator takes about ten seconds."""
NOBODY_TOLD = "nobody is told to: no systemd runs here"
BACK_TIMEOUT_S = 240.0
POLL_S = 0.1


def try_engine(lab: Lab, log: Log, variant: Variant, steady: int) -> None:
    """End the engine of a variant's side while a client asks its front door, and have it back in the end.

    Args:
        lab: The lab; afterwards it is again what is declared.
        log: Takes what was found.
        variant: Whose engine.
        steady: Good answers that count as calm.

    Raises:
        ExerciseError: An instance did not serve afterwards.
        HostError: The engine does not end, or does not come back.
    """
    assert variant.side is not None
    switch = lab.engine_switch(variant.side)
    if isinstance(switch, str):
        log.finding(plan.SERVES_ON, switch, "untried")
        return
    fleet = Fleet(lab, variant.side)
    before = [fleet.identity(index) for index in fleet.indexes]
    carried = _Carried(lab, fleet)
    with log.client(fleet.side, lab.port(fleet.side), lab.workload.health_path) as client:
        client.await_good(fleet.calm(steady))
        try:
            with log.step(variant.key) as changes:
                switch.kill()
                alone, all_serve = _watch(fleet, log, switch, client, carried, steady, changes)
            back = now()
            if not alone:
                with log.step("engine-start", engine=switch.name) as changes:
                    back = now()
                    switch.start()
                    changes.append(f"{switch.name} answers after {now() - back:.1f} s")
        finally:
            if not switch.answers():
                switch.start()
            for side in lab.sides.values():
                side.close()  # what it holds is a connection to the engine before
        watched_s = _serve_again(fleet, log, client, back)
        served = [
            client.await_answer(name, since=back, timeout_s=BACK_TIMEOUT_S).ended for name in fleet.names
        ]
        client.await_good(fleet.calm(steady))
    if not alone and not all_serve:
        log.sample(plan.HAND, log.elapsed(back, max(served)) - watched_s)
    same = sum(fleet.identity(index) == start for index, start in enumerate(before))
    others = "" if same == len(before) else f"; {_others(same)} were started anew"
    log.finding(plan.SAME_AFTER, f"{same} of {len(before)}{others}", "no" if others else "yes")


class _Carried:
    """The processes of a side's instances on this host, which need not end with their engine.

    Args:
        lab: The lab.
        fleet: Its instances, while their engine tells what it calls them.
    """

    def __init__(self, lab: Lab, fleet: Fleet) -> None:
        side = lab.sides[fleet.side]
        self._host: Runner = side.host()
        self._handles = [each.handle for each in side.instances() if not each.tier]
        self._seen_before = self._count()

    def told(self) -> str:
        """How many have processes now; empty where they could not be seen before either."""
        if self._seen_before < len(self._handles):
            return ""
        there = self._count()
        way = ": what was away is the way to them" if there == len(self._handles) else ""
        return f"; processes of {there} of {len(self._handles)} ran on{way}"

    def _count(self) -> int:
        """Instances whose control group holds a process. Source: cgroups(7), /proc/PID/cgroup."""
        groups = self._host.run(["sh", "-c", "cat /proc/[0-9]*/cgroup 2>/dev/null || true"]).stdout
        plain = groups.replace("\\x2d", "-")  # as systemd escapes it
        return sum(handle in plain for handle in self._handles)


def _others(count: int) -> str:
    return "the others" if count else "all"


def _watch(
    fleet: Fleet,
    log: Log,
    switch: EngineSwitch,
    client: Client,
    carried: _Carried,
    steady: int,
    changes: list[str],
) -> tuple[bool, bool]:
    """Whether somebody starts an ended engine again in time, and whether all instances served meanwhile."""
    struck = now()
    while not (alone := switch.answers()) and now() < struck + WATCH_S:
        time.sleep(POLL_S)
    away = [r for r in client.requests if struck + SETTLE_S <= r.sent and r.ended <= now()]
    serving = [name for name in fleet.names if any(r.instance == name and r.status == GOOD for r in away)]
    all_serve = serving == fleet.names
    ordered = f"though {switch.supervisor} is told to" if switch.supervisor else f"and {NOBODY_TOLD}"
    nobody = f"nobody within {WATCH_S:g} s, {ordered}"
    who = (switch.supervisor or "somebody else than pairlab") if alone else nobody
    unsaid: Verdict = "no" if switch.supervisor else "fact"
    log.finding(plan.WHO, who, "yes" if alone else unsaid)
    if len(away) < fleet.calm(steady):
        told = f"{switch.name} was away for {now() - struck:.1f} s only: too short to see"
        log.finding(plan.SERVES_ON, told, "fact")
    else:
        failed = sum(request.status != GOOD for request in away)
        told = f"{len(serving)} of {len(fleet.names)} answered while {switch.name} was away, and {failed} of"
        told += f" {len(away)} requests failed" + ("" if all_serve else carried.told())
        log.finding(plan.SERVES_ON, told, "yes" if all_serve else "no")
    changes += [told, f"who starts {switch.name} again: {who}"]
    return alone, all_serve


def _serve_again(fleet: Fleet, log: Log, client: Client, back: float) -> float:
    """Whether all instances serve by themselves once their engine is back; puts right what does not.

    Returns:
        For how many seconds nothing was done, to see whether they would, where somebody had to do it.
    """
    start = now()
    until = start + BY_ITSELF_S
    seen = [name for name in fleet.names if client.saw_answer(name, since=back, timeout_s=until - now())]
    count, watched_s = len(fleet.names), 0.0
    told = f"{len(seen)} of {count} within {BY_ITSELF_S:g} s"
    if seen != fleet.names:
        here = [each for each in fleet.lab.sides[fleet.side].instances() if not each.tier]
        running = sum(each.is_running for each in here)
        if not seen and running == count:
            told += f", though {running} of {count} ran by then: what was missing is the way to them"
        told += f"; {_others(len(seen))} after the lab was declared again"
        watched_s = now() - start
    log.finding(plan.SERVES_AGAIN, told, "yes" if seen == fleet.names else "no")
    fleet.lab.declare(fleet.lab.declared, refresh=True)
    return watched_s
