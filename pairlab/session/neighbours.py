"""Other labs that are up on this host, and where an instance of one lab could try to reach them."""

from __future__ import annotations

from contextlib import closing, suppress

from pairlab.errors import LabError
from pairlab.host.addresses import host_addresses, near, own_addresses
from pairlab.model import Instance, SideName, load_spec
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.workbench import Workbench, known_labs


def neighbours(bench: Workbench, lab: str) -> dict[str, str]:
    """See `Lab.neighbours`: each side's first instance, and its front door at every address of this host.

    Args:
        bench: The tools of this run.
        lab: Whose neighbours are asked for; it is none of them.
    """
    found: dict[str, str] = {}
    for name in known_labs():
        spec = None
        with suppress(LabError):  # else nobody knows where it is
            spec = load_spec(name)
        if name == lab or spec is None:
            continue
        tiers = tiers_of(load_stack(spec.settings.stack), name, spec.settings, spec.keys)
        port = next(tier.workload.port for tier in tiers if tier.front)
        for half in SideName:
            with suppress(LabError), closing(bench.side(name, half)) as side:  # else that half is not up here
                host = side.host()
                at = near(host, own_addresses(side.runner(0)))
                instance = f"{Instance(half, 0, '').name} of {name}"
                found |= {f"{address}:{port}": instance for address in at}
                door = f"the front door of {name}'s {half} side"
                found |= {f"{address}:{spec.port(half)}": door for address in host_addresses(host)}
    return found
