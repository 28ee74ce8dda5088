"""Seeds: the same bytes for the same texts, and readable by others."""

from __future__ import annotations

import hashlib

import pytest

from pairlab.plugin.libvirt._iso import SECTOR, make_iso, read_iso
from pairlab.plugin.libvirt.cloud_init_disk import LABEL, Served, seed_image, volume_key

TEXTS = {
    "userData": "#cloud-config\nhostname: ü\n",
    "metaData": "instance-id: a\n",
    "networkConfig": "version: 2\n",
}


def test_the_same_texts_give_the_same_bytes() -> None:
    image = seed_image(TEXTS)
    assert image == seed_image(dict(reversed(TEXTS.items())))
    # Pinned: a change here gives every VM of every lab another seed.
    assert (
        hashlib.sha256(image).hexdigest()
        == "39d0de573e805843aa31aa06d409459fddc340b5531484469905d64f710e8bda"
    )
    assert image != seed_image({**TEXTS, "metaData": "instance-id: b\n"})


@pytest.mark.parametrize("size", [0, 1, SECTOR - 1, SECTOR, SECTOR + 1, 100_000])
def test_files_come_back_whole(size: int) -> None:
    files = {"user-data": b"u" * size, "meta-data": b"m", "network-config": b""}
    image = make_iso(LABEL, files)
    assert read_iso(image) == files
    assert len(image) % SECTOR == 0


def test_the_descriptor_is_as_the_standard_says() -> None:
    image = make_iso(LABEL, {"user-data": b"x"})
    descriptor = image[16 * SECTOR : 17 * SECTOR]
    assert descriptor[:8] == b"\1CD001\1\0"
    assert descriptor[40:72] == b"cidata".ljust(32)
    assert int.from_bytes(descriptor[80:84], "little") == int.from_bytes(descriptor[84:88], "big")
    assert int.from_bytes(descriptor[80:84], "little") * SECTOR == len(image)
    assert descriptor[881:883] == b"\1\0"
    assert image[17 * SECTOR : 17 * SECTOR + 6] == b"\xffCD001"


def test_records_carry_rock_ridge_names_and_private_modes() -> None:
    root = make_iso(LABEL, {"user-data": b"x"})[20 * SECTOR : 21 * SECTOR]
    assert b"SP\x07\x01\xbe\xef" in root
    assert b"RRIP_1991A" in root
    assert b"NM\x0e\x01\x00user-data" in root
    assert b"PX\x24\x01" + (0o100400).to_bytes(4, "little") in root


@pytest.mark.parametrize("image", [b"", b"x" * 40_000, seed_image(TEXTS)[: 21 * SECTOR]])
def test_what_is_no_seed_is_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an ISO|cut short"):
        read_iso(image)


def test_user_data_is_a_secret_and_ids_hold_the_key() -> None:
    assert Served.properties["userData"].secret
    assert volume_key("/p/seed.img;0000") == "/p/seed.img"
