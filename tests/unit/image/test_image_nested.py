"""Images that hold one stack in the other."""

from dataclasses import replace
from pathlib import Path

import pytest
from image_worlds import WEB, BuildingRunner

from pairlab.errors import ImageError
from pairlab.image.container_archive import image_id
from pairlab.image.nested import engine_recipe, ensure_nested, machine_recipe
from pairlab.image.recipe import File, HostFile
from pairlab.image.store import ImageStore
from pairlab.model import VmImage


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images", BuildingRunner())


def vm_files(folder: Path, *, disk: str = "disk") -> VmImage:
    folder.mkdir(exist_ok=True)
    for name, text in (("disk.qcow2", disk), ("vmlinuz", "kernel"), ("initrd", "modules")):
        (folder / name).write_text(text)
    paths = (folder / name for name in ("disk.qcow2", "vmlinuz", "initrd"))
    return VmImage("0123456789ab", *paths, cmdline=("root=/dev/vda", "it's"))


def text_of(file: File | HostFile) -> str:
    assert isinstance(file, File)
    return file.content


def test_a_container_host_has_an_engine_and_nothing_of_the_workload():
    recipe = engine_recipe(WEB)
    assert recipe.packages == ("podman", "crun")
    assert not [path for path in recipe.files if "nginx" in path]
    unit = text_of(recipe.files["/etc/systemd/system/pairlab-container.service"])
    assert "ExecStart=/usr/bin/podman start guest" in unit
    target = text_of(recipe.files["/etc/systemd/system/pairlab.target"])
    assert "pairlab-container.service ssh.service" in target


def test_a_machine_is_known_by_what_its_vm_holds_not_by_where_that_lies(tmp_path):
    here, there = vm_files(tmp_path / "here"), vm_files(tmp_path / "there")
    other = vm_files(tmp_path / "other", disk="another disk")
    assert machine_recipe(WEB, here).digest == machine_recipe(WEB, there).digest
    assert machine_recipe(WEB, here).digest != machine_recipe(WEB, other).digest


def test_a_machine_starts_as_an_ordinary_account_from_files_that_it_may_not_change(tmp_path):
    recipe = machine_recipe(WEB, vm_files(tmp_path))
    assert recipe.config["User"] == "nobody"
    given = {path for path, file in recipe.files.items() if isinstance(file, HostFile)}
    assert given == {"/srv/machine/disk.qcow2", "/srv/machine/vmlinuz", "/srv/machine/initrd"}
    assert all(file.mode & 0o022 == 0 for file in recipe.files.values())
    start = text_of(recipe.files["/usr/local/bin/machine"])
    assert "accel=tcg -cpu max,-erms " in start
    assert """-append 'root=/dev/vda it'"'"'s'""" in start


def test_a_vm_that_owns_its_kernel_is_given_none_in_a_container_either(tmp_path):
    own = replace(vm_files(tmp_path), kernel=Path(), initrd=Path())
    recipe = machine_recipe(WEB, own)
    assert "/srv/machine/vmlinuz" not in recipe.files
    assert "-kernel" not in text_of(recipe.files["/usr/local/bin/machine"])


def test_both_are_built_once_and_a_containers_archive_has_an_id(store, tmp_path):
    told: list[str] = []
    web = store.ensure(WEB, progress=told.append)
    engine, machine = ensure_nested(store, WEB, web.vm, progress=told.append)
    assert engine.version != web.vm.version
    assert engine.kernel.name
    assert machine.reference == f"pairlab/machine:{machine.version}"
    before = len(told)
    assert ensure_nested(store, WEB, web.vm, progress=told.append) == (engine, machine)
    assert told[before:] == []
    ids = {image_id(store.archive(each.version)) for each in (web.container, machine)}
    assert len(ids) == 2
    assert {len(each) for each in ids} == {64}
    with pytest.raises(ImageError, match="no image 000000000000"):
        store.archive("0" * 12)
