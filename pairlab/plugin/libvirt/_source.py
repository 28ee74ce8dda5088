"""Where a volume's content comes from: a local file, or a file://, http:// or https:// URL."""

from __future__ import annotations

import os
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO, cast

from pairlab.errors import PluginError
from pairlab.plugin.libvirt._storage import CHUNK_BYTES, Content

QCOW2_MAGICS = (b"QFI\xfb\0\0\0\2", b"QFI\xfb\0\0\0\3")
"""Magic and version. Source: QEMU, docs/interop/qcow2.txt"""
MAGIC_BYTES = 8
TIMEOUT_S = 60


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        content: Its bytes.
        qcow2: Whether it is a qcow2 image.
    """

    content: Content
    qcow2: bool


@contextmanager
def open_source(source: str) -> Iterator[Source]:
    """Open a source for reading.

    Args:
        source: A path, or a URL.

    Raises:
        PluginError: It cannot be opened, or does not say how long it is.
    """
    address = urllib.parse.urlsplit(source)
    if address.scheme in ("http", "https"):
        opened, size = _open_url(source)
    elif address.scheme == "file":
        opened, size = _open_file(urllib.parse.unquote(address.path))
    elif not address.scheme:
        opened, size = _open_file(source)
    else:
        raise PluginError(
            f"source {source!r} has the unknown scheme {address.scheme!r}",
            hint="give a path, or a file://, http:// or https:// URL",
        )
    with opened:
        reader = BufferedReader(cast(Any, opened), CHUNK_BYTES)
        head = reader.peek(MAGIC_BYTES)[:MAGIC_BYTES]
        yield Source(Content(reader, size, source), head in QCOW2_MAGICS)


def _open_file(path: str) -> tuple[BinaryIO, int]:
    try:
        opened = open(path, "rb", buffering=0)  # noqa: SIM115 -- the caller closes it
    except OSError as error:
        raise PluginError(
            f"source {path!r} cannot be read: {error.strerror}", hint="give the path of a readable file"
        ) from error
    status = os.fstat(opened.fileno())
    if not stat.S_ISREG(status.st_mode):
        opened.close()
        raise PluginError(f"source {path!r} is not a regular file", hint="give the path of a readable file")
    return cast(BinaryIO, opened), status.st_size


def _open_url(url: str) -> tuple[BinaryIO, int]:
    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT_S)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise PluginError(f"source {url} cannot be fetched: {reason}", hint="check the address") from error
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit():
        answer.close()
        raise PluginError(
            f"the server of {url} does not say how long it is", hint="download it, and give the file's path"
        )
    return cast(BinaryIO, answer), int(length)
