"""The embedded docker plugin under a real engine, on the real daemon."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import docker
import pulumi
import pulumi_docker as pd
import pytest
from docker_trial import Trial

pytestmark = [
    pytest.mark.integration,
    # The SDK does not close the event loop of an inline program, nor end the coroutines of a failed one.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
Program = Callable[[], None]
SECRET = "a-secret-that-nobody-may-read"


def whole(prefix: str, image: str, *, replicas: int = 2, tag: str = "1", host: str | None = None) -> Program:
    """All seven kinds of resources, wired as a lab's are."""

    def program() -> None:
        opts = pulumi.ResourceOptions()
        if host is not None:
            opts = pulumi.ResourceOptions(provider=pd.Provider("engine", host=host))
        network = pd.Network("network", name=prefix, driver="overlay", attachable=True, opts=opts)
        volume = pd.Volume("volume", name=f"{prefix}-data", opts=opts)
        local = pd.RemoteImage("image", name=f"{image}:{tag}", keep_locally=True, opts=opts)
        encoded = pulumi.Output.secret(base64.b64encode(SECRET.encode()).decode())
        secret = pd.Secret("secret", name=f"{prefix}-secret", data=encoded, opts=opts)
        config = pd.ServiceConfig("config", name=f"{prefix}-config", data_raw="hello", opts=opts)
        task = pd.ServiceTaskSpecArgs(
            container_spec=pd.ServiceTaskSpecContainerSpecArgs(
                image=f"{image}:{tag}",
                env={"B": "2", "A": "1"},
                configs=[
                    pd.ServiceTaskSpecContainerSpecConfigArgs(
                        config_id=config.id, config_name=config.name, file_name="/etc/c"
                    )
                ],
                secrets=[
                    pd.ServiceTaskSpecContainerSpecSecretArgs(
                        secret_id=secret.id, secret_name=secret.name, file_name="/etc/s"
                    )
                ],
                stop_grace_period="1500ms",
            ),
            networks_advanceds=[pd.ServiceTaskSpecNetworksAdvancedArgs(id=network.id, aliases=["web"])],
            restart_policy=pd.ServiceTaskSpecRestartPolicyArgs(condition="any", delay="1000ms"),
        )
        pd.Service(
            "service",
            name=f"{prefix}-service",
            labels=[pd.ServiceLabelArgs(label=key, value=key) for key in ("z", "a")],
            mode=pd.ServiceModeArgs(replicated=pd.ServiceModeReplicatedArgs(replicas=replicas)),
            endpoint_spec=pd.ServiceEndpointSpecArgs(mode="dnsrr"),
            task_spec=task,
            update_config=pd.ServiceUpdateConfigArgs(
                order="start-first", monitor="1s", failure_action="rollback"
            ),
            rollback_config=pd.ServiceRollbackConfigArgs(monitor="1s"),
            converge_config=pd.ServiceConvergeConfigArgs(delay="500ms", timeout="60s"),
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[local])),
        )
        container = pd.Container(
            "container",
            image=f"{image}:{tag}",
            command=["show", "/etc/hello"],
            uploads=[pd.ContainerUploadArgs(file="/etc/hello", content=pulumi.Output.secret(SECRET))],
            networks_advanced=[pd.ContainerNetworksAdvancedArgs(name=network.id, aliases=["door"])],
            volumes=[pd.ContainerVolumeArgs(volume_name=volume.name, container_path="/data")],
            restart="unless-stopped",
            labels=[pd.ContainerLabelArgs(label="pldocker", value=prefix)],
            opts=opts,
        )
        pulumi.export("container", container.name)

    return program


def shown(api: docker.APIClient, container: str, words: str) -> bool:
    """Whether a container prints something within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if words in api.logs(container).decode():
            return True
        time.sleep(0.05)
    return False


def test_life_of_all_seven(trial: Trial, prefix: str, image: str, api: docker.APIClient) -> None:
    program = whole(prefix, image)
    assert trial.preview(program) == {"create": 8}
    assert api.networks(names=[prefix]) == []
    assert trial.up(program) == {"create": 8}
    [container] = api.containers(filters={"label": f"pldocker={prefix}"})
    assert shown(api, container["Id"], SECRET)
    assert trial.preview(program) == {}
    assert trial.refresh(program) == {}
    assert trial.up(program) == {}

    assert trial.up(whole(prefix, image, replicas=3)) == {"update": 1}
    running = api.tasks(filters={"service": f"{prefix}-service", "desired-state": "running"})
    assert [task["Status"]["State"] for task in running] == ["running"] * 3

    # The service changes in place; the container and the image's record are replaced.
    assert trial.up(whole(prefix, image, replicas=3, tag="2")) == {"update": 1, "replace": 2}
    assert trial.refresh(whole(prefix, image, replicas=3, tag="2")) == {}

    assert trial.destroy() == {"delete": 8}
    assert api.services(filters={"name": prefix}) == []
    assert api.networks(names=[prefix]) == []
    assert api.containers(all=True, filters={"name": prefix}) == []
    assert api.volumes(filters={"name": prefix})["Volumes"] == []
    assert api.secrets(filters={"name": prefix}) == api.configs(filters={"name": prefix}) == []
    assert not [line for line in trial.output if "warning" in line.lower() or "Traceback" in line]


def test_secrets_stay_secret(trial: Trial, prefix: str, image: str) -> None:
    trial.up(whole(prefix, image))
    kept = trial.kept()
    assert "pldocker::docker:index/secret:Secret" in kept
    assert SECRET not in kept
    assert base64.b64encode(SECRET.encode()).decode() not in kept
    assert trial.refresh(whole(prefix, image)) == {}
    assert SECRET not in trial.kept()
    assert not [line for line in trial.output if SECRET in line]


def test_drift_is_put_right(trial: Trial, prefix: str, image: str, api: docker.APIClient) -> None:
    program = whole(prefix, image)
    trial.up(program)
    [container] = api.containers(filters={"label": f"pldocker={prefix}"})
    api.stop(container["Id"], timeout=1)
    service = api.inspect_service(f"{prefix}-service")
    changed = {**service["Spec"]["Mode"], "Replicated": {"Replicas": 1}}
    api.update_service(service["ID"], service["Version"]["Index"], mode=changed, fetch_current_spec=True)
    assert trial.refresh(program) == {"update": 2}
    assert trial.up(program) == {"update": 2}
    assert api.inspect_container(container["Id"])["State"]["Running"]
    assert trial.up(program) == {}


def lone_service(prefix: str, image: str, *, command: list[str] | None = None) -> Program:
    """A service without anything, whose update is given up after a second."""

    def program() -> None:
        container = pd.ServiceTaskSpecContainerSpecArgs(image=image, args=command, stop_grace_period="1s")
        pd.Service(
            "service",
            name=prefix,
            task_spec=pd.ServiceTaskSpecArgs(
                container_spec=container,
                restart_policy=pd.ServiceTaskSpecRestartPolicyArgs(condition="none"),
            ),
            endpoint_spec=pd.ServiceEndpointSpecArgs(mode="dnsrr"),
            update_config=pd.ServiceUpdateConfigArgs(monitor="1s", failure_action="rollback"),
            rollback_config=pd.ServiceRollbackConfigArgs(monitor="500ms"),
            converge_config=pd.ServiceConvergeConfigArgs(timeout="60s"),
        )

    return program


def test_rolled_back_update_is_an_error(trial: Trial, prefix: str, image: str, api: docker.APIClient) -> None:
    trial.up(lone_service(prefix, f"{image}:1"))
    words = trial.fails(lone_service(prefix, f"{image}:1", command=["say", "no", "7"]))
    assert "was rolled back" in words
    assert "non-zero exit (7)" in words
    assert "Traceback" not in words
    assert trial.up(lone_service(prefix, f"{image}:1")) == {}
    assert "Args" not in api.inspect_service(prefix)["Spec"]["TaskTemplate"]["ContainerSpec"]


def test_missing_image_is_an_error_and_leaves_nothing(
    trial: Trial, prefix: str, api: docker.APIClient
) -> None:
    words = trial.fails(lone_service(prefix, "pldocker-absent:1"))
    assert "No such image: pldocker-absent:1" in words
    assert "no registry is asked" in words
    assert api.services(filters={"name": prefix}) == []


def test_preview_needs_no_daemon(trial: Trial, prefix: str, image: str) -> None:
    assert trial.preview(whole(prefix, image, host="unix:///nonexistent/docker.sock")) == {"create": 9}


def test_dead_daemon_is_named(trial: Trial, prefix: str, image: str) -> None:
    words = trial.fails(whole(prefix, image, host="unix:///nonexistent/docker.sock"))
    assert "does not answer at unix:///nonexistent/docker.sock" in words
    assert "Traceback" not in words
