import hashlib
import os

import pytest
from image_worlds import BuildingRunner

from pairlab.errors import ImageError
from pairlab.image.store import ImageStore


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "cloud.img"
    path.write_bytes(b"cloud image")
    return path.as_uri(), hashlib.sha256(b"cloud image").hexdigest()


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images", BuildingRunner())


def test_a_guest_is_fetched_once_and_boots_its_own_kernel(store, published, tmp_path):
    told = []
    assert not store.planned_guest(published[1]).built
    image = store.ensure_guest(*published, progress=told.append)
    assert store.planned_guest(published[1]) == image
    assert image.disk.read_bytes() == b"QFIcloud image"
    assert (image.kernel.name, image.initrd.name, image.version) == ("", "", published[1][:12])
    (tmp_path / "cloud.img").unlink()
    assert store.ensure_guest(*published, progress=told.append) == image
    assert any("fetching" in line for line in told)


def test_another_digest_is_refused_and_nothing_is_kept(store, published, tmp_path):
    with pytest.raises(ImageError, match="not 00") as caught:
        store.ensure_guest(published[0], "0" * 64, progress=print)
    assert published[1] in caught.value.message
    assert store.records() == []
    assert list((tmp_path / "images" / "making").iterdir()) == []


def test_a_damaged_guest_is_fetched_again(store, published):
    image = store.ensure_guest(*published, progress=print)
    os.truncate(image.disk, 3)
    assert store.ensure_guest(*published, progress=print).disk.read_bytes() == b"QFIcloud image"


@pytest.mark.parametrize("url", ["file:///no/such/image", "http://127.0.0.1:1/x"])
def test_what_cannot_be_fetched_is_named(store, url):
    with pytest.raises(ImageError, match="cannot be fetched") as caught:
        store.ensure_guest(url, "0" * 64, progress=print)
    assert "guestImageUrl" in caught.value.hint


def test_only_known_schemes(store):
    with pytest.raises(ImageError, match="cannot be fetched"):
        store.ensure_guest("ftp://x/y", "0" * 64, progress=print)
