"""What a libvirt domain was given: its memory and its disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree


@dataclass(frozen=True)
class Holdings:
    """What a domain was given.

    Attributes:
        memory_bytes: Memory of its guest.
        own_disk_bytes: What its own disks occupy.
        shared_disk_bytes: What its disks stand on occupies, with its kernel and initial RAM disk.
    """

    memory_bytes: int
    own_disk_bytes: int
    shared_disk_bytes: int


def overlay_bytes(connection: Any, domain: str) -> int:
    """Bytes that a domain's first disk occupies."""
    description = ElementTree.fromstring(connection.lookupByName(domain).XMLDesc())
    return _occupied(connection, _paths(description, "devices/disk/source")[:1])


def holdings(connection: Any, domain: str) -> Holdings:
    """What a running domain was given."""
    found = connection.lookupByName(domain)
    description = ElementTree.fromstring(found.XMLDesc())
    shared = _paths(description, "devices/disk//backingStore/source")
    shared += [path for tag in ("kernel", "initrd") if (path := description.findtext(f"os/{tag}"))]
    return Holdings(
        found.maxMemory() * 1024,
        _occupied(connection, _paths(description, "devices/disk/source")),
        _occupied(connection, shared),
    )


def _paths(description: ElementTree.Element, where: str) -> list[str]:
    return [path for source in description.findall(where) if (path := source.get("file", ""))]


def _occupied(connection: Any, paths: list[str]) -> int:
    """Bytes of disk that files in a pool occupy."""
    return sum(int(connection.storageVolLookupByPath(path).info()[2]) for path in paths)
