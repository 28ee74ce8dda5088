"""Flat ISO 9660 images with Rock Ridge names, in memory, the same bytes for the same input.

Rock Ridge alone (no Joliet) keeps lower-case names with hyphens and POSIX modes, and needs no character set
modules in the guest. Written here because the libraries for it stamp the current time into the image.

Source: ECMA-119 (ISO 9660), sections 8 and 9; IEEE P1281 (SUSP) and P1282 (Rock Ridge).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 2048
FIRST_DESCRIPTOR = 16
PATH_TABLE_LE, PATH_TABLE_BE, ROOT, FIRST_FILE = 18, 19, 20, 21
DIRECTORY_MODE, FILE_MODE = 0o040500, 0o100400
EPOCH = bytes((70, 1, 1, 0, 0, 0, 0))
NO_DATE = b"0" * 16 + b"\0"


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _posix(mode: int, links: int) -> bytes:
    return b"PX" + bytes((36, 1)) + _both32(mode) + _both32(links) + _both32(0) + _both32(0)


def _record(identifier: bytes, sector: int, size: int, flags: int, system_use: bytes) -> bytes:
    padding = b"\0" if len(identifier) % 2 == 0 else b""
    body = (
        b"\0"
        + _both32(sector)
        + _both32(size)
        + EPOCH
        + bytes((flags, 0, 0))
        + _both16(1)
        + bytes((len(identifier),))
        + identifier
        + padding
        + system_use
    )
    body += b"\0" * ((len(body) + 1) % 2)
    return bytes((len(body) + 1,)) + body


def _root_directory(files: Mapping[str, bytes], sectors: Mapping[str, int]) -> bytes:
    announce = b"SP" + bytes((7, 1, 0xBE, 0xEF, 0)) + b"ER" + bytes((18, 1, 10, 0, 0, 1)) + b"RRIP_1991A"
    directory = _posix(DIRECTORY_MODE, 2)
    records = [
        _record(b"\0", ROOT, SECTOR, 2, announce + directory),
        _record(b"\1", ROOT, SECTOR, 2, directory),
    ]
    for number, (name, content) in enumerate(sorted(files.items())):
        alias = f"FILE{number}.;1".encode()
        long_name = b"NM" + bytes((5 + len(name), 1, 0)) + name.encode("ascii")
        records.append(_record(alias, sectors[name], len(content), 0, long_name + _posix(FILE_MODE, 1)))
    return b"".join(records).ljust(SECTOR, b"\0")


def _volume_descriptor(label: str, sectors: int) -> bytes:
    root = _record(b"\0", ROOT, SECTOR, 2, b"")
    return (
        b"\1CD001\1\0"
        + b" " * 32
        + label.encode("ascii").ljust(32)
        + b"\0" * 8
        + _both32(sectors)
        + b"\0" * 32
        + _both16(1)
        + _both16(1)
        + _both16(SECTOR)
        + _both32(10)
        + struct.pack("<II", PATH_TABLE_LE, 0)
        + struct.pack(">II", PATH_TABLE_BE, 0)
        + root
        + b" " * (128 * 4 + 37 * 3)
        + NO_DATE * 4
        + b"\1\0"
    ).ljust(SECTOR, b"\0")


def make_iso(label: str, files: Mapping[str, bytes]) -> bytes:
    """An image of files in its root directory, readable by its owner only.

    Args:
        label: Volume identifier, at most 32 ASCII characters.
        files: ASCII name -> content; as many as one directory sector holds (about 20).
    """
    sectors: dict[str, int] = {}
    following = FIRST_FILE
    for name in sorted(files):
        sectors[name] = following
        following += -(-len(files[name]) // SECTOR)
    path_entry = bytes((1, 0)), b"\0\0"
    little = path_entry[0] + struct.pack("<IH", ROOT, 1) + path_entry[1]
    big = path_entry[0] + struct.pack(">IH", ROOT, 1) + path_entry[1]
    image = b"\0" * (FIRST_DESCRIPTOR * SECTOR)
    image += _volume_descriptor(label, following)
    image += b"\xffCD001\1".ljust(SECTOR, b"\0")
    image += little.ljust(SECTOR, b"\0") + big.ljust(SECTOR, b"\0")
    image += _root_directory(files, sectors)
    for name in sorted(files):
        content = files[name]
        image += content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
    return image


def read_iso(image: bytes) -> dict[str, bytes]:
    """The files of an image's root directory by their Rock Ridge names; others by their plain ones.

    Args:
        image: The image, by `make_iso` or any other tool.

    Raises:
        ValueError: It is no ISO 9660 image, or a damaged one.
    """
    try:
        return _root_files(image)
    except (IndexError, struct.error) as error:
        raise ValueError("its root directory is damaged") from error


def _root_files(image: bytes) -> dict[str, bytes]:
    start = FIRST_DESCRIPTOR * SECTOR
    descriptor = image[start : start + SECTOR]
    if descriptor[:6] != b"\1CD001":
        raise ValueError("not an ISO 9660 image")
    sector, size = struct.unpack_from("<I4xI", descriptor, 158)
    directory = image[sector * SECTOR : sector * SECTOR + size]
    files: dict[str, bytes] = {}
    position = 0
    while position < len(directory):
        length = directory[position]
        if not length:
            position = (position // SECTOR + 1) * SECTOR
            continue
        record = directory[position : position + length]
        position += length
        if record[25] & 2:
            continue
        first, length_bytes = struct.unpack_from("<I4xI", record, 2)
        content = image[first * SECTOR : first * SECTOR + length_bytes]
        if len(content) != length_bytes:
            raise ValueError("the image is cut short")
        files[_long_name(record)] = content
    return files


def _long_name(record: bytes) -> str:
    identifier_length = record[32]
    at = 33 + identifier_length + (identifier_length + 1) % 2
    name = b""
    while at + 4 <= len(record) and record[at + 2] >= 4:
        if record[at : at + 2] == b"NM":
            name += record[at + 5 : at + record[at + 2]]
        at += record[at + 2]
    plain = record[33 : 33 + identifier_length].decode("ascii", "replace").split(";")[0]
    return name.decode("ascii", "replace") or plain
