"""Ports, subnets and the doctor on the real machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest

from pairlab.host.facts import LabNeeds, examine
from pairlab.host.net import port_holder, routes, subnet_holder
from pairlab.host.setup import plan
from pairlab.host.steps import this_host
from pairlab.host.tiny_guest import READY_LINE, initramfs
from pairlab.model import Settings
from pairlab.run import LocalRunner

pytestmark = pytest.mark.integration


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_listening_process_is_named_and_a_free_port_is_free(listener: int) -> None:
    held = port_holder(listener, LocalRunner())
    assert held is not None
    assert held.endswith(f"(pid {os.getpid()})")
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        assert port_holder(bound_only.getsockname()[1], LocalRunner()) is None


def test_dockers_own_bridge_is_named() -> None:
    found = [
        network for device, network in routes(Path("/proc/net/route").read_text()) if device == "docker0"
    ]
    assert found, "Docker's default bridge has no route here"
    held = subnet_holder(found[0], "pl-none", LocalRunner())
    assert held == f"Docker network bridge (docker0, {found[0]})"


def test_a_docker_network_is_named() -> None:
    client = docker.from_env()
    pool = docker.types.IPAMPool(subnet="10.213.251.0/24")
    network = client.networks.create("plhost-held", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    try:
        held = subnet_holder(IPv4Network("10.213.251.0/24"), "pl-none", LocalRunner())
        assert held is not None
        assert held.startswith("Docker network plhost-held (br-")
    finally:
        network.remove()
        client.close()


def test_a_host_that_is_set_up_needs_nothing_and_passes(tmp_path: Path, listener: int) -> None:
    host = this_host(Settings(), tmp_path / "state", LocalRunner())
    assert [step.name for step in plan(host)] == []
    needs = LabNeeds((listener,), IPv4Network("10.213.252.0/24"), "pl-none")
    report = examine(host, needs, cache=tmp_path, kernel=None, progress=print)
    assert [row.component for row in report.rows if not row.ok] == ["ports"]
    assert not (tmp_path / "state").exists()


def test_the_tiny_guest_is_a_program_that_this_kernel_runs(tmp_path: Path) -> None:
    archive = initramfs()
    start = archive.index(b"\x7fELF")
    program = tmp_path / "init"
    # reboot(2) turned into exit(2), which ends with the first magic number: the rest is the same.
    program.write_bytes(archive[start:].replace(b"\xb8\xa9\x00\x00\x00", b"\xb8\x3c\x00\x00\x00"))
    program.chmod(0o700)
    done = LocalRunner().run([str(program)], check=False, timeout_s=10)
    assert done.stdout == f"\n{READY_LINE}\n"
    assert done.returncode == 0xFEE1DEAD & 0xFF
