"""What becomes of the instances whose engine, the daemon that carries them, ends, and who starts it again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._client import GOOD, Client
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._log import now
from pairlab.results import Variant

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log
    from pairlab.host.engine_switch import EngineSwitch

WATCH_S = 10.0
"""How long an engine is watched; systemd takes two seconds for one that it is told to restart."""
SETTLE_S = 1.0
"""Until what ended with the engine counts as gone; a front door asks each instance once a second."""
BY_ITSELF_S = 20.0
"""How long an engine that is back gets to have all serve again: an orchestrator takes about ten seconds."""
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
    with log.client(fleet.side, lab.port(fleet.side), lab.workload.health_path) as client:
        client.await_good(fleet.calm(steady))
        try:
            with log.step(variant.key, port=lab.port(fleet.side)) as changes:
                switch.kill()
                alone, all_serve = _watch(fleet, log, switch, client, steady, changes)
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
        _serve_again(fleet, log, client, back)
        served = [
            client.await_answer(name, since=back, timeout_s=BACK_TIMEOUT_S).ended for name in fleet.names
        ]
        client.await_good(fleet.calm(steady))
    if not alone and not all_serve:
        log.sample(plan.HAND, log.elapsed(back, max(served)))
    log.sample(plan.FAILED, log.timelines[-1].failed())
    log.sample(plan.GAP, log.timelines[-1].longest_gap_s())
    same = sum(fleet.identity(index) == start for index, start in enumerate(before))
    others = "" if same == len(before) else "; what else there is was started anew"
    log.finding(plan.SAME_AFTER, f"{same} of {len(before)}{others}", "no" if others else "yes")


def _watch(
    fleet: Fleet, log: Log, switch: EngineSwitch, client: Client, steady: int, changes: list[str]
) -> tuple[bool, bool]:
    """Whether somebody starts an ended engine again in time, and whether all instances served meanwhile."""
    struck = now()
    while not (alone := switch.answers()) and now() < struck + WATCH_S:
        time.sleep(POLL_S)
    away = [r for r in client.requests if struck + SETTLE_S <= r.sent and r.ended <= now()]
    serving = [name for name in fleet.names if any(r.instance == name and r.status == GOOD for r in away)]
    all_serve = serving == fleet.names
    who = (switch.supervisor or "somebody else than pairlab") if alone else f"nobody within {WATCH_S:g} s"
    log.finding(plan.WHO, who, "yes" if alone else "no")
    if len(away) < fleet.calm(steady):
        told = f"{switch.name} was away for {now() - struck:.1f} s only: too short to see"
        log.finding(plan.SERVES_ON, told, "fact")
    else:
        told = f"{len(serving)} of {len(fleet.names)} answered while {switch.name} was away"
        log.finding(plan.SERVES_ON, told, "yes" if all_serve else "no")
    changes += [told, f"who starts {switch.name} again: {who}"]
    return alone, all_serve


def _serve_again(fleet: Fleet, log: Log, client: Client, back: float) -> None:
    """Whether all instances serve by themselves once their engine is back; puts right what does not."""
    until = now() + BY_ITSELF_S
    seen = [name for name in fleet.names if client.saw_answer(name, since=back, timeout_s=until - now())]
    told = f"{len(seen)} of {len(fleet.names)} within {BY_ITSELF_S:g} s"
    if seen != fleet.names:
        told += "; the others after the lab was declared again"
    log.finding(plan.SERVES_AGAIN, told, "yes" if seen == fleet.names else "no")
    fleet.lab.declare(fleet.lab.declared, refresh=True)
