"""What stands before a disk's partition so that the disk boots by itself: GRUB for BIOS, put together.

Nothing is installed onto a device: no root mount, no loop device, no `grub-install`.

Source: GNU GRUB 2.06, grub-core/boot/i386/pc/boot.S and diskboot.S, include/grub/i386/pc/boot.h,
util/mkimage.c; for the table of partitions the master boot record as IBM PC DOS 2.0 made it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.image.recipe import BOOT_SCRIPT
from pairlab.render import render
from pairlab.run import Runner

SECTOR_BYTES = 512
PARTITION_START_BYTES = 1 << 20
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "serial", "terminal", "boot")
"""All that it takes to read two files of an ext4 partition and start them, talking on the serial port."""
GRUB_FILES = Path("/usr/lib/grub/i386-pc")

_KERNEL_SECTOR_AT = 0x5C  # in boot.img: from which sector it reads the rest of GRUB
_CODE_BYTES = 440  # of a master boot record; then the disk's signature, and the table of partitions
_BLOCK_LIST = struct.Struct("<QHH")  # first sector, sectors, segment: the end of core.img's first sector
_TABLE_AT, _ENTRY_BYTES, _MAGIC = 446, 16, b"\x55\xaa"
_ACTIVE, _LINUX, _BEYOND_CHS = 0x80, 0x83, b"\xfe\xff\xff"


def make_boot_area(runner: Runner, cmdline: Sequence[str], *, disk_bytes: int, scratch: Path) -> bytes:
    """The first `PARTITION_START_BYTES` of a disk whose one partition takes all the rest.

    GRUB starts `/vmlinuz` with `/initrd.img` of that partition, links that Debian's kernel packages keep
    pointing at the kernel that was installed last.

    Args:
        runner: Runs grub-mkimage.
        cmdline: Kernel parameters.
        disk_bytes: Size of the whole disk.
        scratch: Folder for what grub-mkimage reads and writes.

    Raises:
        ImageError: GRUB is not what this knows how to lay down.
        CommandError: grub-mkimage is not installed, or failed.
    """
    config, target = scratch / "grub.cfg", scratch / "core.img"
    config.write_text(render(BOOT_SCRIPT, cmdline=cmdline))
    # The comma without a disk means: of the disk that the firmware booted.
    argv = ["grub-mkimage", "--format=i386-pc", f"--directory={GRUB_FILES}", f"--output={target}"]
    argv += [f"--config={config}", "--prefix=(,msdos1)/boot/grub", *GRUB_MODULES]
    runner.run(argv)
    core = target.read_bytes()
    return lay_out((GRUB_FILES / "boot.img").read_bytes(), core, disk_bytes=disk_bytes)


def lay_out(boot: bytes, core: bytes, *, disk_bytes: int) -> bytes:
    """GRUB's two parts and the table of partitions, each in its place.

    Args:
        boot: GRUB's boot.img, which the firmware loads.
        core: GRUB's core.img; its first sector loads the others, which follow it.
        disk_bytes: Size of the whole disk.

    Raises:
        ImageError: The parts do not fit together, or into the space before the partition.
    """
    sectors = -(-len(core) // SECTOR_BYTES)
    first, count, _ = _BLOCK_LIST.unpack_from(core, SECTOR_BYTES - _BLOCK_LIST.size)
    (core_at,) = struct.unpack_from("<Q", boot, _KERNEL_SECTOR_AT)
    fits = (1 + sectors) * SECTOR_BYTES <= PARTITION_START_BYTES
    if not fits or (core_at, first, count) != (1, 2, sectors - 1):
        raise ImageError(
            f"this host's GRUB cannot be laid onto a disk: it has {sectors} sectors, "
            f"and looks for the first at {core_at}, for {count} more from {first} on",
            hint="install Debian's grub-common and grub-pc-bin",
        )
    signature = hashlib.sha256(core).digest()[:4]
    record = boot[:_CODE_BYTES] + signature + bytes(_TABLE_AT - _CODE_BYTES - len(signature))
    record += _partition(disk_bytes) + bytes(3 * _ENTRY_BYTES) + _MAGIC
    return (record + core).ljust(PARTITION_START_BYTES, b"\0")


def _partition(disk_bytes: int) -> bytes:
    """One bootable Linux partition, from the end of the boot area to the end of the disk."""
    start = PARTITION_START_BYTES // SECTOR_BYTES
    count = disk_bytes // SECTOR_BYTES - start
    ends = (bytes([_ACTIVE]), _BEYOND_CHS, bytes([_LINUX]), _BEYOND_CHS)
    return b"".join(ends) + struct.pack("<II", start, count)
