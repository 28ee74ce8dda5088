"""What already holds a port or a subnet that a lab needs, named so that a person can act."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pairlab.errors import CommandError
from pairlab.run import Runner

PROC = Path("/proc")

_LISTENING = "0A"
# Routes wider than this are a way out (a default route, a VPN's halves of the world), not a local network.
_WIDEST_LOCAL_PREFIX = 8


def port_holder(port: int, runner: Runner, *, proc: Path = PROC) -> str | None:
    """Who listens on a loopback TCP port.

    Args:
        port: The port on 127.0.0.1.
        runner: Asks Docker for a container's name.
        proc: The kernel's process file system.

    Returns:
        Such as `nginx (pid 712)` or `Docker container web`; None if the port is free.

    Source: proc_pid_net(5), `/proc/net/tcp`: addresses are hexadecimal words in host byte order.
    """
    inode = listening_inode(port, proc=proc)
    if inode is None:
        return None
    pid = _pid_with_socket(inode, proc)
    name = (proc / str(pid) / "comm").read_text().strip() if pid else ""
    if name in {"", "docker-proxy", "dockerd"}:  # the files of root's processes are not shown to others
        container = _said(runner, ["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"])
        if container:
            return f"Docker container {container}"
    return f"{name} (pid {pid})" if pid else "a process of another account"


def listening_inode(port: int, *, proc: Path = PROC) -> str | None:
    """The inode of the socket that would answer on 127.0.0.1:`port`; None if there is none."""
    for table in ("tcp", "tcp6"):
        path = proc / "net" / table
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            fields = line.split()
            address, _, local_port = fields[1].partition(":")
            if fields[3] == _LISTENING and int(local_port, 16) == port and _covers_loopback(address):
                return fields[9]
    return None


def _covers_loopback(address: str) -> bool:
    raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    mapped = raw[:12] == b"\0" * 10 + b"\xff\xff"
    if len(raw) == 4 or mapped:
        return raw[-4:] in (b"\0\0\0\0", b"\x7f\0\0\x01")
    return not any(raw)  # [::] takes IPv4 too, by the kernel's default


def _pid_with_socket(inode: str, proc: Path) -> int | None:
    wanted = f"socket:[{inode}]"
    for process in proc.iterdir():
        if process.name.isdigit() and wanted in _open_files(process / "fd"):
            return int(process.name)
    return None


def _open_files(folder: Path) -> Iterator[str]:
    try:
        for name in os.listdir(folder):
            yield os.readlink(folder / name)
    except OSError:
        return  # it ended meanwhile, or belongs to somebody else


def subnet_holder(network: IPv4Network, own_bridge: str, runner: Runner, *, proc: Path = PROC) -> str | None:
    """Which network of this host overlaps a lab's subnet.

    Args:
        network: The subnet that the lab wants.
        own_bridge: The lab's own bridge, which may hold it.
        runner: Asks libvirt and Docker for the names of their networks.
        proc: The kernel's process file system.

    Returns:
        Such as `libvirt network default (virbr0, 192.168.122.0/24)`; None if the subnet is free.
    """
    known = routes((proc / "net" / "route").read_text())
    if (own_bridge, network) in known:
        return None  # it was free when the lab came up; a wider route, as of a VPN, takes nothing from it
    for device, route in known:
        if device != own_bridge and route.prefixlen >= _WIDEST_LOCAL_PREFIX and route.overlaps(network):
            return f"{_network_name(device, runner)}({device}, {route})"
    return None


def routes(table: str) -> list[tuple[str, IPv4Network]]:
    """Devices and destinations of `/proc/net/route`."""
    found: list[tuple[str, IPv4Network]] = []
    for line in table.splitlines()[1:]:
        device, destination, *_, mask = line.split()[:8]
        address = IPv4Address(bytes.fromhex(destination)[::-1])
        netmask = IPv4Address(bytes.fromhex(mask)[::-1])
        found.append((device, IPv4Network((address, str(netmask)))))
    return found


def _network_name(device: str, runner: Runner) -> str:
    docker = re.fullmatch(r"br-([0-9a-f]{12})", device)
    if docker or device.startswith("docker"):
        name = docker and _said(runner, ["docker", "network", "inspect", "--format", "{{.Name}}", docker[1]])
        return f"Docker network {name or 'bridge'} "
    for name in _said(runner, ["virsh", "-c", "qemu:///system", "net-list", "--name"]).split():
        information = _said(runner, ["virsh", "-c", "qemu:///system", "net-info", name])
        if re.search(rf"^Bridge:\s+{re.escape(device)}$", information, re.MULTILINE):
            return f"libvirt network {name} "
    return "the network of "


def _said(runner: Runner, argv: list[str]) -> str:
    """What a command prints; nothing where the daemon that it asks is not there."""
    try:
        return runner.run(argv, timeout_s=10).stdout.strip()
    except CommandError:
        return ""
