"""What the plugin answers the engine, without a daemon."""

from __future__ import annotations

from typing import Any

from pulumi.runtime.proto import provider_pb2

from pairlab.plugin.docker.client import CONFIG
from pairlab.plugin.resource import UNFINISHED, Values
from pairlab.plugin.server import Plugin, find_resources
from pairlab.plugin.wire import to_wire

SOME = provider_pb2.DiffResponse.DIFF_SOME
URN = "urn:pulumi:s::p::docker:index/volume:Volume::data"


def unreachable(_settings: Values) -> Any:
    raise AssertionError("no daemon is needed")


def served() -> Plugin:
    return Plugin("docker", unreachable, dict(CONFIG), find_resources("docker"))


def test_what_is_unfinished_stays_so_at_a_refresh_and_is_replaced() -> None:
    inputs = to_wire({"name": "data"})
    state = to_wire({"name": "data", UNFINISHED: True})
    read = served().Read(
        provider_pb2.ReadRequest(urn=URN, id="data", properties=state, inputs=inputs), context=None
    )
    assert (read.id, read.properties, read.inputs) == ("data", state, inputs)
    diff = served().Diff(
        provider_pb2.DiffRequest(urn=URN, id="data", olds=state, old_inputs=inputs, news=inputs), context=None
    )
    assert (diff.changes, list(diff.replaces), diff.deleteBeforeReplace) == (SOME, [UNFINISHED], True)
