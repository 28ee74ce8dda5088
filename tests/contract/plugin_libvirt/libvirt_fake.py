"""A libvirt daemon in memory: what the plugin asks of a connection, with libvirt's own error codes."""

from __future__ import annotations

import copy
import errno
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt


def refusal(code: int, words: str, number: int = 0) -> libvirt.libvirtError:
    libvirt.virResetLastError()  # else the message is that of the thread's last error
    error = libvirt.libvirtError(words)
    error.err = (code, 0, words, 2, "", "", "", number, 0)
    return error


def name_in(root: ET.Element) -> str:
    return (root.findtext("name") or "").strip()


class Named:
    """Something with a name and a UUID, kept in a table of the connection."""

    def __init__(self, root: ET.Element, table: dict[str, Any]) -> None:
        self.root, self.table = root, table
        self.identity = root.findtext("uuid") or str(uuid.uuid4())
        self.active = False
        # Defining anew what is there keeps what is not part of the description.
        known = table.get(self.identity)
        self.starts_itself: int = known.starts_itself if known else 0
        table[self.identity] = self

    def UUIDString(self) -> str:  # noqa: N802
        return self.identity

    def name(self) -> str:
        return name_in(self.root)

    def isActive(self) -> int:  # noqa: N802
        return int(self.active)

    def autostart(self) -> int:
        return self.starts_itself

    def setAutostart(self, value: int) -> None:  # noqa: N802
        self.starts_itself = value

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        return ET.tostring(self.root, encoding="unicode")

    def undefine(self) -> None:
        del self.table[self.identity]


class FakeNetwork(Named):
    def create(self) -> None:
        self.active = True
        bridge = self.root.find("bridge")
        if bridge is not None and not bridge.get("name"):
            bridge.set("name", "virbr9")

    def destroy(self) -> None:
        self.active = False

    def update(self, command: int, section: int, index: int, xml: str, flags: int = 0) -> None:
        node = ET.fromstring(xml)
        if section == libvirt.VIR_NETWORK_SECTION_DNS_HOST:
            parent = self.root.find("dns")
        else:
            ip = self.root.findall("ip")[index]
            parent = ip.find("dhcp")
            parent = ET.SubElement(ip, "dhcp") if parent is None else parent
        assert parent is not None
        key = "mac" if node.get("mac") else "ip"
        if command != libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST:
            [held] = [one for one in parent.findall("host") if one.get(key) == node.get(key)]
            parent.remove(held)
        if command != libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE:
            parent.append(node)


class FakeStream:
    def __init__(self) -> None:
        self.path = Path()
        self.data = b""

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def sendHole(self, length: int, flags: int = 0) -> None:  # noqa: N802
        self.data += bytes(length)

    def recv(self, length: int) -> bytes:
        piece, self.data = self.data[:length], self.data[length:]
        return piece

    def finish(self) -> None:
        if self.path.name:
            self.path.write_bytes(self.data)

    def abort(self) -> None:
        self.path = Path()


class FakeVolume:
    def __init__(self, pool: FakePool, root: ET.Element) -> None:
        self.pool, self.root = pool, root
        self.file = pool.directory / name_in(root)

    def name(self) -> str:
        return self.file.name

    def path(self) -> str:
        return str(self.file)

    key = path

    def _look(self) -> int:
        """Size of the file, as libvirt looks at it whenever it tells of a volume that it knows."""
        if not self.file.exists():
            raise refusal(libvirt.VIR_ERR_NO_STORAGE_VOL, f"no storage vol with matching path '{self.file}'")
        return self.file.stat().st_size

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        self._look()
        return ET.tostring(self.root, encoding="unicode")

    def info(self) -> list[int]:
        size = self._look()
        return [0, size, size]

    def storagePoolLookupByVolume(self) -> FakePool:  # noqa: N802
        return self.pool

    def upload(self, stream: FakeStream, offset: int, length: int, flags: int = 0) -> None:
        stream.path = self.file

    def download(self, stream: FakeStream, offset: int, length: int, flags: int = 0) -> None:
        if not self.file.exists():
            raise refusal(libvirt.VIR_ERR_SYSTEM_ERROR, "Unable to open file", errno.ENOENT)
        stream.data = self.file.read_bytes()[:length]

    def delete(self, flags: int = 0) -> None:
        self.file.unlink(missing_ok=True)
        self.pool.volumes.pop(self.name(), None)


class FakePool(Named):
    def __init__(self, root: ET.Element, table: dict[str, Any]) -> None:
        super().__init__(root, table)
        self.directory = Path((root.findtext("./target/path") or "").rstrip("/"))
        self.volumes: dict[str, FakeVolume] = {}

    def build(self, flags: int = 0) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refusal(
                libvirt.VIR_ERR_SYSTEM_ERROR, f"cannot create path: {error}", error.errno or 0
            ) from error

    def create(self, flags: int = 0) -> None:
        if self.active:
            raise refusal(libvirt.VIR_ERR_OPERATION_INVALID, f"pool '{self.name()}' is already active")
        self.refresh(0)
        self.active = True

    def destroy(self) -> None:
        self.active = False

    def delete(self, flags: int = 0) -> None:
        try:
            self.directory.rmdir()
        except OSError as error:
            raise refusal(
                libvirt.VIR_ERR_SYSTEM_ERROR, f"failed to remove pool: {error}", error.errno or 0
            ) from error

    def info(self) -> list[int]:
        return [2, 1000, 400, 600]

    def refresh(self, flags: int = 0) -> None:
        fresh: dict[str, FakeVolume] = {}
        for file in sorted(self.directory.iterdir()):
            volume = self.volumes.get(file.name) or FakeVolume(self, described(file))
            content = file.read_bytes()
            if content[:4] == b"QFI\xfb":
                format_node = volume.root.find("./target/format")
                assert format_node is not None
                format_node.set("type", "qcow2")
                size_node = volume.root.find("capacity")
                assert size_node is not None
                size_node.text = str(int.from_bytes(content[24:32], "big"))
            fresh[file.name] = volume
        self.volumes = fresh

    def storageVolLookupByName(self, name: str) -> FakeVolume:  # noqa: N802
        if name not in self.volumes:
            raise refusal(libvirt.VIR_ERR_NO_STORAGE_VOL, f"Storage volume not found: {name}")
        return self.volumes[name]

    def createXML(self, xml: str, flags: int = 0) -> FakeVolume:  # noqa: N802
        volume = FakeVolume(self, ET.fromstring(xml))
        volume.file.touch()
        volume.file.chmod(int(volume.root.findtext("./target/permissions/mode", "0600"), 8))
        self.volumes[volume.name()] = volume
        return volume


def described(file: Path) -> ET.Element:
    return ET.fromstring(
        f"<volume><name>{file.name}</name><capacity>{file.stat().st_size}</capacity>"
        "<target><format type='raw'/></target></volume>"
    )


class FakeDomain(Named):
    paused = False
    saved = snapshots = 0

    def __init__(self, root: ET.Element, table: dict[str, Any], networks: dict[str, Any]) -> None:
        super().__init__(root, table)
        self.networks = networks
        self.running_root = root
        os_type = root.find("./os/type")
        assert os_type is not None
        for attribute, value in (("arch", "x86_64"), ("machine", "pc")):
            if not os_type.get(attribute):
                os_type.set(attribute, value)
        canonical = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}
        os_type.set("machine", canonical.get(os_type.get("machine", ""), os_type.get("machine", "")))
        memory = root.find("memory")
        assert memory is not None
        memory.text, memory.attrib = str(int(memory.text or 0) * 1024), {"unit": "KiB"}
        devices = root.find("devices")
        assert devices is not None
        if devices.find("emulator") is None:
            ET.SubElement(devices, "emulator").text = "/usr/bin/qemu-system-x86_64"

    def create(self) -> None:
        for source in self.root.findall("./devices/disk/source"):
            path = source.get("file")
            if path is not None and not Path(path).exists():
                raise refusal(libvirt.VIR_ERR_SYSTEM_ERROR, f"Cannot access storage file '{path}'")
        self.running_root = copy.deepcopy(self.root)
        for source in self.running_root.findall("./devices/interface[@type='network']/source"):
            network = FakeLibvirt.by_name(
                self.networks, source.get("network", ""), libvirt.VIR_ERR_NO_NETWORK
            )
            if not network.active:
                words = f"network '{network.name()}' is not active"
                raise refusal(libvirt.VIR_ERR_OPERATION_INVALID, words)
            bridge = network.root.find("bridge")
            source.set("bridge", "" if bridge is None else bridge.get("name", ""))
        self.active = True
        self.saved = 0

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        live = self.active and not flags & libvirt.VIR_DOMAIN_XML_INACTIVE
        return ET.tostring(self.running_root if live else self.root, encoding="unicode")

    def destroy(self) -> None:
        if not self.active:
            raise refusal(libvirt.VIR_ERR_OPERATION_INVALID, "domain is not running")
        self.active = False

    def resume(self) -> None:
        self.paused = False

    def suspend(self) -> None:
        self.paused = True

    def state(self) -> list[int]:
        running = libvirt.VIR_DOMAIN_PAUSED if self.paused else libvirt.VIR_DOMAIN_RUNNING
        return [running if self.active else libvirt.VIR_DOMAIN_SHUTOFF, 0]

    def managedSave(self, flags: int = 0) -> None:  # noqa: N802
        self.active, self.saved = False, 1

    def hasManagedSaveImage(self, flags: int = 0) -> int:  # noqa: N802
        return self.saved

    def snapshotCreateXML(self, xml: str, flags: int = 0) -> None:  # noqa: N802
        self.snapshots += 1

    def snapshotNum(self, flags: int = 0) -> int:  # noqa: N802
        return self.snapshots

    def undefine(self) -> None:
        self.undefineFlags(0)

    def undefineFlags(self, flags: int) -> None:  # noqa: N802
        for kept, taken in (
            (self.saved, libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
            (self.snapshots, libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA),
        ):
            if kept and not flags & taken:
                raise refusal(libvirt.VIR_ERR_OPERATION_INVALID, "cannot delete: it has more than itself")
        super().undefine()

    def setMetadata(self, kind: int, xml: str | None, key: str | None, uri: str, flags: int) -> None:  # noqa: N802
        holder = self.root.find("metadata")
        holder = ET.SubElement(self.root, "metadata") if holder is None else holder
        for node in list(holder):
            if node.tag.startswith(f"{{{uri}}}"):
                holder.remove(node)
        if xml is not None:
            holder.append(ET.fromstring(xml))

    def interfaceAddresses(self, source: int, flags: int = 0) -> dict[str, Any]:  # noqa: N802
        return {}


class FakeLibvirt:
    """A connection."""

    def __init__(self) -> None:
        self.networks: dict[str, Any] = {}
        self.pools: dict[str, Any] = {}
        self.domains: dict[str, Any] = {}
        self.alive = True

    def getLibVersion(self) -> int:  # noqa: N802
        if not self.alive:
            raise refusal(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed")
        return 9_000_000

    def newStream(self, flags: int = 0) -> FakeStream:  # noqa: N802
        return FakeStream()

    def networkDefineXML(self, xml: str) -> FakeNetwork:  # noqa: N802
        return FakeNetwork(ET.fromstring(xml), self.networks)

    def storagePoolDefineXML(self, xml: str, flags: int = 0) -> FakePool:  # noqa: N802
        return FakePool(ET.fromstring(xml), self.pools)

    def defineXML(self, xml: str) -> FakeDomain:  # noqa: N802
        return FakeDomain(ET.fromstring(xml), self.domains, self.networks)

    def getURI(self) -> str:  # noqa: N802
        return "qemu:///system"

    def networkLookupByName(self, name: str) -> Any:  # noqa: N802
        return self.by_name(self.networks, name, libvirt.VIR_ERR_NO_NETWORK)

    def networkLookupByUUIDString(self, identity: str) -> Any:  # noqa: N802
        return self._by_identity(self.networks, identity, libvirt.VIR_ERR_NO_NETWORK)

    def storagePoolLookupByName(self, name: str) -> Any:  # noqa: N802
        return self.by_name(self.pools, name, libvirt.VIR_ERR_NO_STORAGE_POOL)

    def storagePoolLookupByUUIDString(self, identity: str) -> Any:  # noqa: N802
        return self._by_identity(self.pools, identity, libvirt.VIR_ERR_NO_STORAGE_POOL)

    def lookupByName(self, name: str) -> Any:  # noqa: N802
        return self.by_name(self.domains, name, libvirt.VIR_ERR_NO_DOMAIN)

    def lookupByUUIDString(self, identity: str) -> Any:  # noqa: N802
        return self._by_identity(self.domains, identity, libvirt.VIR_ERR_NO_DOMAIN)

    def storageVolLookupByKey(self, key: str) -> FakeVolume:  # noqa: N802
        for pool in self.pools.values():
            for volume in pool.volumes.values() if pool.active else ():
                if volume.key() == key:
                    return volume
        raise refusal(libvirt.VIR_ERR_NO_STORAGE_VOL, f"no storage vol with matching key {key}")

    @staticmethod
    def by_name(table: dict[str, Any], name: str, code: int) -> Any:
        for one in table.values():
            if one.name() == name:
                return one
        raise refusal(code, f"not found: {name}")

    @staticmethod
    def _by_identity(table: dict[str, Any], identity: str, code: int) -> Any:
        if identity not in table:
            raise refusal(code, f"not found: {identity}")
        return table[identity]
