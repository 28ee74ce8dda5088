"""Ports and subnets that are held: tables of the kernel by case."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from answering_runner import Answer, AnsweringRunner

from pairlab.host.net import port_holder, routes, subnet_holder

TCP_HEAD = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
)
TAIL = "00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n"
ROUTE_HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def proc_with(
    tmp_path: Path, *, tcp: str = "", tcp6: str = "", route: str = "", holder: str = "nginx"
) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP_HEAD + (tcp and f"   0: {tcp} {TAIL}"))
    (tmp_path / "net" / "tcp6").write_text(TCP_HEAD + (tcp6 and f"   0: {tcp6} {TAIL}"))
    (tmp_path / "net" / "route").write_text(ROUTE_HEAD + route)
    if holder:
        (tmp_path / "712" / "fd").mkdir(parents=True)
        (tmp_path / "712" / "comm").write_text(f"{holder}\n")
        (tmp_path / "712" / "fd" / "3").symlink_to("socket:[4242]")
    return tmp_path


@pytest.mark.parametrize(
    ("tcp", "tcp6", "held"),
    [
        ("0100007F:5140 00000000:0000 0A", "", True),  # 127.0.0.1, listening
        ("00000000:5140 00000000:0000 0A", "", True),  # every address
        ("0200007F:5140 00000000:0000 0A", "", False),  # 127.0.0.2
        ("020200C0:5140 00000000:0000 0A", "", False),  # another interface
        ("0100007F:5140 0100007F:1234 01", "", False),  # a connection, not a listener
        ("0100007F:5141 00000000:0000 0A", "", False),  # the next port
        ("", f"{'0' * 32}:5140 {'0' * 32}:0000 0A", True),  # [::]
        ("", f"{'0' * 24}01000000:5140 {'0' * 32}:0000 0A", False),  # [::1] only
        ("", f"0000000000000000FFFF00000100007F:5140 {'0' * 32}:0000 0A", True),  # ::ffff:127.0.0.1
    ],
)
def test_only_a_listener_that_takes_loopback_holds_a_port(
    tmp_path: Path, tcp: str, tcp6: str, held: bool
) -> None:
    proc = proc_with(tmp_path, tcp=tcp, tcp6=tcp6)
    assert port_holder(20800, AnsweringRunner(), proc=proc) == ("nginx (pid 712)" if held else None)


def test_a_published_port_is_told_by_its_container(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, tcp="0100007F:5140 00000000:0000 0A", holder="docker-proxy")
    runner = AnsweringRunner({"docker ps --filter publish=20800": "web-1\n"})
    assert port_holder(20800, runner, proc=proc) == "Docker container web-1"


@pytest.mark.parametrize(
    ("answers", "holder"),
    [
        ({}, "a process of another account"),
        ({"docker ps --filter publish=20800": "\n"}, "a process of another account"),
        ({"docker ps --filter publish=20800": "web-1\n"}, "Docker container web-1"),
    ],
)
def test_a_socket_of_an_unseen_process_is_held_by_a_container_if_docker_says_so(
    tmp_path: Path, answers: dict[str, Answer], holder: str
) -> None:
    proc = proc_with(tmp_path, tcp="0100007F:5140 00000000:0000 0A", holder="")
    assert port_holder(20800, AnsweringRunner(answers), proc=proc) == holder


VIRBR0 = "virbr0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
VPN_HALF = "tun0\t00000080\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"
DOCKER = "br-0123456789ab\t0007D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"


def test_routes_are_read_in_host_byte_order() -> None:
    assert routes(ROUTE_HEAD + VIRBR0) == [("virbr0", IPv4Network("192.168.122.0/24"))]


def test_a_way_out_is_no_local_network(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, route=DEFAULT + VPN_HALF + VIRBR0)
    assert subnet_holder(IPv4Network("192.168.7.0/24"), "pl-x", AnsweringRunner(), proc=proc) is None


def test_a_libvirt_network_is_told_by_name(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, route=VIRBR0)
    listing = "virsh -c qemu:///system net-"
    runner = AnsweringRunner(
        {f"{listing}list --name": "other\ndefault\n", f"{listing}info other": "Bridge:  virbr1",
         f"{listing}info default": "Name: default\nBridge:         virbr0"}
    )  # fmt: skip
    held = subnet_holder(IPv4Network("192.168.122.0/24"), "pl-x", runner, proc=proc)
    assert held == "libvirt network default (virbr0, 192.168.122.0/24)"


def test_a_docker_network_is_told_by_name(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, route=DOCKER)
    runner = AnsweringRunner({"docker network inspect --format {{.Name}} 0123456789ab": "shop\n"})
    held = subnet_holder(IPv4Network("10.213.0.0/16"), "pl-x", runner, proc=proc)
    assert held == "Docker network shop (br-0123456789ab, 10.213.7.0/24)"


def test_the_labs_own_bridge_does_not_hold_its_subnet(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, route=VIRBR0)
    assert subnet_holder(IPv4Network("192.168.122.0/24"), "virbr0", AnsweringRunner(), proc=proc) is None


def test_a_lab_that_has_its_subnet_keeps_it_under_a_wider_route(tmp_path: Path) -> None:
    wider = "tun0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    proc = proc_with(tmp_path, route=wider + VIRBR0)
    asked = IPv4Network("192.168.122.0/24")
    assert subnet_holder(asked, "virbr0", AnsweringRunner(), proc=proc) is None
    assert subnet_holder(asked, "pl-x", AnsweringRunner(), proc=proc) is not None


def test_an_interface_of_nobody_known_is_told_as_it_is(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, route=VIRBR0)
    held = subnet_holder(IPv4Network("192.168.0.0/16"), "pl-x", AnsweringRunner(), proc=proc)
    assert held == "the network of (virbr0, 192.168.122.0/24)"
