import struct

import pytest
from image_worlds import grub_boot_image, grub_core_image

from pairlab.errors import ImageError
from pairlab.image import boot_area
from pairlab.image.boot_area import PARTITION_START_BYTES, lay_out, make_boot_area
from pairlab.run import Completed

DISK_BYTES = 2 << 30


def test_the_firmware_finds_code_a_partition_and_the_rest_of_grub():
    boot, core = grub_boot_image(), grub_core_image(bytes=3000)
    area = lay_out(boot, core, disk_bytes=DISK_BYTES)
    assert len(area) == PARTITION_START_BYTES
    assert area[:440] == boot[:440]
    assert area[510:512] == b"\x55\xaa"
    status, kind, start, count = struct.unpack("<B3xB3xII", area[446:462])
    assert (status, kind, start) == (0x80, 0x83, 2048)
    assert (start + count) * 512 == DISK_BYTES
    assert area[462:510] == bytes(48)
    assert area[512 : 512 + len(core)] == core
    assert not any(area[512 + len(core) :])


def test_another_loader_is_another_disk_signature():
    boot, signatures = grub_boot_image(), set()
    for size in (3000, 4000):
        signatures.add(lay_out(boot, grub_core_image(bytes=size), disk_bytes=DISK_BYTES)[440:444])
    assert len(signatures) == 2


@pytest.mark.parametrize(
    ("boot", "core"),
    [
        (grub_boot_image(core_at=63), grub_core_image(bytes=3000)),
        (grub_boot_image(), grub_core_image(bytes=3000, first=9)),
        (grub_boot_image(), grub_core_image(bytes=3000, count=1)),
        (grub_boot_image(), grub_core_image(bytes=PARTITION_START_BYTES)),
    ],
    ids=["core elsewhere", "rest elsewhere", "rest too short", "too long"],
)
def test_a_grub_that_would_not_find_itself_is_refused(boot, core):
    with pytest.raises(ImageError, match="cannot be laid onto a disk") as caught:
        lay_out(boot, core, disk_bytes=DISK_BYTES)
    assert "grub-pc-bin" in caught.value.hint


def test_grub_is_told_the_kernel_of_the_disk_and_its_parameters(tmp_path, monkeypatch):
    files = tmp_path / "grub"
    files.mkdir()
    (files / "boot.img").write_bytes(grub_boot_image())
    monkeypatch.setattr(boot_area, "GRUB_FILES", files)
    given = []

    class Grub:
        def run(self, argv, **_):
            options = dict(word[2:].split("=", 1) for word in argv if word.startswith("--"))
            given.append(options)
            with open(options["output"], "wb") as target:
                target.write(grub_core_image(bytes=3000))
            return Completed(tuple(argv), 0, "", "")

    make_boot_area(Grub(), ("root=/dev/vda1", "quiet"), disk_bytes=DISK_BYTES, scratch=tmp_path)
    assert given[0]["format"] == "i386-pc"
    lines = (tmp_path / "grub.cfg").read_text().splitlines()
    assert "linux /vmlinuz root=/dev/vda1 quiet" in lines
    assert "initrd /initrd.img" in lines
    assert lines[0].startswith("serial ")
    assert lines[-1] == "boot"
