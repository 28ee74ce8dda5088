"""What the plugin answers the engine, without a daemon."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from pairlab.plugin.docker import client as docker_client
from pairlab.plugin.libvirt import client as libvirt_client
from pairlab.plugin.resource import UNFINISHED, Values
from pairlab.plugin.server import Plugin, find_resources
from pairlab.plugin.wire import to_wire

SOME = provider_pb2.DiffResponse.DIFF_SOME
URN = "urn:pulumi:s::p::docker:index/volume:Volume::data"


def unreachable(_settings: Values) -> Any:
    raise AssertionError("no daemon is needed")


def served(package: str = "docker") -> Plugin:
    settings = {"docker": docker_client.CONFIG, "libvirt": libvirt_client.CONFIG}[package]
    return Plugin(package, unreachable, dict(settings), find_resources(package))


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


@pytest.mark.parametrize(
    ("package", "old", "new", "replaces"),
    [
        ("docker", {"host": "unix:///a"}, {"host": "ssh://b"}, ["host"]),
        ("docker", {"host": "ssh://b"}, {"host": "ssh://b", "sshOpts": '["-v"]'}, []),
        ("libvirt", {"uri": "qemu:///system"}, {"uri": "qemu+ssh://a/system"}, ["uri"]),
        ("libvirt", {"uri": "qemu+ssh://a/system?keyfile=/k"}, {"uri": "qemu+ssh://a/system?keyfile=/l"}, []),
        ("libvirt", {"uri": "qemu:///system?socket=/a"}, {"uri": "qemu:///system?socket=/b"}, ["uri"]),
    ],
)
def test_another_daemon_replaces_the_provider_and_another_way_to_it_does_not(
    package: str, old: Values, new: Values, replaces: list[str]
) -> None:
    request = provider_pb2.DiffRequest(olds=to_wire(old), old_inputs=to_wire(old), news=to_wire(new))
    diff = served(package).DiffConfig(request, context=None)
    assert (diff.changes, list(diff.replaces), diff.deleteBeforeReplace) == (SOME, replaces, bool(replaces))
    same = provider_pb2.DiffRequest(olds=to_wire(old), old_inputs=to_wire(old), news=to_wire(old))
    assert served(package).DiffConfig(same, context=None).changes == provider_pb2.DiffResponse.DIFF_NONE
