"""Brings this host into a state in which labs run, and back."""

from __future__ import annotations

from collections.abc import Sequence

from pairlab.host.daemons import (
    DAEMONS,
    cgroups_step,
    daemon_step,
    daemons,
    is_ours,
    refuse_while_used,
    stop_daemon,
    unmount_cgroups,
)
from pairlab.host.orchestrator import leave_swarm, swarm_step
from pairlab.host.packages import binding_step, packages_step
from pairlab.host.rights import groups_step, kvm_device_step, leave_groups, restore_kvm_device
from pairlab.host.steps import Host, Step
from pairlab.progress import Progress

UNDO_ORDER = ("swarm", *DAEMONS, "kvm", "groups", "cgroups")
"""Names in the ledger: the Swarm needs Docker."""


def plan(host: Host, extra: Sequence[Step] = (), packages: Sequence[str] = ()) -> list[Step]:
    """What is not in place yet, in the order in which it must be done. Changes nothing.

    Args:
        host: This machine.
        extra: Further steps, such as the Pulumi CLI's, which come last.
        packages: Debian packages besides those that labs need.
    """
    steps = [packages_step(host, packages), binding_step(host)]
    if host.local_docker and not host.systemd:
        steps.append(cgroups_step(host))
    if host.local_libvirt:
        steps.append(kvm_device_step(host))
    if host.account:
        steps.append(groups_step(host))
    steps += [daemon_step(host, daemon) for daemon in daemons(host)]
    if host.local_docker:
        steps.append(swarm_step(host))
    return [step for step in [*steps, *extra] if not step.done()]


def apply(host: Host, steps: Sequence[Step], progress: Progress, *, interactive: bool) -> None:
    """Bring the steps of a plan in place.

    Args:
        host: This machine.
        steps: From `plan`.
        progress: Told what is being done, every few seconds.
        interactive: sudo may ask for a password on this terminal.

    Raises:
        HostError: There are no rights to do it, or a daemon does not come up, or the Swarm is not ours.
        CommandError: A command failed.
    """
    if any(step.admin for step in steps):
        host.unlock(interactive=interactive)
    for step in steps:
        step.apply(progress)


def undo_plan(host: Host) -> list[str]:
    """What `undo` will do, a line each. Changes nothing."""
    entries = host.ledger.entries()
    told = {
        "swarm": "leave the Swarm that pairlab initialised",
        **{name: f"stop {name}" for name in DAEMONS if name in entries and is_ours(name, entries[name])},
        "kvm": "give /dev/kvm its former owner and mode",
        "groups": f"take {host.account} out of {', '.join(entries.get('groups', []))}",
        "cgroups": f"unmount {entries.get('cgroups')}",
    }
    return [told[name] for name in UNDO_ORDER if name in entries and name in told]


def undo(host: Host, progress: Progress, *, interactive: bool) -> list[str]:
    """Stop what `apply` started; packages, images and what others started stay.

    Args:
        host: This machine.
        progress: Told what is being done.
        interactive: sudo may ask for a password on this terminal.

    Returns:
        What was undone, a sentence each; empty if there was nothing.

    Raises:
        HostError: Labs or others still use it; nothing was stopped then.
    """
    entries = host.ledger.entries()
    if not entries:
        return []
    host.unlock(interactive=interactive)
    refuse_while_used(host, {name for name in DAEMONS if name in entries and is_ours(name, entries[name])})
    told: list[str] = []
    for name in UNDO_ORDER:
        if name in entries:
            progress(f"undoing: {name}")
            told.append(_undo(host, name, entries[name]))
            host.ledger.forget(name)
    return told


def _undo(host: Host, name: str, entry: object) -> str:
    match name, entry:
        case "swarm", {"node": str(node)}:
            return leave_swarm(host, node)
        case "kvm", {"mode": str(mode), "group": str(group)}:
            restore_kvm_device(host, {"mode": mode, "group": group})
            return "gave /dev/kvm its former owner and mode"
        case "groups", list(groups):
            leave_groups(host, [str(group) for group in groups])
            return f"took {host.account} out of {', '.join(map(str, groups))}"
        case "cgroups", str(place):
            return unmount_cgroups(host, place)
        case _, dict(started) if name in DAEMONS:
            return stop_daemon(host, name, started)
    return f"knew nothing of {name}"
