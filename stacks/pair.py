"""The first lab: one web workload, as VMs and as containers. Read it from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import pulumi_libvirt as libvirt

from pairlab.model import DeployedFile, LabKeys, LabSpec, Settings, SideName, Tier, Workload
from pairlab.render import render
from stacks.front_door import FrontDoor, FrontDoorArgs
from stacks.machine import Machine, MachineArgs
from stacks.package_repository import PackageRepository, PackageRepositoryArgs
from stacks.swarm import Containers, ContainersArgs
from stacks.virtual_machines import VirtualMachines, VirtualMachinesArgs


@dataclass(frozen=True)
class PairedLabArgs:
    """Arguments of `PairedLab`.

    Attributes:
        spec: The lab.
        tiers: What runs on both sides; exactly one is the front tier.
    """

    spec: LabSpec
    tiers: Sequence[Tier]


class PairedLab(pulumi.ComponentResource):
    """The same tiers twice, each half behind its own front door.

    Outputs:
        vm_url: Front door of the vm side.
        container_url: Front door of the container side.
    """

    vm_url: pulumi.Output[str]
    container_url: pulumi.Output[str]

    def __init__(self, name: str, args: PairedLabArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pairlab:lab:PairedLab", name, None, opts)
        spec = args.spec
        front_tier = next(tier for tier in args.tiers if tier.front)
        front = front_tier.workload
        own = pulumi.ResourceOptions(
            parent=self,
            providers=[
                libvirt.Provider(
                    f"{name}-libvirt", uri=spec.settings.libvirt_uri, opts=pulumi.ResourceOptions(parent=self)
                ),
                docker.Provider(
                    f"{name}-docker", host=spec.settings.docker_host, opts=pulumi.ResourceOptions(parent=self)
                ),
            ],
        )
        vms = VirtualMachines(f"{name}-vm", VirtualMachinesArgs(spec, args.tiers), own)
        containers = Containers(f"{name}-container", ContainersArgs(spec, args.tiers), own)
        on_vms = pulumi.ResourceOptions.merge(own, pulumi.ResourceOptions(depends_on=[vms.network]))
        vm_door = FrontDoor(f"{name}-vm-door", FrontDoorArgs(spec, SideName.VM, front), on_vms)
        container_door = FrontDoor(
            f"{name}-container-door",
            FrontDoorArgs(spec, SideName.CONTAINER, front, network_id=containers.network_id),
            own,
        )
        if spec.updates is not None:
            PackageRepository(
                f"{name}-vm-packages", PackageRepositoryArgs(spec, SideName.VM, spec.updates), on_vms
            )
            PackageRepository(
                f"{name}-container-packages",
                PackageRepositoryArgs(
                    spec, SideName.CONTAINER, spec.updates, network_id=containers.network_id
                ),
                own,
            )
        if spec.machine is not None:
            Machine(
                f"{name}-machine", MachineArgs(spec, front_tier, spec.machine, containers.network_id), own
            )
        self.vm_url, self.container_url = vm_door.url, container_door.url
        self.register_outputs({"vmUrl": self.vm_url, "containerUrl": self.container_url})


WEB = Workload(
    name="web",
    packages=("nginx",),
    port=8080,
    health_path="/healthz",
    unit="nginx.service",
    command=("/usr/sbin/nginx", "-g", "daemon off;"),
    user="www-data",
    stop_signal="SIGQUIT",
    files={
        "/etc/nginx/nginx.conf": "workload/web/nginx.conf.j2",
        "/etc/pairlab/page.html": "workload/web/default.html.j2",
        "/usr/local/lib/pairlab/prepare": "workload/web/prepare.sh.j2",
    },
    broken={"/etc/nginx/nginx.conf": "workload/web/broken.conf.j2"},
    executable=("/usr/local/lib/pairlab/prepare",),
    # Its configuration was checked when the image was built.
    unit_lines=("ExecStartPre=", "ExecStartPre=/usr/local/lib/pairlab/prepare"),
)


def tiers(name: str, settings: Settings, keys: LabKeys) -> list[Tier]:
    """What the lab runs: web servers, as many on each side as the settings say."""
    page = render("workload/web/page.html.j2", lab=name, message=settings.message)
    return [Tier(WEB, settings.vms, settings.replicas, files=(DeployedFile("/etc/pairlab/page.html", page),))]


def declare(spec: LabSpec) -> None:
    """The Pulumi program."""
    lab = PairedLab(spec.name, PairedLabArgs(spec, tiers(spec.name, spec.settings, spec.keys)))
    pulumi.export("vmUrl", lab.vm_url)
    pulumi.export("containerUrl", lab.container_url)
