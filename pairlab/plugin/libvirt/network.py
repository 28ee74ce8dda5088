"""`libvirt:index/network:Network`: a virtual network with its bridge, and dnsmasq for DHCP and DNS."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._failures import found, is_missing, name_taken
from pairlab.plugin.libvirt._network_xml import (
    BRIDGE,
    dns_host,
    hosts_by_address,
    network_xml,
    read_network,
)
from pairlab.plugin.libvirt._values import equivalent, settle, to_xml
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import UNKNOWN, Context, Failure, Property, Resource, Values

SMALLEST_HOST_BITS = 3
BRIDGE_NAME_LENGTH = 15
"""Linux's limit for the names of interfaces: IFNAMSIZ less the final zero."""
HOST = {"hostname": Property(str, required=True), "ip": Property(str, required=True)}
FORWARDER = {"address": Property(str), "domain": Property(str)}
SRV = {
    "service": Property(str, required=True),
    "protocol": Property(str, required=True),
    "domain": Property(str),
    "target": Property(str),
    "port": Property(str),
    "priority": Property(str),
    "weight": Property(str),
}
OPTION = {"optionName": Property(str, required=True), "optionValue": Property(str)}


class Served(Resource[Client]):
    """A network. Its id is its UUID.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/resource_libvirt_network.go
    """

    token = "libvirt:index/network:Network"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Property(str, required=True, replace=True),
        "mode": Property(
            str, default="nat", replace=True, choices=("nat", "none", "route", "open", "bridge")
        ),
        "addresses": Property(list, replace=True),
        "bridge": Property(str, replace=True, computed=True),
        "domain": Property(str, replace=True),
        "mtu": Property(int, replace=True),
        "autostart": Property(bool, computed=True),
        "dhcp": Property(
            dict, replace=True, computed=True, fields={"enabled": Property(bool, replace=True, computed=True)}
        ),
        "dns": Property(
            dict,
            computed=True,
            fields={
                "enabled": Property(bool, replace=True, computed=True),
                "localOnly": Property(bool, replace=True, computed=True),
                "forwarders": Property(list, replace=True, fields=FORWARDER),
                "srvs": Property(list, replace=True, fields=SRV),
                "hosts": Property(list, fields=HOST),
            },
        ),
        "dnsmasqOptions": Property(dict, replace=True, fields={"options": Property(list, fields=OPTION)}),
        "routes": Property(
            list,
            replace=True,
            fields={"cidr": Property(str, required=True), "gateway": Property(str, required=True)},
        ),
    }
    outputs = ("bridge", "autostart", "dhcp", "dns")
    stable = ("bridge",)
    delete_before_replace = True

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse addresses that cannot serve, and names that Linux cannot give."""
        failures = []
        addresses = inputs.get("addresses")
        for cidr in addresses if isinstance(addresses, list) else ():
            if isinstance(cidr, str) and (reason := _unusable(cidr)):
                failures.append(Failure("addresses", reason, cidr))
        bridge = inputs.get("bridge")
        if isinstance(bridge, str) and len(bridge) > BRIDGE_NAME_LENGTH:
            failures.append(Failure("bridge", f"is longer than {BRIDGE_NAME_LENGTH} characters", bridge))
        if inputs.get("mode") == BRIDGE and not bridge:
            failures.append(Failure("bridge", "must be given when mode is 'bridge'"))
        name = inputs.get("name")
        if name is not UNKNOWN and (not name or "/" in str(name)):
            failures.append(Failure("name", "a network's name has no slashes"))
        return failures

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """Networks are compared by what they span, DNS hosts without regard to order."""
        return not equivalent(cls.properties.get(name), _meaning(name, old), _meaning(name, new))

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        name = inputs["name"]
        # Two definitions at once may get one bridge: https://gitlab.com/libvirt/libvirt/-/issues/78
        with (
            self.making(inputs, context) as made,
            self.client.lock("networks"),
            self.client.doing(f"creating network {name!r}") as connection,
        ):
            existing = found(connection.networkLookupByName, name)
            if existing is not None:
                holder = f"a network (UUID {existing.UUIDString()}, bridge {_bridge_of(existing) or 'none'})"
                remedy = f"virsh -c '{self.client.uri}' net-destroy {name}; virsh … net-undefine {name}"
                raise name_taken("network", name, holder, remedy)
            network = connection.networkDefineXML(network_xml(inputs))
            made.resource_id = network.UUIDString()
            network.create()
            if inputs.get("autostart"):
                network.setAutostart(1)
            return made.resource_id, self._recorded(network, inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading network {resource_id}") as connection:
            network = found(connection.networkLookupByUUIDString, resource_id)
            return None if network is None else self._recorded(network, state)

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Start it, and change its autostart and its DNS hosts."""
        with self.client.doing(f"updating network {inputs['name']!r}") as connection:
            if not _same_but_hosts(state.get("dns") or {}, inputs.get("dns") or {}):
                raise PluginError(
                    f"of network {inputs['name']!r} only dns.hosts changes in place",
                    hint="replace the network: `pulumi up --replace URN`",
                )
            network = connection.networkLookupByUUIDString(resource_id)
            if not network.isActive():
                network.create()
            if inputs.get("autostart") is not None:
                network.setAutostart(int(inputs["autostart"]))
            declared = (inputs.get("dns") or {}).get("hosts") or []
            _change_hosts(network, read_network(network.XMLDesc(0))["dns"]["hosts"] or [], declared)
            return self._recorded(network, inputs)

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`."""
        with self.client.lock("networks"), self.client.doing(f"deleting network {resource_id}") as connection:
            network = found(connection.networkLookupByUUIDString, resource_id)
            if network is not None:
                _remove(network)

    def _recorded(self, network: Any, recorded: Values) -> Values:
        now = {**read_network(network.XMLDesc(0)), "autostart": bool(network.autostart())}
        return settle(Served, recorded, now)


def _same_but_hosts(old: Values, new: Values) -> bool:
    rule = Served.properties["dns"]
    return equivalent(rule, {**old, "hosts": None}, {**new, "hosts": None})


def _bridge_of(network: Any) -> str:
    return str(read_network(network.XMLDesc(0))["bridge"])


def _remove(network: Any) -> None:
    import libvirt

    try:
        if network.isActive():
            network.destroy()
        network.undefine()
    except libvirt.libvirtError as error:
        if not is_missing(error):
            raise


def _change_hosts(network: Any, old: list[Values], new: list[Values]) -> None:
    import libvirt

    scope = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
    section = libvirt.VIR_NETWORK_SECTION_DNS_HOST
    before, after = hosts_by_address(old), hosts_by_address(new)

    def delete(ip: str) -> None:
        gone = to_xml(dns_host(ip, []))
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, gone, scope)

    for ip, names in after.items():
        if before.get(ip) != names:
            if ip in before:  # an address has one entry
                delete(ip)
            added = to_xml(dns_host(ip, names))
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, added, scope)
    # Only now: a name that moves from one address to another leads somewhere all the time.
    for ip in before.keys() - after.keys():
        delete(ip)


def _unusable(cidr: str) -> str:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return "has one that is no network such as 10.0.0.0/24"
    if network.max_prefixlen - network.prefixlen < SMALLEST_HOST_BITS:
        return "has one that is too small: a network needs room for its own address and at least four guests"
    return ""


def _meaning(name: str, value: Any) -> Any:
    if name == "addresses" and isinstance(value, list):
        return [str(ipaddress.ip_network(c, strict=False)) if isinstance(c, str) else c for c in value]
    if name == "dns" and isinstance(value, dict) and isinstance(value.get("hosts"), list):
        hosts = sorted(value["hosts"], key=lambda host: (str(host.get("ip")), str(host.get("hostname"))))
        return {**value, "hosts": hosts}
    return value
