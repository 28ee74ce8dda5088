"""The container form of an image: a shared base layer and one of its own, in Docker's archive format.

Source: Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

CREATED = "2023-11-14T22:13:20Z"
"""Always the same: an image's time stamp says nothing here, its version does."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_own_layer(root: Path, base: Path, target: Path) -> None:
    """Write what a root file system has beyond its base, with whiteouts for what it lacks.

    Args:
        root: Tar file of the whole root file system.
        base: Tar file of the base.
        target: Layer to write.
    """
    with tarfile.open(base) as tar:
        before = {entry.name: _identity(tar, entry) for entry in tar}
    with tarfile.open(root) as tar, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as layer:
        seen: set[str] = set()
        for entry in tar:
            seen.add(entry.name)
            same = entry.name in before and before[entry.name] == _identity(tar, entry)
            if entry.isdev() or same:
                continue
            layer.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)
        gone = before.keys() - seen
        for name in sorted(gone):
            parent, _, leaf = name.rpartition("/")
            if parent not in gone:
                layer.addfile(_entry(f"{parent}/.wh.{leaf}", 0))


def write_tree(root: Path, folder: str, target: Path) -> None:
    """Pack one folder of a root file system; equal files give an equal archive.

    Args:
        root: Tar file of the whole root file system.
        folder: Such as `/opt/tools`; names in the archive begin below it.
        target: Compressed tar file to write.
    """
    prefix = f".{folder}/"
    with (
        tarfile.open(root) as tar,
        gzip.GzipFile(target, "wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tree,
    ):
        for entry in tar:
            if entry.name.startswith(prefix):
                content = tar.extractfile(entry) if entry.isreg() else None
                entry.name = entry.name.removeprefix(prefix)
                tree.addfile(entry, content)


def _identity(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple[Any, ...]:
    # By what it holds: times are clamped, so that a newer file may have its elder's size and time.
    # A hard link changes with the file that it names.
    digest = ""
    if entry.isreg() or entry.islnk():
        content = cast(io.BufferedReader, tar.extractfile(entry))
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    # A directory's own time changes with its entries; those are told apart by themselves.
    mtime = 0 if entry.isdir() else int(entry.mtime)
    return (entry.type, digest, entry.mode, entry.uid, entry.gid, entry.linkname, mtime)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def write_archive(
    target: Path, layers: list[Path], reference: str, config: Mapping[str, object], labels: Mapping[str, str]
) -> None:
    """Write an archive for `docker load`.

    Args:
        target: Archive to write.
        layers: Tar files, lowest first.
        reference: `name:tag` that the image gets.
        config: Run-time configuration: Entrypoint, Cmd, User, ExposedPorts …
        labels: The image's labels.
    """
    digests = [file_digest(layer) for layer in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {
            **config,
            "Labels": dict(labels),
            "Env": [f"PATH={PATH}"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": CREATED, "created_by": "pairlab"} for _ in layers],
    }
    blob = json.dumps(document, sort_keys=True).encode()
    name = f"{hashlib.sha256(blob).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": [f"{d}/layer.tar" for d in digests]}]
    with tarfile.open(target, "w") as tar:
        for layer, digest in zip(layers, digests, strict=True):
            tar.add(layer, arcname=f"{digest}/layer.tar")
        for path, content in ((name, blob), ("manifest.json", json.dumps(manifest).encode())):
            entry = _entry(path, len(content))
            tar.addfile(entry, io.BytesIO(content))


def layer_sizes(archive: Path) -> dict[str, int]:
    """Digest of each layer in an archive that `write_archive` wrote -> its bytes."""
    with tarfile.open(archive) as tar:
        return {
            entry.name.removesuffix("/layer.tar"): entry.size
            for entry in tar
            if entry.name.endswith("/layer.tar")
        }


def image_id(archive: Path) -> str:
    """The id of the image in an archive that `write_archive` wrote: the SHA-256 of its configuration."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        return str(json.load(manifest)[0]["Config"]).removesuffix(".json")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
