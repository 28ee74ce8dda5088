"""What the plugin answers the engine, without a daemon."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from pairlab.plugin.docker import client as docker_client
from pairlab.plugin.libvirt import client as libvirt_client
from pairlab.plugin.resource import UNFINISHED, PartialError, Values
from pairlab.plugin.server import Plugin, find_resources
from pairlab.plugin.wire import Path, from_wire, secret_paths, to_wire

SOME = provider_pb2.DiffResponse.DIFF_SOME
URN = "urn:pulumi:s::p::docker:index/volume:Volume::data"

FORK_WHILE_SERVING = """
import subprocess
from concurrent import futures
import pairlab.plugin.server
import grpc
server = grpc.server(futures.ThreadPoolExecutor())
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
grpc.channel_ready_future(channel).result(timeout=10)
# What runs between fork and exec makes Python fork as libvirt does.
argv, options = ["true"], {"capture_output": True, "preexec_fn": lambda: None}
children = [subprocess.run(argv, **options) for _ in range(400)]
print({(child.returncode, child.stderr) for child in children})
"""


def unreachable(_settings: Values) -> Any:
    raise AssertionError("no daemon is needed")


def urn_of(token: str) -> str:
    return f"urn:pulumi:s::p::{token}::x"


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


CONTAINER, SECRET = "docker:index/container:Container", "docker:index/secret:Secret"
POOL = "libvirt:index/pool:Pool"


@pytest.mark.parametrize(
    ("token", "inputs", "secret", "reason"),
    [
        (CONTAINER, {"image": "i", "memory": "hush"}, ("memory",), "memory: must be a whole number"),
        (
            CONTAINER,
            {"image": "i", "memory": {"a": "hush"}},
            ("memory", "a"),
            "memory: must be a whole number",
        ),
        (CONTAINER, {"image": "i", "envs": ["A=1", "hush"]}, ("envs", 1), "envs: has no '=' at 1"),
        (CONTAINER, {"image": "i", "restart": "hush"}, ("restart",), "restart: is not one of those allowed"),
        (CONTAINER, {"image": "i", "uploads": ["hush"]}, ("uploads",), "uploads[0]: must be a mapping"),
        (SECRET, {"data": "hush!"}, (), "data: is not base64"),
        (POOL, {"type": "dir", "target": {"path": "hush"}}, ("target", "path"), "target: is not an absolute"),
    ],
)
def test_a_refusal_does_not_show_a_secret(token: str, inputs: Values, secret: Path, reason: str) -> None:
    news = to_wire(inputs, [secret] if secret else [])
    request = provider_pb2.CheckRequest(urn=urn_of(token), news=news)
    [failure] = served(token.partition(":")[0]).Check(request, context=None).failures
    assert "hush" not in failure.reason
    assert failure.reason.startswith(reason)
    assert failure.property == ""


def test_a_refusal_shows_what_was_given() -> None:
    news = to_wire({"image": "i", "cpus": "many", "name": "hush"}, [("name",)])
    request = provider_pb2.CheckRequest(urn=urn_of(CONTAINER), news=news)
    [failure] = served().Check(request, context=None).failures
    assert (failure.property, failure.reason) == ("cpus", "is not a number (given: 'many')")


def test_what_is_always_a_secret_is_one_however_it_was_given() -> None:
    request = provider_pb2.CheckRequest(urn=urn_of(SECRET), news=to_wire({"data": "aHVzaA=="}))
    assert secret_paths(served().Check(request, context=None).inputs) == {("data",)}


def test_what_an_update_left_is_recorded_with_its_new_inputs() -> None:
    old, new = to_wire({"name": "data", "driver": "a"}), to_wire({"name": "data", "driver": "b"})
    error = PartialError("it stopped", hint="go on", resource_id="data", outputs={"driver": "c"})
    status = served().init_failed(error, provider_pb2.UpdateRequest(urn=URN, id="data", olds=old, news=new))
    detail = provider_pb2.ErrorResourceInitFailed()
    [(_, packed)] = status.trailing_metadata
    assert status_pb2.Status.FromString(packed).details[0].Unpack(detail)
    assert (from_wire(detail.properties), detail.inputs) == ({"driver": "c"}, new)
    assert list(detail.reasons) == ["it stopped (go on)"]


def test_a_child_that_is_forked_while_a_plugin_serves_runs_undisturbed() -> None:
    argv = [sys.executable, "-c", FORK_WHILE_SERVING]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str({(0, b"")}), done.stdout
