"""A normal user's builds, whoever runs the tests."""

import os
from pathlib import Path

import pytest
from image_worlds import WEB, BuildingRunner

from pairlab.errors import ImageError
from pairlab.image import staging as module
from pairlab.image.staging import clear_half_made, staging
from pairlab.image.store import ImageStore
from pairlab.run import Completed


@pytest.fixture(autouse=True)
def normal_user(monkeypatch, tmp_path):
    """What this test writes is a namespace's user's."""
    monkeypatch.setattr(module, "FOR_ALL", tmp_path / "var-tmp")
    monkeypatch.setattr(module, "SUBUID", tmp_path / "subuid")
    own = os.getuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 4711)
    (tmp_path / "subuid").write_text(f"other:1:65536\n{own + 4711}:{own}:1\n")


class Recorder:
    def __init__(self):
        self.ran = []

    def run(self, argv, **_):
        self.ran.append(list(argv))
        return Completed(tuple(argv), 0, "", "")


def mode(path):
    return oct(path.stat().st_mode & 0o7777)


def test_others_may_read_what_a_build_is_given_and_replace_nothing(tmp_path):
    with staging(tmp_path / "cache", Recorder()) as place:
        folder = place.own.parent
        assert [mode(path) for path in (folder, place.own, place.out)] == ["0o711", "0o755", "0o1777"]
    assert not folder.exists()


def test_script_and_inputs_lie_where_only_the_builder_writes(tmp_path):
    runner, seen = BuildingRunner(), {}
    build = runner._mmdebstrap

    def look(words, on_line):
        script = Path(next(w for w in words if w.startswith("--customize-hook=")).split("=", 1)[1])
        seen.update({path.name: mode(path) for path in script.parent.iterdir()})
        return build(words, on_line)

    runner._mmdebstrap = look
    before = os.umask(0o077)
    try:
        assert ImageStore(tmp_path / "cache", runner).ensure(WEB, progress=print).vm.built
    finally:
        os.umask(before)
    assert {"build.sh", "files-1.tar"} <= seen.keys()
    assert set(seen.values()) == {"0o755"}
    assert list((tmp_path / "var-tmp").iterdir()) == []


def test_what_another_account_laid_there_is_not_used(tmp_path):
    with staging(tmp_path / "cache", Recorder()) as place:
        (place.out / "disk.raw").write_text("built")
        (place.out / "initrd").symlink_to(place.out / "disk.raw")
        assert place.made("disk.raw").read_text() == "built"
        with pytest.raises(ImageError, match="initrd is not what the build wrote"):
            place.made("initrd")
        (tmp_path / "subuid").write_text("other:0:65536\n")
        with pytest.raises(ImageError, match=r"disk\.raw is not what the build wrote"):
            place.made("disk.raw")


def test_a_killed_builds_folder_goes_at_the_next_of_the_same_cache(tmp_path, monkeypatch):
    account, left = os.getuid() or 4711, []
    monkeypatch.setattr(os, "geteuid", lambda: account)
    with monkeypatch.context() as killed:
        killed.setattr(module, "_remove", lambda *_: None)
        for cache in ("cache", "another"):
            with staging(tmp_path / cache, Recorder()) as place:
                left.append(place.own.parent)
    for folder in left:
        os.chown(folder, account, -1)
    clear_half_made(tmp_path / "cache", Recorder())
    assert [folder.exists() for folder in left] == [False, True]


def test_what_is_of_the_namespaces_users_is_removed_as_they(tmp_path, monkeypatch):
    runner = Recorder()
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
    with staging(tmp_path / "cache", runner) as place:
        pass
    assert runner.ran == [["mmdebstrap", "--unshare-helper", "rm", "-rf", str(place.out)]]
