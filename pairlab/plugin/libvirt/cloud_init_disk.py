"""`libvirt:index/cloudInitDisk:CloudInitDisk`: a NoCloud seed, an ISO 9660 image labelled `cidata`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._iso import make_iso, read_iso
from pairlab.plugin.libvirt._storage import (
    PRIVATE_MODE,
    Content,
    VolumeSpec,
    delete_volume,
    download,
    find_volume,
    make_volume,
)
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.libvirt.volume import DEFAULT_POOL
from pairlab.plugin.resource import UNKNOWN, Context, Failure, Property, Resource, Values

LABEL = "cidata"
"""Source: cloud-init, doc/rtd/reference/datasources/nocloud.rst"""
FILES = {"user-data": "userData", "meta-data": "metaData", "network-config": "networkConfig"}
NAMESPACE = uuid.UUID("1f1b7a2c-0d0f-5b6e-9d83-2a4f3a1f6c55")


class Served(Resource[Client]):
    """A seed. Its id is its volume's key, a semicolon, and a UUID.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/cloudinit_def.go
    """

    token = "libvirt:index/cloudInitDisk:CloudInitDisk"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Property(str, required=True, replace=True),
        "pool": Property(str, default=DEFAULT_POOL, replace=True),
        "userData": Property(str, replace=True, secret=True),
        "metaData": Property(str, replace=True),
        "networkConfig": Property(str, replace=True),
    }
    delete_before_replace = True

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse names that leave the pool."""
        name = inputs.get("name")
        if name is not UNKNOWN and (not name or "/" in str(name) or name in (".", "..")):
            return [Failure("name", "a seed's name is a file name, without slashes")]
        return []

    @classmethod
    def differs(cls, name: str, old: Any, new: Any) -> bool:
        """An empty text is as good as none."""
        return (old or "") != (new or "")

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        image = seed_image(inputs)
        spec = VolumeSpec(inputs["name"], len(image), "raw", PRIVATE_MODE)  # it holds keys
        content = Content(BytesIO(image), len(image), "the seed")
        with self.making(inputs, context) as made:
            key, _ = make_volume(self.client, made, inputs["pool"], spec, content, context)
        return f"{key};{uuid.uuid5(NAMESPACE, image.hex())}", dict(inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`; a damaged seed is recorded as an empty one, so that it is replaced."""
        key = volume_key(resource_id)
        with self.client.doing(f"reading seed {key}") as connection:
            volume = find_volume(self.client, connection, key, state.get("pool", ""), context)
            if volume is None:
                return None
            pool = volume.storagePoolLookupByVolume().name()
            image = download(connection, volume, volume.info()[1])
            name = volume.name()
        try:
            texts = _texts(image)
        except ValueError as error:
            if not state:
                raise PluginError(
                    f"{key} holds no seed: {error}", hint="import another one, or let it be made anew"
                ) from error
            texts = {}
        # An empty file stands for a text that was not given, or given as empty.
        blank = {prop: "" for prop in FILES.values() if prop in state and prop not in texts}
        return {"name": name, "pool": pool, **texts, **blank}

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing of a seed changes in place: only what means the same is recorded anew."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`."""
        delete_volume(self.client, volume_key(resource_id), state.get("pool", ""), context)


def seed_image(inputs: Values) -> bytes:
    """The image's bytes; the same for the same texts."""
    return make_iso(LABEL, {file: str(inputs.get(prop) or "").encode() for file, prop in FILES.items()})


def _texts(image: bytes) -> Values:
    """The texts in an image that are not empty.

    Raises:
        ValueError: It is damaged, or one of them is not UTF-8.
    """
    files = read_iso(image)
    return {prop: files[file].decode() for file, prop in FILES.items() if files.get(file)}


def volume_key(resource_id: str) -> str:
    """The volume's key in a seed's id."""
    return resource_id.partition(";")[0]
