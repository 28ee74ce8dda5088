"""Which daemons an exercise may end: those that pairlab started, and that carry nothing but the lab."""

from __future__ import annotations

from pairlab.errors import HostError
from pairlab.host.engine_switch import EngineSwitch, engine_switch
from pairlab.model import Settings
from pairlab.session.workbench import Workbench
from pairlab.side import Side


def switch_of(bench: Workbench, settings: Settings, side: Side) -> EngineSwitch | str:
    """The switch of the daemon that carries a side; or why it is to be left alone.

    Args:
        bench: The tools of this run.
        settings: Where the lab's daemons are.
        side: Of the lab.
    """
    host = bench.host(settings)
    switch = engine_switch(host, side.engine, bench.progress)
    if switch is None:
        return f"{side.engine} is another machine's"
    try:
        host.unlock(interactive=False)
    except HostError as error:
        return error.message
    if strangers := side.strangers():
        return f"that would hit what else {side.engine} carries: {', '.join(strangers)}"
    return switch.refusal or switch
