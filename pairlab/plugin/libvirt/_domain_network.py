"""A domain's network interfaces: their XML, DHCP reservations, addresses, and reading them back."""

from __future__ import annotations

import ipaddress
import secrets
import time
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._domain_xml import interface_element
from pairlab.plugin.libvirt._failures import found
from pairlab.plugin.libvirt._values import attribute, element, to_xml
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import Context, Values

POLL_S = 0.25
DHCP_MODES = ("nat", "route", "open", "")


def with_macs(interfaces: list[Values]) -> list[Values]:
    """The interfaces, each with a hardware address; QEMU's prefix and 24 random bits where none is given."""
    return [
        {**one, "mac": one.get("mac") or "52:54:00:" + secrets.token_bytes(3).hex(":").upper()}
        for one in interfaces
    ]


def network_of(connection: Any, interface: Values) -> Any | None:
    """The network that an interface is on; None for one on a bridge.

    Raises:
        PluginError: There is no such network.
    """
    if interface.get("networkName"):
        wanted, look = interface["networkName"], connection.networkLookupByName
    elif interface.get("networkId"):
        wanted, look = interface["networkId"], connection.networkLookupByUUIDString
    else:
        return None
    network = found(look, wanted)
    if network is None:
        raise PluginError(
            f"there is no network {wanted!r}",
            hint=f"`virsh -c '{connection.getURI()}' net-list --all` shows those there are",
        )
    return network


def hardware(connection: Any, interfaces: list[Values]) -> list[tuple[str, str | None, str]]:
    """Hardware address, network's id, and network or bridge of each wanted interface, as `found_hardware`.

    Raises:
        PluginError: There is no such network.
    """
    wanted = []
    for one in interfaces:
        network = network_of(connection, one)
        identity, place = (None, one["bridge"]) if network is None else (network.UUIDString(), network.name())
        wanted.append((one["mac"].upper(), identity, place))
    return wanted


def start_networks(client: Client, connection: Any, interfaces: list[Values]) -> None:
    """Start the networks that are off, as after the machine's start: no domain starts on such a one."""
    for one in interfaces:
        network = network_of(connection, one)
        if network is None:
            continue
        with client.lock(f"network {network.UUIDString()}"):
            if not network.isActive():
                network.create()


def interface_elements(connection: Any, interfaces: list[Values]) -> list[ET.Element]:
    """The interfaces as XML elements."""
    elements = []
    for one in interfaces:
        network = network_of(connection, one)
        elements.append(interface_element(one, one["mac"], None if network is None else network.name()))
    return elements


def reserve(client: Client, connection: Any, interfaces: list[Values], domain: str) -> None:
    """Reserve the declared addresses of interfaces in their networks' DHCP servers.

    Args:
        client: Holds the lock for each network.
        connection: The daemon.
        interfaces: With their hardware addresses.
        domain: The host name where an interface declares none.
    """
    for one in interfaces:
        network = network_of(connection, one)
        if network is None or not one.get("addresses"):
            continue
        with client.lock(f"network {network.UUIDString()}"):
            for address in one["addresses"]:
                _reserve(network, address, one["mac"], one.get("hostname") or domain)


def _reserve(network: Any, address: str, mac: str, hostname: str) -> None:
    import libvirt

    root = ET.fromstring(network.XMLDesc(0))
    if attribute(root, "forward", "mode") not in DHCP_MODES:
        return
    entry = _host(mac, address, hostname)
    held = {node.get("mac", "").lower() for node in root.findall("./ip/dhcp/host")}
    modify, add = libvirt.VIR_NETWORK_UPDATE_COMMAND_MODIFY, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
    _update(network, modify if mac.lower() in held else add, _subnet_index(root, address), entry)


def release(client: Client, connection: Any, interfaces: list[Values]) -> None:
    """Remove the reservations of these interfaces; fine if they, or their networks, are gone."""
    import libvirt

    for one in interfaces:
        if not one.get("mac"):
            continue
        try:
            network = network_of(connection, one)
        except PluginError:
            continue
        if network is None:
            continue
        with client.lock(f"network {network.UUIDString()}"):
            root = ET.fromstring(network.XMLDesc(0))
            for index, subnet in enumerate(root.findall("ip")):
                for node in subnet.findall("./dhcp/host"):
                    if node.get("mac", "").lower() == one["mac"].lower():
                        _update(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, index, to_xml(node))


def _update(network: Any, command: int, index: int, entry: str) -> None:
    import libvirt

    scope = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
    if network.isActive():
        scope |= libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    network.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, index, entry, scope)


def _host(mac: str, address: str, hostname: str) -> str:
    return to_xml(element("host", mac=mac, name=hostname, ip=ipaddress.ip_address(address)))


def _subnet_index(root: ET.Element, address: str) -> int:
    wanted = ipaddress.ip_address(address)
    for index, node in enumerate(root.findall("ip")):
        size = node.get("prefix") or node.get("netmask")
        if size and wanted in ipaddress.ip_network(f"{node.get('address')}/{size}", strict=False):
            return index
    raise PluginError(
        f"address {address} is outside the network {root.findtext('name')!r}",
        hint="choose one inside its addresses",
    )


def read_interfaces(connection: Any, description: str, recorded: list[Values]) -> list[Values]:
    """The interfaces of a domain's inactive XML, each in the words of the recorded one at its place.

    The XML has a network's name only, which another network may have got: a domain is on the recorded one,
    though that is gone, until it is moved.
    """
    interfaces = []
    for position, node in enumerate(ET.fromstring(description).findall("./devices/interface")):
        before = recorded[position] if position < len(recorded) else {}
        mac = attribute(node, "mac", "address").upper()
        one: Values = {"mac": before["mac"] if str(before.get("mac", "")).upper() == mac else mac}
        if node.get("type") == "network":
            name = attribute(node, "source", "network")
            one |= {"networkName": name, "bridge": None}
            one |= {"networkId": _gone_network(connection, before) or _network_id(connection, name)}
        else:
            one |= {"bridge": attribute(node, "source", "bridge"), "networkId": None, "networkName": None}
        interfaces.append(one)
    return interfaces


def found_hardware(interfaces: list[Values]) -> list[tuple[str, str | None, str]]:
    """What `hardware` tells of wanted interfaces, of those that were read."""
    return [(one["mac"].upper(), one["networkId"], one["networkName"] or one["bridge"]) for one in interfaces]


def _gone_network(connection: Any, recorded: Values) -> str | None:
    identity = recorded.get("networkId")
    is_gone = identity and found(connection.networkLookupByUUIDString, identity) is None
    return str(identity) if is_gone else None


def _network_id(connection: Any, name: str) -> str | None:
    network = found(connection.networkLookupByName, name)
    return None if network is None else str(network.UUIDString())


def leased(domain: Any, agent: bool) -> dict[str, list[str]]:
    """Addresses of a running domain by hardware address in upper case.

    Args:
        domain: The domain.
        agent: Ask the guest's agent instead of the networks' DHCP leases.
    """
    import libvirt

    source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
    if agent:
        source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
    try:
        told = domain.interfaceAddresses(source)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            return {}
        raise
    return {
        str(one["hwaddr"]).upper(): [entry["addr"] for entry in one["addrs"]]
        for one in told.values()
        if one.get("addrs") and one.get("hwaddr")
    }


def wait_for_leases(domain: Any, inputs: Values, context: Context) -> str:
    """Wait until every interface that asks for it has an address.

    Returns:
        Empty when all have one; else why not.
    """
    waiting = {
        str(one["mac"]).upper() for one in inputs.get("networkInterfaces") or () if one.get("waitForLease")
    }
    deadline = time.monotonic() + context.timeout_s
    while waiting:
        if not domain.isActive():
            return "the domain stopped before it had an address"
        waiting -= set(leased(domain, bool(inputs.get("qemuAgent"))))
        if not waiting:
            break
        if time.monotonic() > deadline:
            return f"no address for {', '.join(sorted(waiting))} within {context.timeout_s:g} s"
        if context.cancelled.wait(POLL_S):
            return "the wait for an address was interrupted"
    return ""
