"""A lab's own package repository: the updates that both sides install from, with no other network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from pairlab.model import (
    LABEL,
    PACKAGES,
    PACKAGES_HOST,
    PACKAGES_PORT,
    PACKAGES_URL,
    ROLE_LABEL,
    SIDE_LABEL,
    ContainerImage,
    LabSpec,
    SideName,
)
from pairlab.render import render


@dataclass(frozen=True)
class PackageRepositoryArgs:
    """Arguments of `PackageRepository`.

    Attributes:
        spec: The lab.
        side: The half that installs from it.
        image: What serves the packages.
        network_id: The overlay network to join; None to stand on the host's own network.
    """

    spec: LabSpec
    side: SideName
    image: ContainerImage
    network_id: pulumi.Input[str] | None = None


class PackageRepository(pulumi.ComponentResource):
    """Serves packages to one side under the same name and port on both, and answers nobody else.

    The containers' one joins their overlay. The VMs' one stands on the host's network, as no new connection
    is forwarded to them from another bridge: it listens on the host's address in their network only, and
    refuses who is not of that network, since a host answers for each of its addresses on every interface.

    Outputs:
        url: Where an instance finds it.
    """

    url: pulumi.Output[str]

    def __init__(
        self, name: str, args: PackageRepositoryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pairlab:packages:PackageRepository", name, None, opts)
        spec = args.spec
        on_host = args.network_id is None
        config = render(
            "package_repository/nginx.conf.j2",
            address=str(spec.gateway) if on_host else "0.0.0.0",
            port=PACKAGES_PORT,
            subnet=str(spec.subnet) if on_host else "",
        )
        labels = {LABEL: spec.name, ROLE_LABEL: PACKAGES, SIDE_LABEL: args.side.value}
        docker.Container(
            f"{name}-server",
            name=f"{spec.prefix}-{args.side}-packages",
            image=args.image.reference,
            labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in labels.items()],
            network_mode="host" if on_host else None,
            networks_advanced=None
            if args.network_id is None
            else [docker.ContainerNetworksAdvancedArgs(name=args.network_id, aliases=[PACKAGES_HOST])],
            uploads=[docker.ContainerUploadArgs(file="/etc/nginx/nginx.conf", content=config)],
            restart="unless-stopped",
            must_run=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.url = pulumi.Output.from_input(PACKAGES_URL)
        self.register_outputs({"url": self.url})
