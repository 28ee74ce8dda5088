"""A VM inside a container: QEMU and the lab's own VM disk, run by the container side's orchestrator."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from pairlab.model import (
    HEALTHCHECK,
    IMAGE_LABEL,
    LABEL,
    MACHINE,
    MACHINE_HOST,
    MACHINE_SSH_PORT,
    TIER_LABEL,
    ContainerImage,
    LabSpec,
    Tier,
)
from pairlab.render import render
from stacks.guest_seed import Link, network_config, user_data

MIB = 1024**2
QEMU_MIB = 1280
"""What QEMU may take beside its guest's memory: translated code, by default up to 1 GiB, and itself."""
SEED = "/etc/machine"
MAC = "52:54:00:12:34:56"
NETWORK = "198.18.0.0/24"
"""QEMU's own network, the same in every container and joined to none. Its default may be the one that the
container is in, for Swarm takes those out of 10.0.0.0/8: the VM would send its answers to itself.
Source: RFC 2544, addresses that are routed nowhere.
"""
LINK = Link(MAC, "198.18.0.15/24", "198.18.0.2", "198.18.0.3")
"""The VM, what leads out of that network, and who answers for names. Source: QEMU, net/slirp.c."""


@dataclass(frozen=True)
class MachineArgs:
    """Arguments of `Machine`.

    Attributes:
        spec: The lab.
        tier: What the VM is one more of.
        image: QEMU with the VM's disk.
        network_id: The overlay network to join.
    """

    spec: LabSpec
    tier: Tier
    image: ContainerImage
    network_id: pulumi.Input[str]


class Machine(pulumi.ComponentResource):
    """One VM in one container, which answers to the workload's name as the other containers do.

    The container has no privilege, no device and nothing of its host's files: QEMU emulates, is an ordinary
    account's process, and passes connections on to its guest.

    Outputs:
        service_id: Id of its service.
    """

    service_id: pulumi.Output[str]

    def __init__(self, name: str, args: MachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pairlab:machine:Machine", name, None, opts)
        self._name, self._spec = name, args.spec
        self._own = pulumi.ResourceOptions(parent=self)
        spec, image = args.spec, args.image
        local_image = docker.RemoteImage(
            f"{name}-image", name=image.reference, keep_locally=True, opts=self._own
        )
        labels = {LABEL: spec.name, TIER_LABEL: MACHINE, IMAGE_LABEL: image.version}
        service = docker.Service(
            f"{name}-service",
            name=f"{spec.prefix}-{MACHINE}",
            labels=[docker.ServiceLabelArgs(label=key, value=value) for key, value in labels.items()],
            mode=docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=1)),
            endpoint_spec=docker.ServiceEndpointSpecArgs(mode="dnsrr"),
            task_spec=docker.ServiceTaskSpecArgs(
                container_spec=self._container_spec(args, labels),
                networks_advanceds=[
                    docker.ServiceTaskSpecNetworksAdvancedArgs(
                        id=args.network_id, aliases=[args.tier.workload.name]
                    )
                ],
                resources=docker.ServiceTaskSpecResourcesArgs(
                    limits=docker.ServiceTaskSpecResourcesLimitsArgs(
                        memory_bytes=(spec.settings.vm_memory_mib + QEMU_MIB) * MIB
                    )
                ),
                restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(condition="any", delay="1s"),
            ),
            converge_config=docker.ServiceConvergeConfigArgs(
                delay="500ms", timeout=f"{spec.settings.ready_timeout_s}s"
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[local_image], delete_before_replace=True),
        )
        self.service_id = service.id
        self.register_outputs({"serviceId": self.service_id})

    def _container_spec(
        self, args: MachineArgs, labels: dict[str, str]
    ) -> docker.ServiceTaskSpecContainerSpecArgs:
        spec = self._spec
        user = user_data(spec, args.tier, MACHINE_HOST, 0)
        # Another image or seed is another instance, which applies its seed anew.
        digest = hashlib.sha256(f"{args.image.version}\0{user}".encode()).hexdigest()[:12]
        meta = render(
            "guest/meta-data.j2", instance_id=f"{spec.prefix}-{MACHINE_HOST}-{digest}", hostname=MACHINE_HOST
        )
        return docker.ServiceTaskSpecContainerSpecArgs(
            image=args.image.reference,
            hostname=f"container-{MACHINE}-1",
            env={
                "MACHINE_CPUS": str(spec.settings.vm_cpus),
                "MACHINE_MAC": LINK.mac,
                "MACHINE_MEMORY_MIB": str(spec.settings.vm_memory_mib),
                "MACHINE_NETWORK": NETWORK,
                "MACHINE_PORT": str(args.tier.workload.port),
                "MACHINE_SSH_PORT": str(MACHINE_SSH_PORT),
            },
            labels=[
                docker.ServiceTaskSpecContainerSpecLabelArgs(label=key, value=value)
                for key, value in labels.items()
            ],
            configs=[self._config("meta-data", meta), self._config("network-config", network_config(LINK))],
            secrets=[self._secret("user-data", user)],
            cap_drops=["ALL"],
            healthcheck=docker.ServiceTaskSpecContainerSpecHealthcheckArgs(
                tests=["CMD", HEALTHCHECK],
                interval="2s",
                timeout="5s",
                retries=3,
                start_period=f"{spec.settings.ready_timeout_s}s",
            ),
            stop_grace_period="5s",
        )

    def _config(self, file: str, text: str) -> docker.ServiceTaskSpecContainerSpecConfigArgs:
        config = docker.ServiceConfig(
            f"{self._name}-{file}",
            name=self._file_name(file, text),
            data=base64.b64encode(text.encode()).decode(),
            labels=[docker.ServiceConfigLabelArgs(label=LABEL, value=self._spec.name)],
            opts=self._own,
        )
        return docker.ServiceTaskSpecContainerSpecConfigArgs(
            config_id=config.id, config_name=config.name, file_name=f"{SEED}/{file}", file_mode=0o444
        )

    def _secret(self, file: str, text: str) -> docker.ServiceTaskSpecContainerSpecSecretArgs:
        secret = docker.Secret(
            f"{self._name}-{file}",
            name=self._file_name(file, text),
            data=pulumi.Output.secret(base64.b64encode(text.encode()).decode()),
            labels=[docker.SecretLabelArgs(label=LABEL, value=self._spec.name)],
            opts=self._own,
        )
        return docker.ServiceTaskSpecContainerSpecSecretArgs(
            secret_id=secret.id, secret_name=secret.name, file_name=f"{SEED}/{file}", file_mode=0o444
        )

    def _file_name(self, file: str, text: str) -> str:
        digest = hashlib.sha256(f"{file}\0{text}".encode()).hexdigest()[:12]
        return f"{self._spec.prefix}-{MACHINE}-{digest}"
