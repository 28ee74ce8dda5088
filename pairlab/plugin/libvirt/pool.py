"""`libvirt:index/pool:Pool`: a directory of libvirt's machine that holds volumes."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._failures import found, is_missing, name_taken
from pairlab.plugin.libvirt._values import element, settle, text_of, to_xml
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import UNKNOWN, Context, Failure, Property, Resource, Values

GAUGES = ("capacity", "allocation", "available")
"""Bytes of the file system when the pool was made: newer ones would be drift at every refresh."""


class Served(Resource[Client]):
    """A pool of type `dir`. Its id is its UUID.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/resource_libvirt_pool.go
    """

    token = "libvirt:index/pool:Pool"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Property(str, required=True, replace=True),
        "type": Property(str, required=True, replace=True, choices=("dir",)),
        "path": Property(str, replace=True),
        "target": Property(dict, replace=True, fields={"path": Property(str, required=True, replace=True)}),
    }
    outputs = GAUGES
    stable = GAUGES
    delete_before_replace = True

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """One absolute directory, by the one property or the other."""
        target = inputs.get("target")
        path = inputs.get("path")
        if (target is None) == (path is None):
            return [Failure("target", "give target.path (path, its older form, cannot stand beside it)")]
        path = target.get("path") if isinstance(target, dict) else path
        if isinstance(path, str) and (not path.startswith("/") or ".." in path.split("/")):
            return [Failure("target", "is not an absolute path", path)]
        name = inputs.get("name")
        if name is not UNKNOWN and (not name or "/" in str(name)):
            return [Failure("name", "a pool's name has no slashes")]
        return []

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """libvirt drops a path's last slash."""
        return bool(_plain(old) != _plain(new))

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        name, path = inputs["name"], directory_of(inputs)
        with (
            self.making(inputs, context) as made,
            self.client.lock("pools"),
            self.client.doing(f"creating pool {name!r} in {path}") as connection,
        ):
            existing = found(connection.storagePoolLookupByName, name)
            if existing is not None:
                holder = f"a pool (UUID {existing.UUIDString()})"
                remedy = f"virsh -c '{self.client.uri}' pool-destroy {name}; virsh … pool-undefine {name}"
                raise name_taken("pool", name, holder, remedy)
            pool = connection.storagePoolDefineXML(pool_xml(name, path), 0)
            made.resource_id = pool.UUIDString()
            pool.build(0)
            pool.setAutostart(1)
            pool.create(0)
            return made.resource_id, {**inputs, **_gauges(pool)}

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading pool {resource_id}") as connection:
            pool = found(connection.storagePoolLookupByUUIDString, resource_id)
            if pool is None:
                return None
            root = ET.fromstring(pool.XMLDesc(0))
            place = text_of(root, "./target/path")
            now: Values = {"name": pool.name(), "type": root.get("type", "")}
            now |= {"path": place} if "path" in state else {"target": {"path": place}}
            return {**_gauges(pool), **settle(Served, state, now)}

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing of a pool changes in place: only what means the same is recorded anew."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """Remove the pool, and its directory if nothing is left in it."""
        import libvirt

        with self.client.lock("pools"), self.client.doing(f"deleting pool {resource_id}") as connection:
            pool = found(connection.storagePoolLookupByUUIDString, resource_id)
            if pool is None:
                return
            try:
                if pool.isActive():
                    pool.destroy()
                _remove_directory(pool)
                pool.undefine()
            except libvirt.libvirtError as error:
                if not is_missing(error):
                    raise


def _remove_directory(pool: Any) -> None:
    """libvirt removes an empty directory only, so files that somebody put there survive, and so does it."""
    import libvirt

    try:
        pool.delete(0)
    except libvirt.libvirtError as error:
        if error.get_int1() not in (errno.ENOTEMPTY, errno.ENOENT, errno.ENOTDIR, errno.EBUSY, errno.EROFS):
            raise


def pool_xml(name: str, path: str) -> str:
    """libvirt's description. Source: https://libvirt.org/formatstorage.html"""
    target = element("target", None, element("path", path))
    return to_xml(element("pool", None, element("name", name), target, type="dir"))


def directory_of(inputs: Values) -> str:
    """The directory that the inputs name."""
    return str(inputs["target"]["path"] if inputs.get("target") else inputs["path"])


def _gauges(pool: Any) -> Values:
    _, capacity, allocation, available = pool.info()
    return dict(zip(GAUGES, (capacity, allocation, available), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return (value.rstrip("/") or value) if isinstance(value, str) else value
