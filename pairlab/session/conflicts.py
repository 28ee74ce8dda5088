"""What on this host stands in a lab's way, refused before anything is made."""

from __future__ import annotations

from pairlab.errors import ConflictError, HostError
from pairlab.host.net import listening_inode, port_holder, subnet_holder
from pairlab.libvirt_api import is_elsewhere
from pairlab.model import FRONT_DOOR, LABEL, ROLE_LABEL, SIDE_LABEL, LabSpec, SideName, load_spec
from pairlab.session.workbench import Workbench
from pairlab.ssh import is_another_machine, tunnel_command


def check_conflicts(bench: Workbench, spec: LabSpec) -> None:
    """Refuse a lab whose ports or subnet are taken by anything but itself.

    Raises:
        ConflictError: One is; it says by what.
        HostError: The lab's Docker is on another machine, and nothing here leads to a front door there.
    """
    settings = spec.settings
    if is_another_machine(settings.docker_host):
        _check_tunnel(spec)
    else:
        _check_ports(bench, spec)
    if is_elsewhere(settings.libvirt_uri):
        return  # no network of this host is in the way there
    if holder := subnet_holder(spec.subnet, spec.bridge, bench.runner):
        raise ConflictError(
            f"subnet {spec.subnet}, for the VMs, overlaps with {holder}",
            hint=f"set subnet in Pulumi.{spec.name}.yaml to a free private /24",
        )


def _check_ports(bench: Workbench, spec: LabSpec) -> None:
    own = own_ports(bench, spec.name)
    for side in SideName:
        port = spec.port(side)
        if port not in own and (holder := port_holder(port, bench.runner)):
            raise ConflictError(
                f"port {port} on 127.0.0.1, for the {side} side's front door, is held by {holder}",
                hint=f"stop it, or set {side}Port in Pulumi.{spec.name}.yaml",
            )


def _check_tunnel(spec: LabSpec) -> None:
    host, ports = spec.settings.docker_host, [spec.port(side) for side in SideName]
    closed = [f"127.0.0.1:{port}" for port in ports if listening_inode(port) is None]
    if closed:
        raise HostError(
            f"the front doors will be on the machine of {host}, and nothing leads there from {closed[0]}",
            hint=f"run `{tunnel_command(host, ports)}` in another terminal, then this again",
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
