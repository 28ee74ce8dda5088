import hashlib
import os
import threading
from http.client import IncompleteRead
from unittest.mock import MagicMock

import pytest
from image_worlds import BuildingRunner

from pairlab.errors import ImageError
from pairlab.image import guest_image
from pairlab.image.guest_image import fetch_guest
from pairlab.image.lock import locked
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


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (TimeoutError("The read operation timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "reset by peer"),
        (IncompleteRead(b"cloud"), "IncompleteRead"),
        (None, "ended after 5 of 11 bytes"),
    ],
)
def test_a_download_that_ends_early_is_told_as_such(store, monkeypatch, trouble, told):
    def read(_):
        if trouble:
            raise trouble
        return sent.pop()

    sent = [b"", b"cloud"]
    answer = MagicMock(headers={"Content-Length": "11"}, read=read)
    answer.__enter__.return_value = answer
    monkeypatch.setattr(guest_image.urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(ImageError, match=f"cannot be fetched: .*{told}") as caught:
        store.ensure_guest("http://mirror.test/x", "0" * 64, progress=print)
    assert "run this again" in caught.value.hint


def test_two_labs_that_want_one_guest_fetch_it_once(store, published, tmp_path):
    (tmp_path / "images").mkdir()
    waiting, made = threading.Event(), []
    with locked(tmp_path / "images", print):
        second = threading.Thread(
            target=lambda: made.append(store.ensure_guest(*published, progress=lambda _: waiting.set()))
        )
        second.start()
        assert waiting.wait(10)
        fetch_guest(*published, cache=tmp_path / "images", runner=BuildingRunner(), progress=print)
        disk = store.planned_guest(published[1]).disk
        before = disk.stat().st_ino
    second.join(10)
    assert made[0].disk == disk
    assert disk.stat().st_ino == before
