"""A domain's inputs from libvirt's XML, for refresh and import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._domain_xml import CLOUD_INIT_SERIAL
from pairlab.plugin.libvirt._values import attribute, text_of
from pairlab.plugin.resource import Values

UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "b": 1, "bytes": 1}
CHOSEN_CPU = "custom"
"""The mode that libvirt writes when it chose the processor itself."""
CHOSEN_BOOT = ["hd"]
"""What libvirt writes when no boot device was named."""
MACHINE_ALIASES = {"pc": "pc-i440fx", "q35": "pc-q35"}

Lookup = Callable[[str, str], str | None]
"""Pool and volume name -> the volume's key."""


def read_domain(description: str, recorded: Values, volume_key: Lookup) -> Values:
    """The inputs that would make a domain like the one described; None for what it does not have.

    Args:
        description: The inactive XML, as only that is free of what the start added.
        recorded: State so far; empty on import.
        volume_key: Looks up disks by volume.
    """
    root = ET.fromstring(description)
    devices = root.find("devices")
    assert devices is not None
    boot = [node.get("dev", "") for node in root.findall("./os/boot")]
    boot_declared = bool(recorded.get("bootDevices")) or boot != CHOSEN_BOOT
    found: Values = {
        "name": text_of(root, "name"),
        "description": text_of(root, "description") or None,
        "metadata": _metadata(root),
        "type": root.get("type", ""),
        "memory": _memory_mib(root),
        "vcpu": int(text_of(root, "vcpu") or 1),
        "arch": attribute(root, "./os/type", "arch"),
        "machine": _machine(attribute(root, "./os/type", "machine"), recorded.get("machine")),
        "emulator": text_of(devices, "emulator"),
        "kernel": text_of(root, "./os/kernel") or None,
        "initrd": text_of(root, "./os/initrd") or None,
        "cmdlines": _cmdlines(text_of(root, "./os/cmdline")) or None,
        "firmware": text_of(root, "./os/loader") or None,
        "cpu": _cpu(attribute(root, "cpu", "mode"), recorded),
        "bootDevices": [{"devs": boot}] if boot and boot_declared else None,
        "disks": _disks(devices, recorded, volume_key) or None,
        "cloudinit": _cloudinit(devices, recorded),
        "filesystems": [_filesystem(node) for node in devices.findall("filesystem")] or None,
        "consoles": [_console(node) for node in devices.findall("console")] or None,
        "qemuAgent": devices.find("./channel/target[@name='org.qemu.guest_agent.0']") is not None,
    }
    if found["firmware"]:
        found["nvram"] = {"file": text_of(root, "./os/nvram")}
    return {**found, **_display(devices, recorded)}


def _display(devices: ET.Element, recorded: Values) -> Values:
    graphics = devices.find("graphics")
    found: Values = {}
    if graphics is not None:
        found["graphics"] = {"type": graphics.get("type", ""), "autoport": graphics.get("autoport") == "yes"}
    elif (recorded.get("graphics") or {}).get("type") != "none":
        found["graphics"] = None
    # libvirt adds a display adapter to every domain with graphics: only a declared one is told.
    if recorded.get("video"):
        model = attribute(devices, "./video/model", "type")
        found["video"] = {"type": model} if model else None
    return found


def _metadata(root: ET.Element) -> str | None:
    children = list(root.find("metadata") or ())
    for child in children:
        child.tail = None
    return "".join(ET.tostring(child, encoding="unicode") for child in children) or None


def _memory_mib(root: ET.Element) -> int:
    unit = attribute(root, "memory", "unit") or "KiB"
    return int(text_of(root, "memory")) * UNITS[unit] // UNITS["MiB"]


def _machine(canonical: str, recorded: Any) -> str:
    if recorded and canonical.startswith(f"{MACHINE_ALIASES.get(recorded, recorded)}-"):
        return str(recorded)
    return canonical


def _cmdlines(line: str) -> list[dict[str, str]]:
    """The official form: maps of named parameters, a repeated name begins another; then bare words."""
    maps: list[dict[str, str]] = []
    bare: list[str] = []
    for word in line.split():
        name, equals, value = word.partition("=")
        if not equals:
            bare.append(word)
        elif maps and name not in maps[-1]:
            maps[-1][name] = value
        else:
            maps.append({name: value})
    return [*maps, {"_": " ".join(bare)}] if bare else maps


def _cpu(mode: str, recorded: Values) -> Values | None:
    declared = bool((recorded.get("cpu") or {}).get("mode"))
    return {"mode": mode} if mode and (declared or mode != CHOSEN_CPU) else None


def _disks(devices: ET.Element, recorded: Values, volume_key: Lookup) -> list[Values]:
    nodes = [node for node in devices.findall("disk") if text_of(node, "serial") != CLOUD_INIT_SERIAL]
    before = recorded.get("disks") or []
    return [_disk(node, before[at] if at < len(before) else {}, volume_key) for at, node in enumerate(nodes)]


def _disk(node: ET.Element, before: Values, volume_key: Lookup) -> Values:
    source = node.find("source")
    if source is None:
        return {"file": ""}
    kind = node.get("type")
    if kind == "block":
        return {"blockDevice": source.get("dev", "")}
    if kind == "network":
        port = attribute(source, "host", "port")
        host = attribute(source, "host", "name") + (f":{port}" if port else "")
        url = f"{source.get('protocol')}://{host}{source.get('name', '')}"
        # libvirt adds the scheme's own port.
        return {"url": before["url"] if url.replace(f":{port}", "") == before.get("url") else url}
    if kind == "volume":
        pool, name = source.get("pool", ""), source.get("volume", "")
        return {"volumeId": volume_key(pool, name) or f"{pool}/{name}"}
    path = source.get("file", "")
    return {"volumeId": path} if before.get("volumeId") == path else {"file": path}


def _cloudinit(devices: ET.Element, recorded: Values) -> str | None:
    for node in devices.findall("disk"):
        if text_of(node, "serial") == CLOUD_INIT_SERIAL:
            path = attribute(node, "source", "file")
            before = str(recorded.get("cloudinit") or "")
            return before if before.partition(";")[0] == path else path
    return None


def _filesystem(node: ET.Element) -> Values:
    return {
        "accessmode": node.get("accessmode", ""),
        "source": attribute(node, "source", "dir"),
        "target": attribute(node, "target", "dir"),
        "readonly": node.find("readonly") is not None,
    }


def _console(node: ET.Element) -> Values:
    target_type, port = attribute(node, "target", "type"), attribute(node, "target", "port")
    return {"type": node.get("type", ""), "targetType": target_type or None, "targetPort": port}
