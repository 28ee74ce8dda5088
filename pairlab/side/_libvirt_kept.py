"""A VM as it was at one moment, disk and memory, to be put back.

libvirt takes such a snapshot outside of the disk, where a seed that is no qcow2 file does not matter; but
before version 9.9 it does not revert to one. So that is done here, in the steps of its own commands.

Source: virsh(1), snapshot-create-as with --memspec, and restore.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from pairlab.errors import SideError
from pairlab.model import PROJECT
from pairlab.side import SideContext
from pairlab.side._libvirt_objects import LibvirtObjects

DIGEST = "0" * 12
"""Volumes are named as the lab's others are, so that what an interrupted run leaves goes with the lab."""


class Kept:
    """What is kept of one domain: a file with its memory, and the disk below a new top.

    Args:
        objects: The lab's.
        domain: Name of the domain.
        context: The lab's.
    """

    def __init__(self, objects: LibvirtObjects, domain: str, context: SideContext) -> None:
        self._objects = objects
        self._domain = domain
        self._pool = context.pool_path
        name = f"{domain.removeprefix(f'{PROJECT}-{context.lab}-')}-kept-{DIGEST}"
        self._memory, self._top = f"{name}.img", f"{name}.qcow2"

    def take(self) -> None:
        """Keep the domain as it is; it runs on meanwhile, and from now on writes to the new top."""
        with self._objects.mapped() as libvirt:
            domain = self._objects.connection(libvirt).lookupByName(self._domain)
            defined = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
            domain.snapshotCreateXML(
                self._description(domain),
                libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
                | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE
                | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
            )
            # Only what runs has the new top: as defined, it starts from the disk that was declared.
            self._objects.connection(libvirt).defineXML(defined)

    def restore(self) -> None:
        """Make the domain what it was, and remove what was kept.

        Raises:
            SideError: It was not kept.
        """
        with self._objects.mapped() as libvirt:
            connection = self._objects.connection(libvirt)
            domain = connection.lookupByName(self._domain)
            volumes = {volume.name(): volume for volume in self._objects.volumes(libvirt)}
            if self._memory not in volumes:
                raise SideError(
                    f"{self._domain} was not kept", hint="`invoke lab.up` makes it what is declared"
                )
            if domain.isActive():
                domain.destroy()
            connection.restoreFlags(f"{self._pool}/{self._memory}", None, libvirt.VIR_DOMAIN_SAVE_RUNNING)
            for name in (self._memory, self._top):
                if name in volumes:
                    volumes[name].delete()

    def _description(self, domain: Any) -> str:
        snapshot = ElementTree.Element("domainsnapshot")
        ElementTree.SubElement(snapshot, "memory", snapshot="external", file=f"{self._pool}/{self._memory}")
        disks = ElementTree.SubElement(snapshot, "disks")
        targets = ElementTree.fromstring(domain.XMLDesc()).iterfind("devices/disk/target")
        for number, target in enumerate(targets):
            # The first disk is its own; the other is its seed, which nothing writes to.
            how = "no" if number else "external"
            disk = ElementTree.SubElement(disks, "disk", name=target.get("dev", ""), snapshot=how)
            if not number:
                ElementTree.SubElement(disk, "driver", type="qcow2")
                ElementTree.SubElement(disk, "source", file=f"{self._pool}/{self._top}")
        return ElementTree.tostring(snapshot, "unicode")
