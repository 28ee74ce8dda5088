"""The front door: one HAProxy a side, from the same template and image, on 127.0.0.1 only."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from pairlab.model import (
    FRONT_DOOR,
    LABEL,
    MAX_INSTANCES,
    ROLE_LABEL,
    SIDE_LABEL,
    LabSpec,
    SideName,
    Workload,
)
from pairlab.render import render

LOOPBACK = "127.0.0.1"
DOOR_PORT = 8000


@dataclass(frozen=True)
class FrontDoorArgs:
    """Arguments of `FrontDoor`.

    Attributes:
        spec: The lab.
        side: The half that it leads to.
        workload: What answers behind it.
        network_id: The overlay network to join; None to stand on the host's own network.
    """

    spec: LabSpec
    side: SideName
    workload: Workload
    network_id: pulumi.Input[str] | None = None


class FrontDoor(pulumi.ComponentResource):
    """Balances over the healthy instances of one side, which it finds by name in that side's own DNS.

    The VMs' network forwards no new connection from another bridge, so their door stands on the host's
    network; the containers' door joins their overlay and is published on loopback.

    Outputs:
        url: Where the side answers, such as `http://127.0.0.1:20800`.
    """

    url: pulumi.Output[str]

    def __init__(self, name: str, args: FrontDoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pairlab:door:FrontDoor", name, None, opts)
        spec = args.spec
        port = spec.port(args.side)
        on_host = args.network_id is None
        config = render(
            "front_door/haproxy.cfg.j2",
            nameserver=f"{spec.gateway}:53" if on_host else "127.0.0.11:53",
            bind=f"{LOOPBACK}:{port}" if on_host else f"0.0.0.0:{DOOR_PORT}",
            health_path=args.workload.health_path,
            slots=MAX_INSTANCES,
            name=args.workload.name,
            port=args.workload.port,
        )
        labels = {LABEL: spec.name, ROLE_LABEL: FRONT_DOOR, SIDE_LABEL: args.side.value}
        docker.Container(
            f"{name}-proxy",
            name=f"{spec.prefix}-{args.side}-door",
            image=spec.front_door.reference,
            labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in labels.items()],
            network_mode="host" if on_host else None,
            networks_advanced=None
            if args.network_id is None
            else [docker.ContainerNetworksAdvancedArgs(name=args.network_id)],
            ports=None
            if on_host
            else [docker.ContainerPortArgs(internal=DOOR_PORT, external=port, ip=LOOPBACK, protocol="tcp")],
            uploads=[docker.ContainerUploadArgs(file="/etc/haproxy/haproxy.cfg", content=config)],
            restart="unless-stopped",
            must_run=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.url = pulumi.Output.from_input(f"http://{LOOPBACK}:{port}")
        self.register_outputs({"url": self.url})
