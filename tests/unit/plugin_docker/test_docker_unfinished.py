"""An engine that goes away, or a run that is interrupted, while something is made or deleted."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, check_values
from pairlab.plugin.docker import container, network, service
from pairlab.plugin.docker.client import Client
from pairlab.plugin.resource import UNFINISHED, Context, PartialError, Values
from tests.contract.plugin_docker.docker_fake import FakeDocker

TASK = {"containerSpec": {"image": "tool:1"}}
KINDS: dict[str, tuple[Any, Values]] = {
    "network": (network.Served, {"name": "x", "driver": "overlay"}),
    "container": (container.Served, {"name": "x", "image": "tool:1"}),
    "service": (service.Served, {"name": "x", "taskSpec": TASK, "convergeConfig": {"timeout": "5s"}}),
}


class Restarting:
    """An engine that does not answer some calls after it made something."""

    def __init__(self, unanswered: int) -> None:
        self.engine, self.unanswered, self.silent = FakeDocker("tool:1"), unanswered, 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.silent:
                self.silent -= 1
                raise requests.ConnectionError("connection refused")
            answer = getattr(self.engine, name)(*arguments, **named)
            if name.startswith("create_"):
                self.silent, self.unanswered = self.unanswered, 0
            return answer

        return call


def declared(kind: str, unanswered: int) -> tuple[Any, Values]:
    served, inputs = KINDS[kind]
    values = dict(inputs)
    assert check_values(values, served.properties, "docker") == []
    api = Restarting(unanswered)
    return served(Client("unix:///x", opener=lambda _host, _options: api)), values


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_engine_away_for_a_moment_made_is_removed_again(kind: str) -> None:
    resource, inputs = declared(kind, unanswered=1)
    with pytest.raises(PluginError, match="Docker does not answer") as told:
        resource.create(inputs, Context())
    assert not isinstance(told.value, PartialError)
    resource_id, _ = resource.create(inputs, Context())
    assert resource_id


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_engine_that_is_gone_made_is_recorded_and_replaced(kind: str) -> None:
    resource, inputs = declared(kind, unanswered=2)
    with pytest.raises(PartialError, match=f"could not be removed: deleting {kind} 'x'") as told:
        resource.create(inputs, Context())
    assert "invoke lab.doctor" in told.value.hint
    state = told.value.outputs
    assert changed_paths(type(resource), state, inputs, inputs) == {UNFINISHED: ("delete", True)}
    resource.delete(told.value.resource_id, state, Context())
    _, outputs = resource.create(inputs, Context())
    assert changed_paths(type(resource), outputs, inputs, inputs) == {}


def test_an_interrupted_update_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    resource, inputs = declared("service", unanswered=0)
    resource_id, state = resource.create(inputs, Context())
    monkeypatch.setattr(FakeDocker, "tasks", lambda *_, **__: [])
    interrupted = Context()
    interrupted.cancelled.set()
    wider = {**inputs, "mode": {"replicated": {"replicas": 6}}}
    with pytest.raises(PartialError, match="updating service 'x' was interrupted") as told:
        resource.update(resource_id, state, wider, interrupted)
    assert told.value.resource_id == resource_id
    one = {**inputs, "mode": {"replicated": {"replicas": 1}}}
    changes = changed_paths(type(resource), told.value.outputs, wider, one)
    assert changes == {"mode.replicated.replicas": ("update", False)}
    assert changed_paths(type(resource), told.value.outputs, wider, wider) == {}


def test_a_failed_update_is_recorded_and_its_tasks_do_not_fail_the_next_one() -> None:
    resource, inputs = declared("service", unanswered=0)
    resource_id, state = resource.create(inputs, Context())
    absent = {**inputs, "taskSpec": {"containerSpec": {"image": "absent:1"}}}
    with pytest.raises(PartialError, match="No such image: absent:1") as told:
        resource.update(resource_id, state, absent, Context())
    left = told.value.outputs
    assert left["taskSpec"]["containerSpec"]["image"] == "absent:1"
    outputs = resource.update(resource_id, left, inputs, Context())
    assert changed_paths(type(resource), outputs, inputs, inputs) == {}


def test_an_interrupted_wait_is_called_so() -> None:
    resource, inputs = declared("network", unanswered=0)
    interrupted = Context()
    interrupted.cancelled.set()
    with pytest.raises(PluginError, match="creating network 'x' was interrupted"):
        resource.create(inputs, interrupted)
    resource_id, outputs = resource.create(inputs, Context())
    user = {"name": "user", "image": "tool:1", "networksAdvanced": [{"name": "x"}]}
    assert check_values(user, container.Served.properties, "docker") == []
    container.Served(resource.client).create(user, Context())
    with pytest.raises(PluginError, match="deleting network 'x' was interrupted"):
        resource.delete(resource_id, outputs, interrupted)
