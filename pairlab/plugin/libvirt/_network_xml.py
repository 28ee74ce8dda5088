"""A network's inputs as libvirt's XML, and back. Source: https://libvirt.org/formatnetwork.html"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._values import attribute, element, to_xml
from pairlab.plugin.resource import Values

DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"
ET.register_namespace("dnsmasq", DNSMASQ_NAMESPACE)
OPTION_TAG = f"{{{DNSMASQ_NAMESPACE}}}option"
ISOLATED, BRIDGE = "none", "bridge"
SRV_FIELDS = ("service", "protocol", "domain", "target", "port", "priority", "weight")


def network_xml(inputs: Values) -> str:
    """The description that makes the network which the inputs declare."""
    mode = inputs["mode"]
    root = element("network", None, element("name", inputs["name"]))
    if mode != ISOLATED:
        root.append(_forward(mode))
    if inputs.get("mtu") is not None:
        root.append(element("mtu", size=inputs["mtu"]))
    stp = None if mode == BRIDGE else "on"
    root.append(element("bridge", name=inputs.get("bridge") or None, stp=stp))
    if mode != BRIDGE:
        dns = inputs.get("dns") or {}
        if inputs.get("domain"):
            local_only = True if dns.get("localOnly") else None
            root.append(element("domain", name=inputs["domain"], localOnly=local_only))
        root.append(_dns(dns))
        dhcp = (inputs.get("dhcp") or {}).get("enabled", True)
        root.extend(_ip(cidr, dhcp) for cidr in inputs.get("addresses") or ())
    root.extend(_route(route) for route in inputs.get("routes") or ())
    options = (inputs.get("dnsmasqOptions") or {}).get("options") or ()
    if options:
        root.append(element(f"{{{DNSMASQ_NAMESPACE}}}options", None, *(_option(o) for o in options)))
    return to_xml(root)


def _forward(mode: str) -> ET.Element:
    if mode != "nat":
        return element("forward", mode=mode)
    ports = element("port", start=1024, end=65535)
    return element("forward", None, element("nat", None, ports), mode=mode)


def _dns(dns: Values) -> ET.Element:
    node = element("dns", enable=dns.get("enabled"))
    for forwarder in dns.get("forwarders") or ():
        node.append(
            element(
                "forwarder", addr=forwarder.get("address") or None, domain=forwarder.get("domain") or None
            )
        )
    for srv in dns.get("srvs") or ():
        node.append(ET.Element("srv", {name: str(srv[name]) for name in SRV_FIELDS if srv.get(name)}))
    node.extend(dns_host(ip, names) for ip, names in hosts_by_address(dns.get("hosts") or []).items())
    return node


def hosts_by_address(hosts: list[Values]) -> dict[str, list[str]]:
    """Host names of each address, in order."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for host in hosts:
        names[host["ip"]].append(host["hostname"])
    return {ip: sorted(listed) for ip, listed in sorted(names.items())}


def dns_host(ip: str, names: list[str]) -> ET.Element:
    """A DNS host entry."""
    return element("host", None, *(element("hostname", name) for name in names), ip=ip)


def _ip(cidr: str, dhcp: bool) -> ET.Element:
    network = ipaddress.ip_network(cidr, strict=False)
    own = network.network_address + 1
    node = element("ip", address=own, prefix=network.prefixlen, family=f"ipv{network.version}")
    if dhcp:
        node.append(element("dhcp", None, element("range", start=own + 1, end=network[-1] - 1)))
    return node


def _route(route: Values) -> ET.Element:
    network = ipaddress.ip_network(route["cidr"], strict=False)
    return element(
        "route",
        family=f"ipv{network.version}",
        address=network.network_address,
        prefix=network.prefixlen,
        gateway=route["gateway"],
    )


def _option(option: Values) -> ET.Element:
    name, value = option.get("optionName", ""), option.get("optionValue")
    return ET.Element(OPTION_TAG, {"value": f"{name}={value}" if value else name})


def read_network(description: str) -> Values:
    """The inputs that would make a network like the one described; None for what it does not have."""
    root = ET.fromstring(description)
    addresses = [_cidr(node) for node in root.findall("ip")]
    options = [_read_option(node.get("value", "")) for node in root.iter(OPTION_TAG)]
    mtu = attribute(root, "mtu", "size")
    found: Values = {
        "name": root.findtext("name") or "",
        "mode": attribute(root, "forward", "mode")
        or ("nat" if root.find("forward") is not None else ISOLATED),
        "bridge": attribute(root, "bridge", "name") or None,
        "addresses": addresses or None,
        "dns": _read_dns(root),
        "domain": attribute(root, "domain", "name") or None,
        "mtu": int(mtu) if mtu else None,
        "routes": [{"cidr": _cidr(n), "gateway": n.get("gateway", "")} for n in root.findall("route")]
        or None,
        "dnsmasqOptions": {"options": options} if options else None,
    }
    if addresses:
        found["dhcp"] = {"enabled": root.find("./ip/dhcp/range") is not None}
    return found


def _read_dns(root: ET.Element) -> Values:
    hosts = [
        {"ip": node.get("ip", ""), "hostname": (name.text or "").strip()}
        for node in root.findall("./dns/host")
        for name in node.findall("hostname")
    ]
    dns: Values = {
        "enabled": attribute(root, "dns", "enable") != "no",
        "forwarders": [_renamed(node, addr="address") for node in root.findall("./dns/forwarder")] or None,
        "srvs": [dict(node.attrib) for node in root.findall("./dns/srv")] or None,
        "hosts": hosts or None,
    }
    if root.find("domain") is not None:
        dns["localOnly"] = attribute(root, "domain", "localOnly") == "yes"
    return dns


def _renamed(node: ET.Element, **names: str) -> dict[str, str]:
    return {names.get(name, name): value for name, value in node.attrib.items()}


def _read_option(text: str) -> Values:
    name, equals, value = text.partition("=")
    return {"optionName": name, "optionValue": value} if equals else {"optionName": name}


def _cidr(node: ET.Element) -> str:
    size = node.get("prefix") or node.get("netmask") or ""
    return str(
        ipaddress.ip_network(
            f"{node.get('address')}/{size}" if size else node.get("address", ""), strict=False
        )
    )
