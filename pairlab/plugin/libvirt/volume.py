"""`libvirt:index/volume:Volume`: a disk image in a pool, empty, an overlay, or filled from a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._failures import found
from pairlab.plugin.libvirt._source import open_source
from pairlab.plugin.libvirt._storage import (
    PRIVATE_MODE,
    VolumeSpec,
    capacity_of,
    delete_volume,
    find_volume,
    format_of,
    make_volume,
    pool_named,
)
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import UNKNOWN, Context, Failure, Making, Property, Resource, Values

DEFAULT_POOL = "default"


class Served(Resource[Client]):
    """A volume. Its id is its key, which is its path.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/resource_libvirt_volume.go
    """

    token = "libvirt:index/volume:Volume"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Property(str, required=True, replace=True),
        "pool": Property(str, default=DEFAULT_POOL, replace=True),
        "source": Property(str, replace=True),
        "size": Property(int, replace=True, computed=True),
        "format": Property(str, replace=True, computed=True, choices=("qcow2", "raw")),
        "baseVolumeId": Property(str, replace=True),
        "baseVolumeName": Property(str, replace=True),
        "baseVolumePool": Property(str, replace=True),
    }
    outputs = ("size", "format")
    delete_before_replace = True

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse names that leave the pool, and properties that exclude one another."""
        failures = []
        name = inputs.get("name")
        if name is not UNKNOWN and (not name or "/" in str(name) or name in (".", "..")):
            failures.append(Failure("name", "a volume's name is a file name, without slashes"))
        if inputs.get("source") is not None:
            for other in ("size", "baseVolumeId", "baseVolumeName"):
                if inputs.get(other) is not None:
                    failures.append(Failure(other, "cannot be given together with source, which decides it"))
        if inputs.get("baseVolumeId") is not None and inputs.get("baseVolumeName") is not None:
            failures.append(Failure("baseVolumeName", "give baseVolumeId or baseVolumeName, not both"))
        if inputs.get("baseVolumePool") is not None and inputs.get("baseVolumeName") is None:
            failures.append(Failure("baseVolumePool", "goes together with baseVolumeName"))
        return failures

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        with self.making(inputs, context) as made:
            if inputs.get("source") is not None:
                key, description = self._create_from_source(made, inputs, context)
            else:
                spec = self._empty_or_overlay(inputs)
                key, description = make_volume(self.client, made, inputs["pool"], spec, None, context)
        return key, {**inputs, **_facts(description)}

    def _create_from_source(self, made: Making, inputs: Values, context: Context) -> tuple[str, str]:
        with open_source(inputs["source"]) as source:
            declared, actual = inputs.get("format"), "qcow2" if source.qcow2 else "raw"
            if declared not in (None, actual):
                raise PluginError(
                    f"source {inputs['source']} is a {actual} image, but format is {declared!r}",
                    hint="leave format out, or convert the image with qemu-img",
                )
            # Created as a plain file: what is uploaded brings its own qcow2 header.
            spec = VolumeSpec(inputs["name"], source.content.size_bytes, "raw")
            return make_volume(self.client, made, inputs["pool"], spec, source.content, context)

    def _empty_or_overlay(self, inputs: Values) -> VolumeSpec:
        size = inputs.get("size")
        base = None
        if inputs.get("baseVolumeId") is not None or inputs.get("baseVolumeName") is not None:
            path, description = self._base_volume(inputs)
            smallest = capacity_of(description)
            if size is not None and size < smallest:
                raise PluginError(
                    f"size {size} of volume {inputs['name']!r} is less than its base's {smallest} bytes",
                    hint="leave size out, or make it at least as large",
                )
            size = size if size is not None else smallest
            base = (path, format_of(description) or "raw")
        # Official: a volume without size, source and base is one byte large; and its mode is 0644. But what a
        # guest writes to it, such as the secrets that its seed brought, is for nobody else to read.
        capacity = 1 if size is None else size
        return VolumeSpec(inputs["name"], capacity, inputs.get("format") or "qcow2", PRIVATE_MODE, base)

    def _base_volume(self, inputs: Values) -> tuple[str, str]:
        with self.client.doing("looking up the base volume") as connection:
            wanted = inputs.get("baseVolumeId") or inputs["baseVolumeName"]
            if inputs.get("baseVolumeId") is not None:
                volume: Any = found(connection.storageVolLookupByKey, wanted)
            else:
                pool = pool_named(self.client, connection, inputs.get("baseVolumePool") or inputs["pool"])
                volume = found(pool.storageVolLookupByName, wanted)
            if volume is None:
                raise PluginError(
                    f"there is no base volume {wanted!r}", hint="make it first, or correct the name"
                )
            return volume.path(), volume.XMLDesc(0)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading volume {resource_id}") as connection:
            volume = find_volume(self.client, connection, resource_id, state.get("pool", ""), context)
            if volume is None:
                return None
            pool = volume.storagePoolLookupByVolume().name()
            found_now = {"name": volume.name(), "pool": pool, **_facts(volume.XMLDesc(0))}
            if not state:
                found_now |= _base_of(volume.XMLDesc(0))
        return {**state, **found_now}

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing of a volume changes in place: only what means the same is recorded anew."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`."""
        delete_volume(self.client, resource_id, state.get("pool", ""), context)


def _facts(description: str) -> Values:
    return {"size": capacity_of(description), "format": format_of(description)}


def _base_of(description: str) -> Values:
    path = ET.fromstring(description).findtext("./backingStore/path")
    return {"baseVolumeId": path} if path else {}
