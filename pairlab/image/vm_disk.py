"""The VM form of an image: a qcow2 disk, its kernel, and an initial RAM file system of a few modules."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.image.recipe import MODULES
from pairlab.render import render
from pairlab.run import Runner

BUSYBOX = Path("/bin/busybox")
NEWC_MAGIC = "070701"


def write_initrd(target: Path, modules: Path) -> None:
    """Pack busybox, the modules and a short init.

    Args:
        target: Compressed cpio archive to write.
        modules: Folder with `<module>.ko` for each of `MODULES`.

    Raises:
        ImageError: busybox is not installed, or the kernel lacks a module.

    Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.
    """
    if not BUSYBOX.is_file():
        raise ImageError(f"{BUSYBOX} is missing", hint="run `invoke lab.setup`: it installs busybox-static")
    there = [name for name in MODULES if (modules / f"{name}.ko").is_file()]
    if not {"virtio_blk", "virtio_net", "virtio_pci"} <= set(there):
        raise ImageError(
            "the kernel package has no virtio modules", hint="use Debian's linux-image-cloud-amd64"
        )
    init = render("guest/init.sh.j2", modules=there).encode()
    entries: list[tuple[str, int, bytes]] = [
        (name, 0o040755, b"") for name in ("bin", "dev", "modules", "root")
    ]
    entries += [("bin/busybox", 0o100755, BUSYBOX.read_bytes()), ("init", 0o100755, init)]
    entries += [(f"modules/{name}.ko", 0o100644, (modules / f"{name}.ko").read_bytes()) for name in there]
    data = b"".join(_members(entries))
    target.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))


def _members(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        encoded = name.encode() + b"\0"
        device = (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        header = NEWC_MAGIC + "".join(f"{value:08x}" for value in fields)
        record = header.encode() + encoded
        yield record + b"\0" * (-len(record) % 4) + content + b"\0" * (-len(content) % 4)


def finish_disk(raw: Path, target: Path, version_file: Path, runner: Runner) -> None:
    """Put the image's version into the file system and convert it to qcow2. No mount, no root.

    Args:
        raw: ext4 file system image; removed.
        target: qcow2 file to write.
        version_file: Becomes `/etc/pairlab/image.conf`.
        runner: Runs debugfs and qemu-img.
    """
    # debugfs exits with 0 whatever happens: look whether the file is there.
    runner.run(["debugfs", "-w", "-R", f"write {version_file} /etc/pairlab/image.conf", str(raw)])
    shown = runner.run(["debugfs", "-R", "cat /etc/pairlab/image.conf", str(raw)]).stdout
    if shown != version_file.read_text():
        raise ImageError(
            "the image's version could not be written into its disk", hint="look for a full disk"
        )
    runner.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target)])
    raw.unlink()
