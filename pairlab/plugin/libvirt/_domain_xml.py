"""A domain's inputs as libvirt's XML. Source: https://libvirt.org/formatdomain.html

Defaults are those of dmacvicar/terraform-provider-libvirt v0.8, libvirt/domain_def.go, except that the guest
agent's channel is there only where `qemuAgent` asks for it: each device costs an emulated guest boot time.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._values import element, to_xml
from pairlab.plugin.resource import Values

RANDOM_DEVICE = "/dev/urandom"
CLOUD_INIT_SERIAL = "cloudinit"
"""Marks the seed's drive among the disks."""


@dataclass(frozen=True)
class VolumeDisk:
    """A disk by volume: where libvirt keeps it, and its format."""

    pool: str
    volume: str
    format: str


def domain_xml(
    inputs: Values, disks: list[ET.Element], interfaces: list[ET.Element], identity: str | None = None
) -> str:
    """The description that makes the domain which the inputs declare.

    Args:
        inputs: Checked inputs.
        disks: Its `<disk>` elements, in order.
        interfaces: Its `<interface>` elements, in order.
        identity: Its UUID if it exists already; libvirt makes one for a new domain.
    """
    root = element(
        "domain",
        None,
        element("name", inputs["name"]),
        element("uuid", identity) if identity else None,
        element("description", inputs["description"]) if inputs.get("description") else None,
        _metadata(inputs),
        element("memory", inputs["memory"], unit="MiB"),
        element("vcpu", inputs["vcpu"], placement="static"),
        _operating_system(inputs),
        element("features", None, element("pae"), element("acpi"), element("apic")),
        element("cpu", mode=inputs["cpu"]["mode"]) if (inputs.get("cpu") or {}).get("mode") else None,
        _devices(inputs, disks, interfaces),
        type=inputs["type"],
    )
    return to_xml(root)


def metadata_elements(text: str) -> list[ET.Element]:
    """The elements of a domain's metadata.

    Raises:
        xml.etree.ElementTree.ParseError: It is not well-formed.
    """
    return list(ET.fromstring(f"<metadata>{text}</metadata>"))


def _metadata(inputs: Values) -> ET.Element | None:
    text = inputs.get("metadata")
    return element("metadata", None, *metadata_elements(text)) if text else None


def _operating_system(inputs: Values) -> ET.Element:
    node = element("os", None, element("type", "hvm", arch=inputs.get("arch"), machine=inputs.get("machine")))
    if inputs.get("firmware"):
        node.append(element("loader", inputs["firmware"], readonly=True, type="pflash", secure=False))
        nvram = inputs.get("nvram")
        if nvram:
            node.append(element("nvram", nvram["file"], template=nvram.get("template") or None))
    for tag in ("kernel", "initrd"):
        if inputs.get(tag):
            node.append(element(tag, inputs[tag]))
    if inputs.get("cmdlines"):
        node.append(element("cmdline", kernel_command_line(inputs["cmdlines"])))
    for boot in inputs.get("bootDevices") or ():
        node.extend(element("boot", dev=device) for device in boot.get("devs") or ())
    return node


def kernel_command_line(cmdlines: list[dict[str, Any]]) -> str:
    """Kernel parameters in one line, sorted as the official plugin does; the key `_` makes a bare word."""
    words = [value if key == "_" else f"{key}={value}" for entry in cmdlines for key, value in entry.items()]
    return " ".join(sorted(map(str, words)))


def _devices(inputs: Values, disks: list[ET.Element], interfaces: list[ET.Element]) -> ET.Element:
    node = element("devices")
    if inputs.get("emulator"):
        node.append(element("emulator", inputs["emulator"]))
    node.extend(disks)
    node.extend(_filesystem(shared) for shared in inputs.get("filesystems") or ())
    node.extend(interfaces)
    node.extend(_console(console) for console in inputs.get("consoles") or ())
    if inputs.get("qemuAgent"):
        target = element("target", type="virtio", name="org.qemu.guest_agent.0")
        node.append(element("channel", None, target, type="unix"))
    graphics = inputs.get("graphics")
    if graphics and graphics["type"] != "none":
        node.append(_graphics(graphics))
    if inputs.get("video"):
        node.append(element("video", None, element("model", type=inputs["video"]["type"])))
    backend = element("backend", RANDOM_DEVICE, model="random")
    node.append(element("rng", None, backend, model="virtio"))
    return node


def disk_element(position: int, isos: int, disk: Values, volume: VolumeDisk | None) -> ET.Element:
    """One disk, by what it stands on: a volume, a URL, a file or a block device.

    Args:
        position: Its place among the disks, which gives it its letter.
        isos: How many CD images came before it.
        disk: Its inputs.
        volume: For a disk by volume, what it is.
    """
    if volume is not None:
        source, kind = element("source", pool=volume.pool, volume=volume.volume), "volume"
    elif disk.get("url"):
        source, kind = _url_source(disk["url"]), "network"
    elif disk.get("file"):
        source, kind = element("source", file=disk["file"]), "file"
    else:
        source, kind = element("source", dev=disk["blockDevice"]), "block"
    name = str(disk.get("url") or disk.get("file") or "")
    image_format = volume.format if volume else "qcow2" if name.endswith(".qcow2") else "raw"
    driver = element("driver", name="qemu", type=image_format)
    if name.endswith(".iso"):
        target = element("target", dev=f"hd{letter(isos)}", bus="ide")
        return element("disk", None, driver, source, target, element("readonly"), type=kind, device="cdrom")
    target = element("target", dev=f"vd{letter(position)}", bus="virtio")
    return element("disk", None, driver, source, target, type=kind, device="disk")


def cloud_init_element(path: str) -> ET.Element:
    """The drive of a seed: the last of the single IDE controller, as the official plugin places it."""
    return element(
        "disk",
        None,
        element("driver", name="qemu", type="raw"),
        element("source", file=path),
        element("target", dev="hdd", bus="ide"),
        element("readonly"),
        element("serial", CLOUD_INIT_SERIAL),
        type="file",
        device="cdrom",
    )


def letter(position: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa: as Linux names disks."""
    name = ""
    left = position + 1
    while left:
        left, digit = divmod(left - 1, 26)
        name = chr(ord("a") + digit) + name
    return name


def _url_source(url: str) -> ET.Element:
    address = urllib.parse.urlsplit(url)
    host = element("host", name=address.hostname, port=address.port)
    return element("source", None, host, protocol=address.scheme, name=address.path)


def interface_element(interface: Values, mac: str, network: str | None) -> ET.Element:
    """One network interface.

    Args:
        interface: Its inputs.
        mac: Its hardware address.
        network: Name of the network that it is on; None for one on a bridge.
    """
    if network is not None:
        source, kind = element("source", network=network), "network"
    else:
        source, kind = element("source", bridge=interface["bridge"]), "bridge"
    return element(
        "interface", None, element("mac", address=mac), source, element("model", type="virtio"), type=kind
    )


def _filesystem(shared: Values) -> ET.Element:
    return element(
        "filesystem",
        None,
        element("source", dir=shared["source"]),
        element("target", dir=shared["target"]),
        element("readonly") if shared["readonly"] else None,
        type="mount",
        accessmode=shared["accessmode"],
    )


def _console(console: Values) -> ET.Element:
    node = element("console", None, type=console["type"])
    if console["type"] == "tcp":
        node.append(
            element("source", mode="bind", host=console["sourceHost"], service=console["sourceService"])
        )
        node.append(element("protocol", type="telnet"))
    elif console.get("sourcePath"):
        node.append(element("source", path=console["sourcePath"]))
    node.append(element("target", type=console.get("targetType") or None, port=console["targetPort"]))
    return node


def _graphics(graphics: Values) -> ET.Element:
    kind = graphics["listenType"]
    address = graphics["listenAddress"] if kind == "address" else None
    listen = element("listen", type=kind, address=address)
    websocket = graphics.get("websocket") if graphics["type"] == "vnc" else None
    return element(
        "graphics", None, listen, type=graphics["type"], autoport=graphics["autoport"], websocket=websocket
    )
