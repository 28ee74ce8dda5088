"""Pools and volumes as several resources use them: look up, refresh, create, upload, delete."""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.etree import ElementTree as ET

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._failures import found, is_missing, name_taken
from pairlab.plugin.libvirt._values import element, text_of, to_xml
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import Context, Making

CHUNK_BYTES = 262_120
"""The largest piece that one message of libvirt's stream protocol carries; larger sends are split anew."""
BUSY_POLL_S = 0.1
ZEROS = bytes(CHUNK_BYTES)
OPEN_MODE, PRIVATE_MODE = "0644", "0600"
"""Permissions of a file that others may read, and of one that its owner alone may.

libvirt hands a disk to QEMU's account when a domain starts.
"""


@dataclass(frozen=True)
class VolumeSpec:
    """A volume to be made.

    Attributes:
        name: File name in the pool.
        capacity_bytes: Size that a guest sees.
        format: `qcow2` or `raw`.
        mode: Octal permissions, as text.
        base: Path and format of the volume that it is an overlay of.
    """

    name: str
    capacity_bytes: int
    format: str
    mode: str = OPEN_MODE
    base: tuple[str, str] | None = None

    def to_xml(self) -> str:
        """libvirt's description. Source: https://libvirt.org/formatstorage.html"""
        target = element(
            "target",
            None,
            element("format", type=self.format),
            element("permissions", None, element("mode", self.mode)),
        )
        backing = None
        if self.base is not None:
            path, base_format = self.base
            backing = element(
                "backingStore", None, element("path", path), element("format", type=base_format)
            )
        return to_xml(
            element(
                "volume",
                None,
                element("name", self.name),
                element("capacity", self.capacity_bytes, unit="B"),
                element("allocation", 0),
                target,
                backing,
            )
        )


@dataclass(frozen=True)
class Content:
    """What goes into a volume.

    Attributes:
        stream: Read from its start to its end.
        size_bytes: How much it holds.
        name: What it is, for messages.
    """

    stream: BinaryIO
    size_bytes: int
    name: str


def pool_named(client: Client, connection: Any, name: str) -> Any:
    """A pool, started if it is not active.

    Args:
        client: Holds the lock for its start.
        connection: The daemon.
        name: The pool's.

    Raises:
        PluginError: There is no such pool.
    """
    pool = found(connection.storagePoolLookupByName, name)
    if pool is None:
        raise PluginError(
            f"there is no storage pool {name!r}",
            hint=f"`virsh -c '{connection.getURI()}' pool-list --all` shows those there are",
        )
    _start(client, pool)
    return pool


def _start(client: Client, pool: Any) -> None:
    """Start a pool that is off: by one thread, as libvirt refuses a second start."""
    with client.lock(f"start of pool {pool.name()}"):
        if not pool.isActive():
            pool.create(0)


def refresh(pool: Any, context: Context) -> None:
    """Make libvirt look at the pool's directory again; waits while somebody else uploads into it."""
    import libvirt

    deadline = time.monotonic() + context.timeout_s
    while True:
        try:
            pool.refresh(0)
            return
        except libvirt.libvirtError as error:
            if "asynchronous jobs" not in str(error) or time.monotonic() > deadline:
                raise
        if context.cancelled.wait(BUSY_POLL_S):
            raise interrupted(f"refreshing pool {pool.name()!r}")


def interrupted(what: str) -> PluginError:
    """The error for a wait that the engine's interruption ended."""
    return PluginError(f"{what} was interrupted", hint="run it again")


def make_volume(
    client: Client, made: Making, pool_name: str, spec: VolumeSpec, content: Content | None, context: Context
) -> tuple[str, str]:
    """Make a volume and fill it.

    Args:
        client: The daemon.
        made: Gets the volume's key as soon as it is there.
        pool_name: The pool that gets it.
        spec: The volume.
        content: What is uploaded into it; None leaves it empty.
        context: Its cancellation stops an upload.

    Returns:
        Its key and its XML description.
    """
    # libvirt refuses to refresh a pool during an upload, so volumes of a pool are made one at a time.
    with client.lock(f"pool {pool_name}"), client.doing(f"creating volume {spec.name!r}") as connection:
        pool = pool_named(client, connection, pool_name)
        # A file that libvirt has not seen yet would be overwritten.
        refresh(pool, context)
        existing = found(pool.storageVolLookupByName, spec.name)
        if existing is not None:
            remedy = f"virsh -c '{client.uri}' vol-delete --pool {pool_name} {spec.name}"
            raise name_taken("volume", spec.name, f"{existing.path()} in pool {pool_name!r}", remedy)
        volume = pool.createXML(spec.to_xml(), 0)
        made.resource_id = volume.key()
        if content is not None:
            upload(connection, volume, content, context.cancelled)
            # The upload may have brought another format and size than the file was created with.
            refresh(pool, context)
        return made.resource_id, volume.XMLDesc(0)


def upload(connection: Any, volume: Any, content: Content, cancelled: threading.Event) -> None:
    """Copy content into a volume; runs of zeros travel as holes.

    Raises:
        PluginError: The content ended early, or the engine was interrupted.
    """
    import libvirt

    stream = connection.newStream(0)
    volume.upload(stream, 0, content.size_bytes, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    try:
        left = content.size_bytes
        while left and (chunk := content.stream.read(min(CHUNK_BYTES, left))):
            if cancelled.is_set():
                raise interrupted(f"uploading {content.name}")
            left -= len(chunk)
            if chunk == ZEROS[: len(chunk)]:
                stream.sendHole(len(chunk), 0)
            else:
                _send(stream, chunk)
        if left:
            raise PluginError(
                f"{content.name} ended {left} bytes early",
                hint="it was cut short or is still being written: try again",
            )
    except BaseException:
        stream.abort()
        raise
    stream.finish()


def _send(stream: Any, chunk: bytes) -> None:
    rest = chunk
    while rest:
        rest = rest[stream.send(rest) :]


def download(connection: Any, volume: Any, size_bytes: int) -> bytes:
    """The first bytes of a volume, in memory."""
    stream = connection.newStream(0)
    volume.download(stream, 0, size_bytes, 0)
    pieces: list[bytes] = []
    while piece := stream.recv(CHUNK_BYTES):
        pieces.append(piece)
    stream.finish()
    return b"".join(pieces)


def find_volume(client: Client, connection: Any, key: str, pool_name: str, context: Context) -> Any | None:
    """A volume by its key; its pool is started and refreshed if libvirt does not know it, or lost its file.

    Args:
        client: Holds the lock for the pool's start.
        connection: The daemon.
        key: The volume's key, which is its path.
        pool_name: The pool that it was made in; empty if that is not known.
        context: Bounds the wait for the pool.

    Returns:
        The volume; None if it, its file, or its pool is gone.
    """
    volume = _with_file(connection, key)
    if volume is not None or not pool_name:
        return volume
    pool = found(connection.storagePoolLookupByName, pool_name)
    if pool is None or not _started_and_fresh(client, pool, context):
        return None
    return _with_file(connection, key)


def _with_file(connection: Any, key: str) -> Any | None:
    """A volume whose file is there: the lookup alone tells what libvirt saw at the pool's last refresh."""
    import libvirt

    volume = found(connection.storageVolLookupByKey, key)
    if volume is None:
        return None
    try:
        volume.info()
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise
    return volume


def _is_gone(error: Any) -> bool:
    return is_missing(error) or error.get_int1() == errno.ENOENT


def _started_and_fresh(client: Client, pool: Any, context: Context) -> bool:
    import libvirt

    try:
        _start(client, pool)
        refresh(pool, context)
    except libvirt.libvirtError as error:
        if error.get_int1() == errno.ENOENT:
            return False
        raise
    return True


def delete_volume(client: Client, key: str, pool_name: str, context: Context) -> None:
    """Delete a volume; fine if it is gone already."""
    import libvirt

    with client.lock(f"pool {pool_name}"), client.doing(f"deleting volume {key}") as connection:
        volume = find_volume(client, connection, key, pool_name, context)
        if volume is None:
            return
        try:
            volume.delete(0)
        except libvirt.libvirtError as error:
            if not _is_gone(error):
                raise


def format_of(description: str) -> str:
    """The format in a volume's XML description; empty if it has none."""
    node = ET.fromstring(description).find("./target/format")
    return "" if node is None else node.get("type", "")


def capacity_of(description: str) -> int:
    """The capacity in a volume's XML description, in bytes."""
    return int(text_of(ET.fromstring(description), "capacity"))
