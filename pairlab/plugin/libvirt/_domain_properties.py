"""The inputs that a domain serves, and what about them types alone cannot say."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._domain_xml import kernel_command_line, metadata_elements
from pairlab.plugin.libvirt._values import equivalent
from pairlab.plugin.resource import UNKNOWN, Failure, Property, Values

MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
DISK_KINDS = ("volumeId", "url", "file", "blockDevice")

DISK = {kind: Property(str, replace=True) for kind in DISK_KINDS}
INTERFACE = {
    "networkId": Property(str, computed=True),
    "networkName": Property(str, computed=True),
    "bridge": Property(str),
    "mac": Property(str, computed=True),
    "hostname": Property(str, computed=True),
    "addresses": Property(list, computed=True),
    "waitForLease": Property(bool),
}
CONSOLE = {
    "type": Property(str, required=True, replace=True, choices=("pty", "tcp")),
    "targetPort": Property(str, required=True, replace=True),
    "targetType": Property(str, replace=True, computed=True),
    "sourcePath": Property(str, replace=True),
    "sourceHost": Property(str, default="127.0.0.1", replace=True),
    "sourceService": Property(str, default="0", replace=True),
}
FILESYSTEM = {
    "source": Property(str, required=True, replace=True),
    "target": Property(str, required=True, replace=True),
    "accessmode": Property(str, default="mapped", replace=True),
    "readonly": Property(bool, default=True, replace=True),
}
GRAPHICS = {
    "type": Property(str, default="spice", replace=True, choices=("spice", "vnc", "none")),
    "autoport": Property(bool, default=True, replace=True),
    "listenType": Property(str, default="none", replace=True),
    "listenAddress": Property(str, default="127.0.0.1", replace=True),
    "websocket": Property(int, replace=True),
}

PROPERTIES: Mapping[str, Property] = {
    "name": Property(str, required=True, replace=True),
    "description": Property(str, replace=True),
    "metadata": Property(str),
    "type": Property(str, default="kvm", replace=True, choices=("kvm", "qemu")),
    "memory": Property(int, default=512, replace=True),
    "vcpu": Property(int, default=1, replace=True),
    "arch": Property(str, replace=True, computed=True),
    "machine": Property(str, replace=True, computed=True),
    "emulator": Property(str, replace=True, computed=True),
    "cpu": Property(dict, replace=True, computed=True, fields={"mode": Property(str, replace=True)}),
    "kernel": Property(str, replace=True),
    "initrd": Property(str, replace=True),
    "cmdlines": Property(list, replace=True),
    "firmware": Property(str, replace=True),
    "nvram": Property(
        dict,
        replace=True,
        computed=True,
        fields={"file": Property(str, required=True, replace=True), "template": Property(str, replace=True)},
    ),
    "bootDevices": Property(list, replace=True, fields={"devs": Property(list, replace=True)}),
    "disks": Property(list, replace=True, fields=DISK),
    "cloudinit": Property(str, removable=False),
    "networkInterfaces": Property(list, fields=INTERFACE),
    "consoles": Property(list, replace=True, fields=CONSOLE),
    "graphics": Property(dict, replace=True, fields=GRAPHICS),
    "video": Property(dict, replace=True, fields={"type": Property(str, default="cirrus", replace=True)}),
    "filesystems": Property(list, replace=True, fields=FILESYSTEM),
    "qemuAgent": Property(bool, default=False, replace=True),
    "autostart": Property(bool),
    "running": Property(bool, default=True),
    "xml": Property(dict, replace=True, fields={"xslt": Property(str, replace=True)}),
}


def validate(inputs: Values) -> list[Failure]:
    """Refuse what libvirt would refuse only after something was made."""
    failures = [*_check_disks(inputs), *_check_interfaces(inputs)]
    for amount in ("memory", "vcpu"):
        value = inputs.get(amount)
        if isinstance(value, int) and value < 1:
            failures.append(Failure(amount, "is less than 1", value))
    metadata = inputs.get("metadata")
    if isinstance(metadata, str) and (reason := _unfit_metadata(metadata)):
        failures.append(Failure("metadata", reason))
    xml = inputs.get("xml")
    stylesheet = xml.get("xslt") if isinstance(xml, dict) else None
    if isinstance(stylesheet, str) and stylesheet and (reason := _unfit_stylesheet(stylesheet)):
        failures.append(Failure("xml.xslt", reason))
    name = inputs.get("name")
    if name is not UNKNOWN and (not name or "/" in str(name) or "\n" in str(name)):
        failures.append(Failure("name", "a domain's name has no slashes"))
    if inputs.get("nvram") is not None and inputs.get("firmware") is None:
        failures.append(Failure("nvram", "goes together with firmware"))
    return failures


def _check_disks(inputs: Values) -> list[Failure]:
    disks = inputs.get("disks")
    failures = []
    for position, disk in enumerate(disks if isinstance(disks, list) else ()):
        given = [kind for kind in DISK_KINDS if isinstance(disk, dict) and disk.get(kind) is not None]
        if isinstance(disk, dict) and len(given) != 1:
            failures.append(Failure(f"disks[{position}]", f"give exactly one of {', '.join(DISK_KINDS)}"))
    return failures


def _check_interfaces(inputs: Values) -> list[Failure]:
    interfaces = inputs.get("networkInterfaces")
    failures = []
    for position, one in enumerate(interfaces if isinstance(interfaces, list) else ()):
        if not isinstance(one, dict):
            continue
        where = f"networkInterfaces[{position}]"
        if all(one.get(kind) is None for kind in ("networkId", "networkName", "bridge")):
            failures.append(Failure(where, "give networkId, networkName or bridge"))
        mac = one.get("mac")
        if isinstance(mac, str) and not MAC.fullmatch(mac):
            reason = "is not a hardware address such as 52:54:00:12:34:56"
            failures.append(Failure(f"{where}.mac", reason, mac))
        addresses = one.get("addresses")
        for address in addresses if isinstance(addresses, list) else ():
            if isinstance(address, str) and not _is_address(address):
                failures.append(Failure(f"{where}.addresses", "has one that is not an IP address", address))
    return failures


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _unfit_metadata(text: str) -> str:
    try:
        elements = metadata_elements(text)
    except ET.ParseError as error:
        return f"it is not well-formed XML: {error}"
    if any(not node.tag.startswith("{") for node in elements):
        return "each of its elements needs a namespace of its own"
    return ""


def _unfit_stylesheet(text: str) -> str:
    try:
        ET.fromstring(text)
    except ET.ParseError as error:
        return f"it is not well-formed XML: {error}"
    return ""


def same(name: str, old: Any, new: Any) -> bool:
    """Whether a value that is there fits one that is wanted."""
    return equivalent(PROPERTIES.get(name), _meaning(name, old), _meaning(name, new))


def _meaning(name: str, value: Any) -> Any:
    if name == "metadata" and isinstance(value, str):
        return [
            ET.canonicalize(ET.tostring(node, encoding="unicode"), strip_text=True, rewrite_prefixes=True)
            for node in metadata_elements(value)
        ]
    if name == "cmdlines" and isinstance(value, list) and all(_plain(entry) for entry in value):
        return kernel_command_line(value)
    if name == "networkInterfaces" and isinstance(value, list):
        return [
            {**one, "mac": one["mac"].upper()}
            if isinstance(one, dict) and isinstance(one.get("mac"), str)
            else one
            for one in value
        ]
    if name == "disks" and isinstance(value, list) and all(isinstance(disk, dict) for disk in value):
        # A volume's id is its path.
        return [{"file": disk.get("volumeId", disk.get("file")), **_others(disk)} for disk in value]
    return value


def _others(disk: Values) -> Values:
    return {kind: disk[kind] for kind in ("url", "blockDevice") if kind in disk}


def _plain(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(text, str) for text in entry.values())
