"""A cloud image by URL as the guest: fetched once, trusted by its digest, booted from its own disk."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import URLError

from pairlab.errors import ImageError
from pairlab.image.builder import compress, keep
from pairlab.image.record import DISK, ImageRecord
from pairlab.image.staging import staging
from pairlab.model import VmImage
from pairlab.progress import Progress
from pairlab.run import Runner

CHUNK_BYTES = 1 << 20
TELL_EVERY_S = 2.0
TIMEOUT_S = 60.0


def guest_folder(cache: Path, sha256: str) -> Path:
    """Where the guest image of a digest is kept."""
    return cache / "guest-vm" / sha256[:16]


def fetch_guest(url: str, sha256: str, *, cache: Path, runner: Runner, progress: Progress) -> ImageRecord:
    """Fetch a cloud image and keep it as qcow2.

    Args:
        url: `https://`, `http://` or `file://`.
        sha256: Digest that it must have, in hexadecimal.
        cache: The image cache, locked by the caller.
        runner: Runs qemu-img.
        progress: Told how far it is.

    Raises:
        ImageError: It cannot be fetched, has another digest, or is no disk image.
    """
    with staging(cache, runner) as place:
        fetched, result = place.own / "fetched", place.own / "result"
        result.mkdir()
        digest = _fetch(url, fetched, progress)
        if digest != sha256:
            raise ImageError(
                f"{url} has SHA-256 {digest}, not {sha256}",
                hint="it is damaged or another version: take the digest from its publisher "
                "for guestImageSha256",
            )
        progress("converting the guest image")
        compress(runner, fetched, result / DISK, what=f"converting {url}")
        record = ImageRecord.of(
            result, name="guest", form="vm", version=sha256[:12], recipe=sha256, packages={}
        )
        keep(result, guest_folder(cache, sha256))
    return record.placed(guest_folder(cache, sha256))


def _fetch(url: str, fetched: Path, progress: Progress) -> str:
    """Write what an address gives into a file; returns its SHA-256, in hexadecimal."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as source, fetched.open("wb") as target:
            return _copy(source, target, int(source.headers.get("Content-Length") or 0), progress)
    except (URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise ImageError(
            f"{url} cannot be fetched: {getattr(error, 'reason', error)}",
            hint="check guestImageUrl and this host's network, then run this again",
        ) from error


def _copy(source: BinaryIO, target: BinaryIO, total: int, progress: Progress) -> str:
    digest, done, told = hashlib.sha256(), 0, 0.0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        done += len(chunk)
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            progress(f"fetching the guest image: {done >> 20} of {total >> 20 or '?'} MiB")
    if done < total:
        raise ConnectionError(f"it ended after {done} of {total} bytes")
    return digest.hexdigest()


def guest_image(record: ImageRecord) -> VmImage:
    """A guest that owns its kernel: it has no kernel and no initial RAM file system beside its disk."""
    disk = record.folder / DISK
    return VmImage(record.version, disk, Path(), Path(), size_bytes=record.size_bytes)
