"""The container side: an overlay network and one service a tier, on Docker Swarm."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from pairlab.model import (
    HEALTHCHECK,
    IMAGE_LABEL,
    LABEL,
    START_PERIOD_S,
    TIER_LABEL,
    DeployedFile,
    LabSpec,
    SideName,
    Tier,
)

MIB = 1024**2
HEALTH_INTERVAL = "2s"
MONITOR = HEALTH_INTERVAL
"""How long an update watches a new task that is healthy: until its next health check."""


@dataclass(frozen=True)
class ContainersArgs:
    """Arguments of `Containers`.

    Attributes:
        spec: The lab.
        tiers: What runs.
    """

    spec: LabSpec
    tiers: Sequence[Tier]


class Containers(pulumi.ComponentResource):
    """Containers of one lab, under an orchestrator that keeps their number.

    Outputs:
        network_id: Id of the overlay network that the instances and their front door share.
        services: Workload name -> id of its service.
    """

    network_id: pulumi.Output[str]
    services: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: ContainersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pairlab:container:Containers", name, None, opts)
        self._spec = args.spec
        self._own = pulumi.ResourceOptions(parent=self)
        network = docker.Network(
            f"{name}-network",
            name=args.spec.prefix,
            driver="overlay",
            attachable=True,
            labels=[docker.NetworkLabelArgs(label=LABEL, value=args.spec.name)],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.network_id = network.id
        self.services = {tier.workload.name: self._make_service(tier).id for tier in args.tiers}
        self.register_outputs({"networkId": self.network_id, "services": dict(self.services)})

    def _make_service(self, tier: Tier) -> docker.Service:
        spec, workload = self._spec, tier.workload
        image = spec.images[workload.name].container
        local_image = docker.RemoteImage(
            f"{self._name}-{workload.name}-image", name=image.reference, keep_locally=True, opts=self._own
        )
        labels = {LABEL: spec.name, TIER_LABEL: tier.group, IMAGE_LABEL: image.version}
        return docker.Service(
            f"{self._name}-{workload.name}",
            name=f"{spec.prefix}-{workload.name}",
            labels=[docker.ServiceLabelArgs(label=key, value=value) for key, value in labels.items()],
            mode=docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=tier.replicas)),
            endpoint_spec=docker.ServiceEndpointSpecArgs(mode="dnsrr"),
            task_spec=docker.ServiceTaskSpecArgs(
                container_spec=self._container_spec(tier, image.reference, labels),
                networks_advanceds=[
                    docker.ServiceTaskSpecNetworksAdvancedArgs(id=self.network_id, aliases=[workload.name])
                ],
                resources=docker.ServiceTaskSpecResourcesArgs(
                    limits=docker.ServiceTaskSpecResourcesLimitsArgs(
                        memory_bytes=spec.settings.container_memory_mib * MIB,
                        nano_cpus=round(spec.settings.container_cpus * 1e9),
                    )
                ),
                restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(
                    condition="any" if spec.supervised else "none", delay="1s"
                ),
                force_update=spec.generations.get(SideName.CONTAINER, 0),
            ),
            update_config=self._update_config(),
            rollback_config=docker.ServiceRollbackConfigArgs(
                parallelism=1, order="start-first", failure_action="pause", monitor=MONITOR
            ),
            converge_config=docker.ServiceConvergeConfigArgs(
                delay="500ms", timeout=f"{spec.settings.ready_timeout_s}s"
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[local_image], delete_before_replace=True),
        )

    def _update_config(self) -> docker.ServiceUpdateConfigArgs:
        if self._spec.settings.rollout == "at-once":
            return docker.ServiceUpdateConfigArgs(
                parallelism=0, order="stop-first", failure_action="rollback", monitor=MONITOR
            )
        return docker.ServiceUpdateConfigArgs(
            parallelism=1, order="start-first", failure_action="rollback", monitor=MONITOR
        )

    def _container_spec(
        self, tier: Tier, image: str, labels: Mapping[str, str]
    ) -> docker.ServiceTaskSpecContainerSpecArgs:
        prefix = "-".join(part for part in (SideName.CONTAINER, tier.group) if part)
        public = [file for file in tier.files if not file.secret]
        private = [file for file in tier.files if file.secret]
        return docker.ServiceTaskSpecContainerSpecArgs(
            image=image,
            hostname=prefix + "-{{.Task.Slot}}",
            env={"PAIRLAB_SLOT": "{{.Task.Slot}}"},
            labels=[
                docker.ServiceTaskSpecContainerSpecLabelArgs(label=key, value=value)
                for key, value in labels.items()
            ],
            configs=[self._config(tier, file) for file in public] or None,
            secrets=[self._secret(tier, file) for file in private] or None,
            healthcheck=docker.ServiceTaskSpecContainerSpecHealthcheckArgs(
                tests=["CMD", HEALTHCHECK],
                interval=HEALTH_INTERVAL,
                timeout="5s",
                retries=3,
                start_period=f"{START_PERIOD_S}s",
            ),
            stop_grace_period="5s",
        )

    def _config(self, tier: Tier, file: DeployedFile) -> docker.ServiceTaskSpecContainerSpecConfigArgs:
        # A config cannot change: another content is another name, and services move over before it goes.
        config = docker.ServiceConfig(
            self._file_name(tier, file, "config"),
            name=f"{self._spec.prefix}-{_file_id(tier, file)}",
            data=base64.b64encode(file.content.encode()).decode(),
            labels=[docker.ServiceConfigLabelArgs(label=LABEL, value=self._spec.name)],
            opts=self._own,
        )
        return docker.ServiceTaskSpecContainerSpecConfigArgs(
            config_id=config.id, config_name=config.name, file_name=file.path, file_mode=0o444
        )

    def _secret(self, tier: Tier, file: DeployedFile) -> docker.ServiceTaskSpecContainerSpecSecretArgs:
        secret = docker.Secret(
            self._file_name(tier, file, "secret"),
            name=f"{self._spec.prefix}-{_file_id(tier, file)}",
            data=pulumi.Output.secret(base64.b64encode(file.content.encode()).decode()),
            labels=[docker.SecretLabelArgs(label=LABEL, value=self._spec.name)],
            opts=self._own,
        )
        # Its owner would have to be a number, which only the image knows; but a container has one user.
        return docker.ServiceTaskSpecContainerSpecSecretArgs(
            secret_id=secret.id, secret_name=secret.name, file_name=file.path, file_mode=0o444
        )

    def _file_name(self, tier: Tier, file: DeployedFile, kind: str) -> str:
        return f"{self._name}-{tier.workload.name}-{file.path.rsplit('/', 1)[-1]}-{kind}"


def _file_id(tier: Tier, file: DeployedFile) -> str:
    # By the path's digest, as Swarm takes 64 characters at most and a lab's name alone may have 30.
    digest = hashlib.sha256(f"{file.path}\0{file.content}".encode()).hexdigest()[:12]
    return f"{tier.workload.name}-{digest}"
