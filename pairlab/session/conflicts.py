"""What on this host stands in a lab's way, refused before anything is made."""

from __future__ import annotations

from pairlab.errors import ConflictError
from pairlab.host.net import port_holder, subnet_holder
from pairlab.model import FRONT_DOOR, LABEL, ROLE_LABEL, SIDE_LABEL, LabSpec, SideName, load_spec
from pairlab.session.workbench import Workbench


def check_conflicts(bench: Workbench, spec: LabSpec) -> None:
    """Refuse a lab whose ports or subnet are taken by anything but itself.

    Raises:
        ConflictError: One is; it says by what.
    """
    own = own_ports(bench, spec.name)
    for side in SideName:
        port = spec.port(side)
        if port not in own and (holder := port_holder(port, bench.runner)):
            raise ConflictError(
                f"port {port} on 127.0.0.1, for the {side} side's front door, is held by {holder}",
                hint=f"stop it, or set {side}Port in Pulumi.{spec.name}.yaml",
            )
    if holder := subnet_holder(spec.subnet, spec.bridge, bench.runner):
        raise ConflictError(
            f"subnet {spec.subnet}, for the VMs, overlaps with {holder}",
            hint=f"set subnet in Pulumi.{spec.name}.yaml to a free private /24",
        )


def own_ports(bench: Workbench, lab: str) -> frozenset[int]:
    """Loopback ports that a lab's own front doors hold: those of them that run as its last `up` declared."""
    spec = load_spec(lab)
    if spec is None:
        return frozenset()
    # One that finds its port taken ends, and is restarted again and again: it does not run.
    labels = (f"{LABEL}={lab}", f"{ROLE_LABEL}={FRONT_DOOR}")
    chosen = [word for label in labels for word in ("--filter", f"label={label}")]
    told = f'{{{{.Label "{SIDE_LABEL}"}}}}'
    doors = bench.host(spec.settings).docker("ps", "--filter", "status=running", *chosen, "--format", told)
    return frozenset(spec.port(SideName(side)) for side in (doors or "").split())
