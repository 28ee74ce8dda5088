"""What every served Docker resource keeps, on an engine in memory and on the real one."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docker
import pytest
from docker_fake import FakeDocker

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, check_values, refreshed_inputs
from pairlab.plugin.docker import (
    container,
    network,
    remote_image,
    secret,
    service,
    service_config,
    volume,
)
from pairlab.plugin.docker.client import DEFAULT_HOST, Client
from pairlab.plugin.resource import Context, PartialError, Resource, Values
from tests.docker_test_image import built_image

LABELS = [{"label": "b", "value": "1"}, {"label": "a", "value": "2"}]


@dataclass
class Lab:
    """An engine, names of this test's own, and what it made."""

    client: Client
    api: Any
    prefix: str
    image: str
    made: list[tuple[Resource[Client], str, Values]] = field(default_factory=list)

    def checked(self, kind: type[Resource[Client]], **inputs: Any) -> Values:
        assert check_values(inputs, kind.properties, "docker") == []
        assert kind.validate(inputs) == []
        return inputs

    def make(self, kind: type[Resource[Client]], **inputs: Any) -> tuple[str, Values]:
        resource = kind(self.client)
        resource_id, outputs = resource.create(self.checked(kind, **inputs), Context(timeout_s=60))
        self.made.append((resource, resource_id, outputs))
        return resource_id, outputs

    def read(self, kind: type[Resource[Client]], resource_id: str, state: Values) -> Values | None:
        return kind(self.client).read(resource_id, state, Context())

    def service_inputs(self, *command: str, tag: str = "1", **more: Any) -> Values:
        container_spec = {"image": f"{self.image}:{tag}", "args": list(command), "stopGracePeriod": "1s"}
        task = {"containerSpec": container_spec, "restartPolicy": {"condition": "none"}}
        quick = {"monitor": "300ms"}
        return {
            "name": f"{self.prefix}-service",
            "taskSpec": task,
            "endpointSpec": {"mode": "dnsrr"},
            "convergeConfig": {"timeout": "40s"},
            "updateConfig": {**quick, "failureAction": "rollback"},
            "rollbackConfig": quick,
            **more,
        }


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    api = docker.APIClient(version="auto")
    for image in built_image(api, tmp_path_factory.mktemp("image")):
        yield api, image
    api.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    prefix = f"pldocker-{secrets.token_hex(3)}"
    if request.param == "fake":
        api, image = FakeDocker("tool:1", "tool:2"), "tool"
    else:
        api, image = request.getfixturevalue("real")
    made = Lab(Client(DEFAULT_HOST, opener=lambda _host, _options: api), api, prefix, image)
    yield made
    for resource, resource_id, outputs in reversed(made.made):
        resource.delete(resource_id, outputs, Context(timeout_s=30))


def everything(lab: Lab) -> dict[str, tuple[type[Resource[Client]], Values]]:
    """Inputs for one of each kind; what they refer to is made."""
    shared, _ = lab.make(network.Served, name=f"{lab.prefix}-shared", driver="overlay", attachable=True)
    secret_id, _ = lab.make(secret.Served, name=f"{lab.prefix}-shared", data="aHVzaA==")
    data = base64.b64encode(b"\0\1binary").decode()
    full = lab.service_inputs(labels=LABELS, mode={"replicated": {"replicas": 2}})
    full["taskSpec"] |= {
        "networksAdvanceds": [{"id": shared, "aliases": ["web", "also"]}],
        "resources": {"limits": {"memoryBytes": 2**25, "nanoCpus": 5 * 10**8}},
        "restartPolicy": {"condition": "any", "delay": "1000ms"},
        "placement": {"constraints": ["node.role==manager"]},
    }
    full["taskSpec"]["containerSpec"] |= {
        "env": {"Z": "1", "A": "x=y"},
        "secrets": [{"secretId": secret_id, "fileName": "/run/x", "fileMode": 0o400}],
        "hosts": [{"host": "far", "ip": "10.1.2.3"}],
        "mounts": [{"target": "/t", "type": "tmpfs", "tmpfsOptions": {"sizeBytes": 2**20}}],
        "healthcheck": {"tests": ["NONE"]},
        "capDrops": ["net_raw"],
        "stopGracePeriod": "1500ms",
    }
    rich = {
        "name": f"{lab.prefix}-rich",
        "image": f"{lab.image}:1",
        "command": ["show", "/etc/hello"],
        "envs": ["Z=1", "A=2"],
        "labels": LABELS,
        "uploads": [{"file": "/etc/hello", "content": "hello", "permissions": "0600"}],
        "networksAdvanced": [{"name": shared, "aliases": ["door"]}],
        "capabilities": {"drops": ["ALL"], "adds": ["CHOWN"]},
        "tmpfs": {"/run/x": "size=64k"},
        "ulimits": [{"name": "nofile", "soft": 100, "hard": 200}],
        "memory": 32,
        "cpus": "0.5",
        "restart": "unless-stopped",
        "securityOpts": ["no-new-privileges"],
        "ports": [{"internal": 80, "ip": "127.0.0.1"}],
        "devices": [{"hostPath": "/dev/null"}],
        "hosts": [{"host": "far", "ip": "10.1.2.3"}],
    }
    return {
        "bridge": (network.Served, {"name": f"{lab.prefix}-bridge", "labels": LABELS}),
        "overlay": (
            network.Served,
            {"name": f"{lab.prefix}-overlay", "driver": "overlay", "attachable": True},
        ),
        "volume": (volume.Served, {"name": f"{lab.prefix}-volume", "labels": LABELS}),
        "image": (remote_image.Served, {"name": f"{lab.image}:1", "keepLocally": True}),
        "secret": (secret.Served, {"name": f"{lab.prefix}-secret", "data": data, "labels": LABELS}),
        "config": (service_config.Served, {"name": f"{lab.prefix}-config", "data": data, "labels": LABELS}),
        "raw": (service_config.Served, {"name": f"{lab.prefix}-raw", "dataRaw": "täxt"}),
        "service": (service.Served, full),
        "rich": (container.Served, rich),
        "plain": (container.Served, {"name": f"{lab.prefix}-plain", "image": f"{lab.image}:1"}),
    }


NAMES = ("bridge", "overlay", "volume", "image", "secret", "config", "raw", "service", "rich", "plain")


@pytest.mark.parametrize("which", NAMES)
def test_life(lab: Lab, which: str) -> None:
    kind, given = everything(lab)[which]
    inputs = lab.checked(kind, **given)
    resource_id, outputs = lab.make(kind, **inputs)
    assert changed_paths(kind, outputs, inputs, inputs) == {}
    again = lab.read(kind, resource_id, outputs)
    assert again == outputs
    assert refreshed_inputs(kind, inputs, again) == inputs
    resource = kind(lab.client)
    resource.delete(resource_id, outputs, Context())
    if which != "image":
        assert lab.read(kind, resource_id, outputs) is None
    resource.delete(resource_id, outputs, Context())


WRITE_ONLY = {"data", "keepLocally", "convergeConfig"}


@pytest.mark.parametrize(
    "which", ["bridge", "overlay", "volume", "image", "secret", "config", "service", "plain"]
)
def test_import_by_id(lab: Lab, which: str) -> None:
    kind, inputs = everything(lab)[which]
    resource_id, _ = lab.make(kind, **inputs)
    found = lab.read(kind, resource_id, {})
    assert found is not None
    differences = changed_paths(kind, found, kind.inputs_of(found), lab.checked(kind, **inputs))
    assert differences.keys() <= WRITE_ONLY


@pytest.mark.parametrize("which", ["bridge", "volume", "secret", "config", "service", "plain"])
def test_a_taken_name_is_refused_and_its_holder_survives(lab: Lab, which: str) -> None:
    kind, inputs = everything(lab)[which]
    resource_id, outputs = lab.make(kind, **inputs)
    with pytest.raises(PluginError, match="is taken by"):
        kind(lab.client).create(inputs, Context())
    assert lab.read(kind, resource_id, outputs) == outputs


def test_missing_image_says_that_no_registry_is_asked(lab: Lab) -> None:
    with pytest.raises(PluginError, match="asks no registry"):
        lab.make(remote_image.Served, name="pldocker-absent:1")


def test_image_goes_unless_it_is_kept(lab: Lab) -> None:
    name = f"{lab.image}:2"
    _, kept = lab.make(remote_image.Served, name=name, keepLocally=True)
    remote_image.Served(lab.client).delete("", kept, Context())
    assert lab.api.inspect_image(name)["Id"] == kept["imageId"]


def test_a_trigger_looks_for_the_image_again_and_removes_nothing(lab: Lab) -> None:
    inputs = lab.checked(remote_image.Served, name=f"{lab.image}:2", triggers={"a": "1"}, keepLocally=True)
    resource_id, state = lab.make(remote_image.Served, **inputs)
    pulled = inputs | {"triggers": {"a": "2"}, "pullTriggers": ["b"]}
    changes = changed_paths(remote_image.Served, state, inputs, pulled)
    assert changes == {"triggers.a": ("update", False), "pullTriggers": ("add", False)}
    old = state | {"imageId": "old"}
    outputs = remote_image.Served(lab.client).update(resource_id, old, pulled, Context())
    assert outputs["imageId"] == state["imageId"]


def test_service_changes_in_place(lab: Lab) -> None:
    inputs = lab.service_inputs()
    resource_id, state = lab.make(service.Served, **inputs)
    wider = lab.checked(
        service.Served, **lab.service_inputs(tag="2", mode={"replicated": {"replicas": 3}}, labels=LABELS)
    )
    changes = changed_paths(service.Served, state, inputs, wider)
    assert set(changes) == {"taskSpec.containerSpec.image", "mode.replicated.replicas", "labels"}
    assert not any(replaces for _, replaces in changes.values())
    updated = service.Served(lab.client).update(resource_id, state, wider, Context())
    assert lab.read(service.Served, resource_id, updated) == updated
    running = [t for t in lab.api.tasks(filters={"service": resource_id}) if t["DesiredState"] == "running"]
    assert [task["Status"]["State"] for task in running] == ["running"] * 3
    images = {task["Spec"]["ContainerSpec"]["Image"] for task in running}
    assert images == {f"{lab.image}:2"}


def test_global_service_is_another_service(lab: Lab) -> None:
    inputs = lab.checked(service.Served, **lab.service_inputs(mode={"replicated": {"replicas": 1}}))
    other = lab.checked(service.Served, **lab.service_inputs(mode={"global": True}))
    assert any(replaces for _, replaces in changed_paths(service.Served, inputs, inputs, other).values())
    lab.make(service.Served, **other)


def test_rolled_back_update_names_the_tasks_error(lab: Lab) -> None:
    resource_id, state = lab.make(service.Served, **lab.service_inputs())
    broken = lab.checked(service.Served, **lab.service_inputs("say", "no", "7"))
    with pytest.raises(PluginError, match=r"was rolled back.*non-zero exit \(7\)") as told:
        service.Served(lab.client).update(resource_id, state, broken, Context())
    assert not isinstance(told.value, PartialError)
    assert lab.read(service.Served, resource_id, state) == state


def test_service_that_cannot_start_is_removed(lab: Lab) -> None:
    inputs = lab.service_inputs()
    inputs["taskSpec"]["containerSpec"]["image"] = "pldocker-absent:1"
    with pytest.raises(PluginError, match="No such image: pldocker-absent:1"):
        lab.make(service.Served, **inputs)
    assert lab.api.services(filters={"name": inputs["name"]}) == []


def test_interrupted_service_is_recorded(lab: Lab) -> None:
    inputs = lab.service_inputs("say", "no", "7")
    context = Context()
    context.cancelled.set()
    with pytest.raises(PartialError, match="was interrupted") as caught:
        service.Served(lab.client).create(lab.checked(service.Served, **inputs), context)
    lab.made.append((service.Served(lab.client), caught.value.resource_id, inputs))
    assert lab.api.inspect_service(caught.value.resource_id)["Spec"]["Name"] == inputs["name"]


def test_network_by_name_is_no_difference(lab: Lab) -> None:
    name = f"{lab.prefix}-net"
    lab.make(network.Served, name=name, driver="overlay", attachable=True)
    inputs = lab.service_inputs()
    inputs["taskSpec"]["networksAdvanceds"] = [{"name": name}]
    resource_id, state = lab.make(service.Served, **inputs)
    again = lab.read(service.Served, resource_id, state)
    assert again is not None
    assert changed_paths(service.Served, again, refreshed_inputs(service.Served, inputs, again), inputs) == {}


def test_an_overlay_is_recorded_with_its_driver(lab: Lab) -> None:
    _, state = lab.make(network.Served, name=f"{lab.prefix}-net", driver="overlay", attachable=True)
    assert (state["driver"], state["ipamDriver"]) == ("overlay", "default")


def test_scaled_by_hand_is_a_difference(lab: Lab) -> None:
    inputs = lab.service_inputs(mode={"replicated": {"replicas": 2}})
    resource_id, state = lab.make(service.Served, **inputs)
    version = lab.api.inspect_service(resource_id)["Version"]["Index"]
    mode = {"Replicated": {"Replicas": 1}}
    lab.api.update_service(resource_id, version, mode=mode, fetch_current_spec=True)
    found = lab.read(service.Served, resource_id, state)
    assert found is not None
    changes = changed_paths(service.Served, found, refreshed_inputs(service.Served, inputs, found), inputs)
    assert changes == {"mode.replicated.replicas": ("update", False)}


def test_label_removed_by_hand_is_a_difference(lab: Lab) -> None:
    inputs = lab.service_inputs(labels=LABELS)
    resource_id, state = lab.make(service.Served, **inputs)
    bare = lab.service_inputs()
    service.Served(lab.client).update(resource_id, state, lab.checked(service.Served, **bare), Context())
    found = lab.read(service.Served, resource_id, state)
    assert found is not None
    changes = changed_paths(service.Served, found, refreshed_inputs(service.Served, inputs, found), inputs)
    assert list(changes) == ["labels"]


def test_uploads_are_there_before_the_start(lab: Lab) -> None:
    uploads = [{"file": "/etc/deep/hello", "contentBase64": base64.b64encode(b"from afar").decode()}]
    command = ["show", "/etc/deep/hello"]
    name = f"{lab.prefix}-upload"
    made, _ = lab.make(container.Served, name=name, image=f"{lab.image}:1", command=command, uploads=uploads)
    deadline = time.monotonic() + 10
    while b"from afar" not in lab.api.logs(made):
        assert time.monotonic() < deadline


def test_container_that_ends_at_once_is_removed_and_quoted(lab: Lab) -> None:
    inputs = {"name": f"{lab.prefix}-ends", "image": f"{lab.image}:1", "command": ["say", "goodbye", "3"]}
    # Its end may come a moment after its start was seen.
    with pytest.raises(PluginError, match="goodbye"):
        lab.make(container.Served, **inputs, wait=True, healthcheck={"tests": ["CMD", "/tool", "say", "x"]})
    assert lab.read(container.Served, inputs["name"], {}) is None


def test_attached_container_gives_its_log_and_exit_code(lab: Lab) -> None:
    inputs = {"name": f"{lab.prefix}-job", "image": f"{lab.image}:1", "command": ["say", "done", "3"]}
    _, outputs = lab.make(container.Served, **inputs, attach=True, logs=True, mustRun=False)
    assert (outputs["exitCode"], outputs["containerLogs"]) == (3, "done\n")


def test_container_limits_change_in_place(lab: Lab) -> None:
    inputs = lab.checked(
        container.Served, name=f"{lab.prefix}-c", image=f"{lab.image}:1", memory=32, memorySwap=32
    )
    resource_id, state = lab.make(container.Served, **inputs)
    wanted = inputs | {"memory": 64, "memorySwap": 64, "restart": "always"}
    changes = changed_paths(container.Served, state, inputs, wanted)
    assert changes == dict.fromkeys(("restart", "memory", "memorySwap"), ("update", False))
    outputs = container.Served(lab.client).update(resource_id, state, wanted, Context())
    host = lab.api.inspect_container(resource_id)["HostConfig"]
    assert (host["Memory"], host["RestartPolicy"]["Name"]) == (64 * 2**20, "always")
    assert lab.read(container.Served, resource_id, outputs) == outputs


@pytest.mark.parametrize("given", [{}, {"cpuShares": 512}], ids=["set by hand", "given no more"])
def test_a_limit_goes_with_its_container(lab: Lab, given: Values) -> None:
    bare = lab.checked(container.Served, name=f"{lab.prefix}-c", image=f"{lab.image}:1")
    inputs = bare | given
    resource_id, state = lab.make(container.Served, **inputs)
    if not given:
        assert changed_paths(container.Served, state, bare, bare) == {}
        lab.api.update_container(resource_id, cpu_shares=512)
    found = lab.read(container.Served, resource_id, state) or {}
    changes = changed_paths(container.Served, found, refreshed_inputs(container.Served, inputs, found), bare)
    assert changes == {"cpuShares": ("delete", True)}


def test_stopped_container_is_a_difference_and_is_started(lab: Lab) -> None:
    inputs = lab.checked(container.Served, name=f"{lab.prefix}-c", image=f"{lab.image}:1")
    resource_id, state = lab.make(container.Served, **inputs)
    lab.api.stop(resource_id, timeout=1)
    found = lab.read(container.Served, resource_id, state)
    assert found is not None
    assert list(changed_paths(container.Served, found, inputs, inputs)) == ["mustRun"]
    container.Served(lab.client).update(resource_id, found, inputs, Context())
    assert lab.api.inspect_container(resource_id)["State"]["Running"]


def test_network_in_use_names_its_user(lab: Lab) -> None:
    network_id, state = lab.make(network.Served, name=f"{lab.prefix}-net")
    user = f"{lab.prefix}-user"
    attached = [{"name": network_id}]
    lab.make(container.Served, name=user, image=f"{lab.image}:1", networksAdvanced=attached)
    with pytest.raises(PluginError, match=f"still in use by {user}"):
        network.Served(lab.client).delete(network_id, state, Context(timeout_s=0.3))


def test_two_networks(lab: Lab) -> None:
    first, _ = lab.make(network.Served, name=f"{lab.prefix}-one")
    lab.make(network.Served, name=f"{lab.prefix}-two")
    attached = [{"name": first}, {"name": f"{lab.prefix}-two", "aliases": ["x"]}]
    name = f"{lab.prefix}-both"
    made, state = lab.make(container.Served, name=name, image=f"{lab.image}:1", networksAdvanced=attached)
    assert lab.read(container.Served, made, state) == state
    assert {data["networkName"] for data in state["networkDatas"]} == {
        f"{lab.prefix}-{n}" for n in ("one", "two")
    }
