"""IPv4 addresses of instances and of this host, and which of them are near."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from ipaddress import IPv4Address

from pairlab.run import Runner


def own_addresses(runner: Runner) -> list[str]:
    """IPv4 addresses of an instance, without loopback. Source: the kernel's /proc/net/fib_trie."""
    text = runner.run(["cat", "/proc/net/fib_trie"]).stdout
    found = re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", text)
    return [address for address in dict.fromkeys(found) if not IPv4Address(address).is_loopback]


def host_addresses(host: Runner) -> list[str]:
    """This host's IPv4 addresses, without loopback."""
    devices = json.loads(host.run(["ip", "-json", "-4", "address"]).stdout)
    found = [each["local"] for device in devices for each in device["addr_info"]]
    return [address for address in found if not IPv4Address(address).is_loopback]


def near(host: Runner, addresses: Iterable[str]) -> list[str]:
    """Those that lie on a network of this host itself, so that nothing is sent beyond it."""
    return [
        address
        for address in addresses
        if "gateway" not in json.loads(host.run(["ip", "-json", "route", "get", address]).stdout)[0]
    ]
