"""`libvirt:index/domain:Domain`: a virtual machine."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._domain_network import (
    found_hardware,
    hardware,
    interface_elements,
    leased,
    read_interfaces,
    release,
    reserve,
    start_networks,
    wait_for_leases,
    with_macs,
)
from pairlab.plugin.libvirt._domain_properties import PROPERTIES, same, validate
from pairlab.plugin.libvirt._domain_read import read_domain
from pairlab.plugin.libvirt._domain_update import (
    change_metadata,
    is_running,
    run,
    scope,
    stop,
)
from pairlab.plugin.libvirt._domain_xml import (
    VolumeDisk,
    cloud_init_element,
    disk_element,
    domain_xml,
)
from pairlab.plugin.libvirt._domain_xslt import transformed
from pairlab.plugin.libvirt._failures import found, is_missing, name_taken
from pairlab.plugin.libvirt._storage import format_of
from pairlab.plugin.libvirt._values import settle, to_xml
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import Context, Failure, PartialError, Resource, Values

GONE_POLL_S = 0.05
STATES = ("nostate", "running", "blocked", "paused", "shutting down", "shut off", "crashed", "suspended")


class Served(Resource[Client]):
    """A domain. Its id is its UUID.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/resource_libvirt_domain.go
    """

    token = "libvirt:index/domain:Domain"
    properties = PROPERTIES
    outputs = ("arch", "cpu", "emulator", "machine", "networkInterfaces")
    stable = ("arch", "emulator", "machine")
    delete_before_replace = True

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """See `Resource.validate`."""
        return validate(inputs)

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """Hardware addresses, kernel parameters and XML are compared by what they mean."""
        if name == "cloudinit" and isinstance(old, str) and ";" not in old:
            # An imported domain tells the seed's volume, not the rest of its id.
            return old != str(new).partition(";")[0]
        return not same(name, old, new)

    @classmethod
    def inputs_of(cls, outputs: Values) -> Values:
        """An import need not say that a domain does not start by itself."""
        inputs = super().inputs_of(outputs)
        return {name: value for name, value in inputs.items() if name != "autostart" or value}

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        name = inputs["name"]
        declared = {**inputs, "networkInterfaces": with_macs(inputs.get("networkInterfaces") or [])}
        with (
            self.making(declared, context) as made,
            self.client.doing(f"creating domain {name!r}") as connection,
        ):
            self._refuse_taken(connection, name)
            disks = _disk_elements(connection, inputs)
            interfaces = interface_elements(connection, declared["networkInterfaces"])
            domain = connection.defineXML(_described(inputs, disks, interfaces))
            made.resource_id = domain.UUIDString()
            reserve(self.client, connection, declared["networkInterfaces"], name)
            if inputs.get("autostart"):
                domain.setAutostart(1)
            if inputs["running"]:
                start_networks(self.client, connection, declared["networkInterfaces"])
                domain.create()
            problem = wait_for_leases(domain, declared, context) if inputs["running"] else ""
            outputs = self._recorded(connection, domain, declared)
            if problem:
                raise PartialError(
                    f"domain {name!r} runs, but {problem}",
                    hint="see its console: does the guest boot and ask for an address? has its network DHCP?",
                    resource_id=made.resource_id,
                    outputs=outputs,
                )
            return made.resource_id, outputs

    def _refuse_taken(self, connection: Any, name: str) -> None:
        existing = found(connection.lookupByName, name)
        if existing is not None:
            holder = f"a domain (UUID {existing.UUIDString()}, {STATES[existing.state()[0]]})"
            remedy = (
                f"virsh -c '{self.client.uri}' undefine --nvram --managed-save --snapshots-metadata {name}"
            )
            raise name_taken("domain", name, holder, remedy)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading domain {resource_id}") as connection:
            domain = found(connection.lookupByUUIDString, resource_id)
            return None if domain is None else self._recorded(connection, domain, state)

    def _recorded(self, connection: Any, domain: Any, recorded: Values) -> Values:
        import libvirt

        def volume_key(pool: str, name: str) -> str | None:
            holder = found(connection.storagePoolLookupByName, pool)
            volume = None if holder is None else found(holder.storageVolLookupByName, name)
            return None if volume is None else str(volume.key())

        description = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        now = read_domain(description, recorded, volume_key)
        now["networkInterfaces"] = read_interfaces(
            connection, description, recorded.get("networkInterfaces") or []
        )
        now["autostart"] = bool(domain.autostart())
        now["running"] = is_running(domain)
        outputs = settle(Served, recorded, now)
        if now["running"] and any(one.get("waitForLease") for one in outputs["networkInterfaces"]):
            addresses = leased(domain, bool(outputs.get("qemuAgent")))
            for one in outputs["networkInterfaces"]:
                one["addresses"] = addresses.get(one["mac"].upper()) or one.get("addresses") or []
        return outputs

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Change its seed, metadata, autostart, reserved addresses, and whether it runs.

        For other network interfaces, or another network by the same name, it is defined anew under its UUID
        and restarted; the official plugin records such a change and leaves the domain as it was.
        """
        import libvirt

        with self.client.doing(f"updating domain {inputs['name']!r}") as connection:
            domain = connection.lookupByUUIDString(resource_id)
            if inputs.get("cloudinit") and inputs["cloudinit"] != state.get("cloudinit"):
                drive = to_xml(cloud_init_element(_seed_path(connection, inputs["cloudinit"])))
                domain.updateDeviceFlags(drive, scope(domain))
            if not same("metadata", state.get("metadata"), inputs.get("metadata")):
                change_metadata(domain, state.get("metadata") or "", inputs.get("metadata") or "")
            domain.setAutostart(int(bool(inputs.get("autostart"))))
            interfaces = _with_known_macs(inputs, state)
            description = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            there = read_interfaces(connection, description, state.get("networkInterfaces") or [])
            if hardware(connection, interfaces) != found_hardware(there):
                elements = interface_elements(connection, interfaces)
                described = _described(inputs, _disk_elements(connection, inputs), elements, resource_id)
                # Not before all that it needs was found.
                stop(domain)
                domain = connection.defineXML(described)
            release(self.client, connection, state.get("networkInterfaces") or [])
            reserve(self.client, connection, interfaces, inputs["name"])
            if inputs["running"]:
                start_networks(self.client, connection, interfaces)
            run(domain, inputs["running"])
            return self._recorded(connection, domain, {**inputs, "networkInterfaces": interfaces})

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`."""
        with self.client.doing(f"deleting domain {state.get('name') or resource_id!r}") as connection:
            domain = found(connection.lookupByUUIDString, resource_id)
            interfaces = state.get("networkInterfaces") or []
            if domain is None:
                release(self.client, connection, interfaces)
                return
            self._remove(connection, domain, interfaces, context)

    def _remove(self, connection: Any, domain: Any, interfaces: list[Values], context: Context) -> None:
        import libvirt

        identity = domain.UUIDString()
        everything = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
        try:
            stop(domain)
            domain.undefineFlags(everything)
        except libvirt.libvirtError as error:
            if not is_missing(error):
                raise
        release(self.client, connection, interfaces)
        deadline = time.monotonic() + context.timeout_s
        while found(connection.lookupByUUIDString, identity) is not None:
            if time.monotonic() > deadline:
                raise PluginError(
                    f"domain {identity} is still there", hint="see libvirt's log, and run it again"
                )
            context.cancelled.wait(GONE_POLL_S)


def _described(
    inputs: Values, disks: list[ET.Element], interfaces: list[ET.Element], identity: str | None = None
) -> str:
    """Its XML, as its stylesheet wants it if it has one; for the arguments see `domain_xml`."""
    description = domain_xml(inputs, disks, interfaces, identity)
    stylesheet = (inputs.get("xml") or {}).get("xslt")
    return transformed(description, stylesheet) if stylesheet else description


def _with_known_macs(inputs: Values, state: Values) -> list[Values]:
    known = state.get("networkInterfaces") or []
    declared = inputs.get("networkInterfaces") or []
    given = [{"mac": known[at].get("mac")} if at < len(known) else {} for at in range(len(declared))]
    return with_macs([{**have, **one} for have, one in zip(given, declared, strict=True)])


def _disk_elements(connection: Any, inputs: Values) -> list[ET.Element]:
    elements: list[ET.Element] = []
    isos = 0
    for position, disk in enumerate(inputs.get("disks") or ()):
        elements.append(disk_element(position, isos, disk, _volume_disk(connection, disk)))
        isos += elements[-1].get("device") == "cdrom"
    if inputs.get("cloudinit"):
        elements.append(cloud_init_element(_seed_path(connection, inputs["cloudinit"])))
    return elements


def _volume_disk(connection: Any, disk: Values) -> VolumeDisk | None:
    if not disk.get("volumeId"):
        return None
    volume = _volume(connection, disk["volumeId"])
    pool = volume.storagePoolLookupByVolume().name()
    return VolumeDisk(pool, volume.name(), format_of(volume.XMLDesc(0)) or "raw")


def _seed_path(connection: Any, seed_id: str) -> str:
    return str(_volume(connection, seed_id.partition(";")[0]).path())


def _volume(connection: Any, key: str) -> Any:
    volume = found(connection.storageVolLookupByKey, key)
    if volume is None:
        raise PluginError(f"there is no volume {key!r}", hint="make it first, or correct the id")
    return volume
