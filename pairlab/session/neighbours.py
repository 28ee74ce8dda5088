"""Other labs that are up on this host, and where an instance of one lab could try to reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from pairlab.errors import LabError
from pairlab.host.addresses import host_addresses, near, own_addresses
from pairlab.model import LAB_NAME_LENGTH, Instance, SideName, load_spec, spec_file
from pairlab.session.exclusive import changing
from pairlab.session.lab import bring_up
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.teardown import take_down
from pairlab.session.workbench import Workbench, known_labs, known_spec

BESIDE = "-beside"
ITS_OWN = {"subnet": "", "vm_port": 0, "container_port": 0}
"""Settings that no two labs share, as their defaults, which go by the lab's name."""


@contextmanager
def neighbours(bench: Workbench, lab: str, await_commands: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """See `Lab.neighbours`: each side's first instance, and its front door at every address of this host.

    Args:
        bench: The tools of this run.
        lab: Whose neighbours are asked for; it is none of them, and it is up.
        await_commands: Waits until commands can be run in the instances of the lab of that name.
    """
    if found := others_up(bench, lab):
        yield found
        return
    name = lab[: LAB_NAME_LENGTH - len(BESIDE)].rstrip("-") + BESIDE
    if spec_file(name).is_file():  # somebody's, or a killed run's: what it has is not ours to take down
        bench.progress(f"lab {name} is there and does not answer; `invoke lab.down --lab {name}` removes it")
        yield found
        return
    settings = known_spec(lab).settings.model_copy(update={**ITS_OWN, "vms": 1, "replicas": 1})
    bench.progress(f"no other lab is up: bringing up {name} for as long as it is needed")
    with changing(name, "exercises"):
        try:
            try:
                bring_up(bench, name, settings)
                await_commands(name)
                found = others_up(bench, lab)
            except LabError as error:
                bench.progress(f"{name} did not come up: {error.message}")
            yield found
        finally:
            take_down(bench, name)


def others_up(bench: Workbench, lab: str) -> dict[str, str]:
    """The same for those that are up now."""
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
