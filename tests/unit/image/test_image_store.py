import fcntl
import hashlib
import json
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from image_worlds import DOCKER, WEB, BuildingRunner, grub_boot_image

from pairlab.errors import ImageError
from pairlab.image import boot_area
from pairlab.image.recipe import container_recipe, vm_recipe
from pairlab.image.store import ImageStore
from pairlab.model import Repository


@pytest.fixture
def runner():
    return BuildingRunner()


@pytest.fixture
def store(tmp_path, runner):
    return ImageStore(tmp_path / "images", runner)


@pytest.fixture
def told():
    return []


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "images" / "repositories" / ("a" * 12)
    folder.mkdir(parents=True)
    deb = folder / "nginx_1_amd64.deb"
    deb.write_bytes(b"!<arch>\n\xff")
    stanza = {
        "Package": "nginx",
        "Version": "1.22.1-9+deb12u11",
        "Filename": f"./{deb.name}",
        "SHA256": hashlib.sha256(deb.read_bytes()).hexdigest(),
    }
    (folder / "Packages").write_text("".join(f"{key}: {value}\n" for key, value in stanza.items()))
    (folder / "InRelease").write_text("SIGNED")
    contents = {"packages": {"nginx": "1.22.1-9+deb12u11"}, "older": {}}
    (folder / "contents.json").write_text(json.dumps(contents))
    (folder / "pairlab.asc").write_text("KEY")
    contents = {"packages": {"nginx": "1.22.1-9+deb12u11"}, "older": {}}
    (folder / "contents.json").write_text(json.dumps(contents))
    return Repository(folder.name, folder, {"nginx": "1.22.1-9+deb12u11"}, "KEY")


def test_a_first_build_gives_both_forms_and_loads_the_container(store, runner, told):
    images = store.ensure(WEB, progress=told.append)
    assert images.vm.built
    assert images.vm.disk.read_text().startswith("QFI")
    assert images.vm.size_bytes == sum(
        path.stat().st_size for path in (images.vm.disk, images.vm.kernel, images.vm.initrd)
    )
    assert runner.docker == {images.container.reference: images.container.version}
    assert len(images.vm.version) == len(images.container.version) == 12
    assert any("web" in line for line in told)


def test_a_second_ensure_builds_nothing(store, runner, told):
    first = store.ensure(WEB, progress=told.append)
    built = runner.builds()
    assert store.ensure(WEB, progress=told.append) == first
    assert runner.builds() == built == 2


def test_tools_are_a_tree_of_their_own_that_no_engine_gets(store, runner, told):
    made = store.ensure_tools(progress=told.append)
    with tarfile.open(made.archive) as tar:
        assert tar.getnames() == ["bin/dd"]
    assert made.packages == {"nginx": runner.nginx}
    assert runner.docker == {}
    assert [record.form for record in store.records()] == ["tree"]
    before = made.archive.read_bytes()
    store.prune([], progress=told.append)
    assert not made.archive.exists()
    assert store.ensure_tools(progress=told.append).archive.read_bytes() == before


def test_both_forms_share_one_bootstrap(store, runner, told):
    runner.patience_s = 0.3
    store.ensure(WEB, progress=told.append)
    assert (runner.bootstraps, runner.builds()) == (1, 2)


def test_a_rebuild_starts_from_the_kept_bases(store, runner, told, tmp_path, repository):
    store.ensure(WEB, progress=told.append)
    bases = sorted((tmp_path / "images" / "bases").iterdir())
    runner.nginx = "1.22.1-9+deb12u11"
    store.ensure(WEB, progress=told.append, updates=repository)
    assert sorted((tmp_path / "images" / "bases").iterdir()) == bases
    assert len(bases) == 3
    assert len(store.records()) == 4


def test_a_form_is_rebuilt_alone_and_a_container_is_loaded_again(store, runner, told):
    images = store.ensure(WEB, progress=told.append)
    loads, runner.docker = told.count(f"loading {images.container.reference} into Docker"), {}
    assert store.rebuild(vm_recipe(WEB), progress=told.append).version == images.vm.version
    assert (loads, runner.builds(), runner.docker) == (1, 3, {})
    for _ in range(2):  # also where Docker has it
        record = store.rebuild(container_recipe(WEB), progress=told.append)
        assert record.version == images.container.version
    assert runner.docker == {images.container.reference: images.container.version}
    assert told.count(f"loading {images.container.reference} into Docker") == loads + 2
    assert runner.builds() == 5


def test_a_disk_that_boots_itself_is_another_image_on_the_same_bases(store, runner, told, tmp_path):
    files = tmp_path / "grub"
    files.mkdir()
    (files / "boot.img").write_bytes(grub_boot_image())
    direct = store.ensure(WEB, progress=told.append)
    bases = sorted((tmp_path / "images" / "bases").iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boot_area, "GRUB_FILES", files)
        disk = store.ensure(WEB, progress=told.append, boot="disk")
    assert disk.container == direct.container
    assert disk.vm.version != direct.vm.version
    assert (disk.vm.kernel.name, disk.vm.initrd.name, disk.vm.cmdline) == ("", "", ())
    assert disk.vm.size_bytes == disk.vm.disk.stat().st_size
    assert sorted((tmp_path / "images" / "bases").iterdir()) == bases
    assert store.planned(WEB, boot="disk") == disk
    assert store.planned(WEB) == direct
    assert "root=/dev/vda" in direct.vm.cmdline


def test_a_kernel_to_try_is_one_of_any_image_that_has_it(store, runner, told, tmp_path):
    assert store.any_kernel() is None
    vm = store.ensure(WEB, progress=told.append).vm
    guest = tmp_path / "guest.img"
    guest.write_bytes(b"newer, and without a kernel beside it")
    store.ensure_guest(guest.as_uri(), hashlib.sha256(guest.read_bytes()).hexdigest(), progress=told.append)
    assert store.any_kernel() == vm.kernel


def test_an_update_makes_other_images_that_hold_it(store, runner, told, repository):
    old = store.ensure(WEB, progress=told.append)
    runner.nginx = "1.22.1-9+deb12u11"
    new = store.ensure(WEB, progress=told.append, updates=repository)
    assert len({form.version for images in (old, new) for form in (images.vm, images.container)}) == 4
    assert store.manifest(old.vm.version) == {"nginx": "1.22.1-9+deb12u9"}
    for form in (new.vm, new.container):
        assert store.manifest(form.version) == {"nginx": "1.22.1-9+deb12u11"}
    built = runner.builds()
    assert store.ensure(WEB, progress=told.append, updates=repository) == new
    assert store.ensure(WEB, progress=told.append) == old
    assert runner.builds() == built


def test_an_image_that_came_out_without_its_update_is_refused(store, runner, told, repository):
    with pytest.raises(ImageError, match=r"it holds nginx 1\.22\.1-9\+deb12u9"):
        store.ensure(WEB, progress=told.append, updates=repository)
    other = replace(repository, packages={"redis-server": "7"})
    with pytest.raises(ImageError, match="none of the updated packages"):
        store.ensure(WEB, progress=told.append, updates=other)
    assert store.records() == []


def test_the_build_takes_updates_from_the_repository_alone_and_verifies_it(
    store, runner, told, repository, tmp_path
):
    scripts, build = [], runner._mmdebstrap

    def keep(words, on_line):
        script = Path(next(w for w in words if w.startswith("--customize-hook=")).split("=", 1)[1])
        with tarfile.open(script.parent / "updates.tar") as tar:
            scripts.append(
                (script.read_text(), words, tar.getnames(), tar.extractfile(tar.getnames()[0]).read())
            )
        return build(words, on_line)

    runner._mmdebstrap, runner.nginx = keep, "1.22.1-9+deb12u11"
    store.ensure(WEB, progress=told.append, updates=repository)
    for text, words, names, key in scripts:
        assert [word for word in words if word.startswith("deb ")] == [
            "deb http://mirror.test/debian bookworm main"
        ]
        assert key == b"KEY"
        assert "./etc/apt/sources.list.d/pairlab-updates.sources" in names
        assert "./var/cache/pairlab-updates/nginx_1_amd64.deb" in names
        assert "--only-upgrade" in text
        assert "trusted=yes" not in text
    assert len(scripts) == 2


def test_a_version_that_was_never_built_has_no_manifest(store):
    with pytest.raises(ImageError, match="no image 0123456789ab"):
        store.manifest("0123456789ab")


@pytest.mark.parametrize("name", ["disk.qcow2", "vmlinuz", "initrd"])
def test_a_truncated_file_is_rebuilt_and_never_used(store, runner, told, name):
    image = store.ensure(WEB, progress=told.append).vm
    path = image.disk.with_name(name)
    whole = path.read_bytes()
    os.truncate(path, len(whole) // 2)
    assert store.ensure(WEB, progress=told.append).vm == image
    assert path.read_bytes() == whole
    assert runner.builds() == 3


def test_a_changed_file_of_the_same_size_is_rebuilt(store, runner, told):
    image = store.ensure(WEB, progress=told.append).vm
    whole = image.disk.read_bytes()
    image.disk.write_bytes(b"X" + whole[1:])
    assert store.ensure(WEB, progress=told.append).vm.disk.read_bytes() == whole


def test_an_image_that_was_removed_from_docker_is_loaded_again_without_a_build(store, runner, told):
    store.ensure(WEB, progress=told.append)
    built, there = runner.builds(), dict(runner.docker)
    runner.docker.clear()
    store.ensure(WEB, progress=told.append)
    assert (runner.builds(), runner.docker) == (built, there)


@pytest.mark.parametrize(
    ("log", "cause", "hint"),
    [
        (
            "I: x\nE: Unable to locate package ngnix\nE: run failed",
            "Unable to locate package ngnix",
            "packages",
        ),
        ("E: Version '9' for 'nginx' was not found", "was not found", "packages"),
        ("tar: write error: No space left on device", "No space left", "image.prune"),
        (
            "W: Failed to fetch http://mirror.test/x  Could not resolve 'mirror.test'",
            "Failed to fetch",
            "mirror",
        ),
        ("something new", "something new", "log"),
    ],
)
def test_a_failed_build_names_its_cause_and_leaves_nothing(store, runner, told, tmp_path, log, cause, hint):
    runner.failure = log
    with pytest.raises(ImageError) as caught:
        store.ensure(WEB, progress=told.append)
    assert cause in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.details == log
    assert store.records() == []
    assert list((tmp_path / "images" / "making").iterdir()) == []
    runner.failure = ""
    assert store.ensure(WEB, progress=told.append).vm.built


def test_what_an_interrupted_build_left_is_cleared_at_the_next(store, told, tmp_path):
    left = tmp_path / "images" / "making" / "tmp-of-a-killed-build"
    left.mkdir(parents=True)
    (left / "disk.raw").write_text("half")
    store.ensure(WEB, progress=told.append)
    assert not left.exists()


def test_images_are_of_the_release_pocket(store, runner, told):
    asked = []
    run = runner._mmdebstrap
    runner._mmdebstrap = lambda words, on_line: (asked.append(words), run(words, on_line))[1]
    store.ensure(WEB, progress=told.append)
    assert not any("security" in word for words in asked for word in words)
    assert all("deb http://mirror.test/debian bookworm main" in words for words in asked)


def test_planned_asks_nobody(store, runner, told):
    assert not store.planned(WEB).vm.built
    assert not store.planned_front_door().built
    assert runner.ran == []
    made = store.ensure(WEB, progress=told.append)
    runner.ran.clear()
    assert store.planned(WEB) == made
    assert runner.ran == []


def test_prune_keeps_what_is_in_use_and_touches_only_what_docker_has_under_our_label(store, runner, told):
    images = store.ensure(WEB, progress=told.append)
    door = store.ensure_front_door(progress=told.append)
    runner.docker["pairlab/front-door:" + door.version] = "somebody-else's"
    runner.docker["nginx:latest"] = ""
    removed = store.prune({images.container.version}, progress=told.append)
    assert {(record.name, record.form) for record in removed} == {("web", "vm"), ("front-door", "container")}
    assert set(runner.docker) == {images.container.reference, door.reference, "nginx:latest"}
    assert [record.version for record in store.records()] == [images.container.version]
    assert not images.vm.disk.exists()


def test_prune_keeps_what_a_container_still_uses(store, runner, told):
    images = store.ensure(WEB, progress=told.append)
    runner.used.add(images.container.reference)
    assert [record.form for record in store.prune((), progress=told.append)] == ["vm"]
    assert images.container.reference in runner.docker
    assert store.planned(WEB).container == images.container
    assert any("keeping" in line for line in told)


def test_each_docker_has_images_of_its_own_and_prune_takes_them_out_of_all(store, runner, told, tmp_path):
    store.ensure(WEB, progress=told.append)
    far = ImageStore(tmp_path / "images", runner, "ssh://me@far")
    image = far.ensure(WEB, progress=told.append).container
    assert runner.elsewhere["ssh://me@far"] == runner.docker == {image.reference: image.version}
    store.prune((), progress=told.append, docker_hosts=["ssh://me@far", DOCKER])
    assert runner.elsewhere["ssh://me@far"] == runner.docker == {}


def test_prune_keeps_container_images_while_a_docker_that_may_hold_them_is_silent(store, runner, told):
    images = store.ensure(WEB, progress=told.append)
    runner.silent.add("ssh://me@far")
    removed = store.prune((), progress=told.append, docker_hosts=["ssh://me@far"])
    assert [record.form for record in removed] == ["vm"]
    assert images.container.reference in runner.docker
    assert any("ssh://me@far" in line for line in told)


def test_prune_of_everything_frees_the_bases_too(store, told, tmp_path):
    store.ensure(WEB, progress=told.append)
    store.prune((), progress=told.append)
    assert store.records() == []
    assert not (tmp_path / "images" / "bases").exists()


def test_a_repositorys_image_is_listed_and_pruned_with_its_folder(store, told, repository, tmp_path):
    image = store.ensure_repository(repository, progress=told.append)
    assert image.reference == f"pairlab/updates:{image.version}"
    assert [record.name for record in store.records()] == ["updates"]
    store.prune({image.version}, progress=told.append)
    assert repository.folder.is_dir()
    (tmp_path / "images" / "apt").mkdir()
    assert [record.name for record in store.prune((), progress=told.append)] == ["updates"]
    assert not repository.folder.exists()
    assert not (tmp_path / "images" / "apt").exists()


def test_a_second_builder_waits_and_says_for_whom(store, told, tmp_path):
    (tmp_path / "images").mkdir()
    waiting = threading.Event()

    def progress(line):
        told.append(line)
        waiting.set()

    with (tmp_path / "images" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        other = threading.Thread(target=lambda: store.ensure(WEB, progress=progress))
        other.start()
        assert waiting.wait(10)
        assert "4711" in told[0]
        assert store.records() == []
    other.join(10)
    assert len(store.records()) == 2


def test_a_cache_that_may_not_be_written_is_named(runner, told, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="file/images cannot be written"):
        ImageStore(tmp_path / "file" / "images", runner).ensure(WEB, progress=told.append)


def test_a_host_without_debian_12_is_told_so(store, runner, told):
    runner._apt_get = lambda *_: "jammy main http://mirror.test/ubuntu\n"
    with pytest.raises(ImageError, match="bookworm") as caught:
        store.ensure(WEB, progress=told.append)
    assert "sources.list" in caught.value.hint


def test_records_tell_packages_sizes_and_digests(store, told):
    images = store.ensure(WEB, progress=told.append)
    record = next(record for record in store.records() if record.form == "vm")
    assert record.packages == {"nginx": "1.22.1-9+deb12u9"}
    assert set(record.files) == set(record.sizes) == {"disk.qcow2", "vmlinuz", "initrd"}
    assert json.loads((record.folder / "record.json").read_text())["version"] == images.vm.version
