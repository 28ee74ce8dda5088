import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from image_worlds import WEB, write_tar

from pairlab.image.container_archive import write_archive, write_own_layer
from pairlab.image.recipe import container_recipe, front_door_recipe, repository_recipe, vm_recipe
from pairlab.model import Repository


@pytest.fixture
def layers(tmp_path):
    base, root, own = tmp_path / "base.tar", tmp_path / "root.tar", tmp_path / "own.tar"
    write_tar(base, {"./a": "same", "./b": "old", "./gone": "x", "./dir/deep": "y"})
    write_tar(root, {"./a": "same", "./b": "new!", "./c": "added"})
    write_own_layer(root, base, own)
    return base, own


def test_a_layer_holds_what_changed_and_whiteouts_of_what_went(layers):
    with tarfile.open(layers[1]) as tar:
        assert sorted(tar.getnames()) == ["./.wh.gone", "./b", "./c", "./dir/.wh.deep"]
        assert tar.extractfile("./b").read() == b"new!"


def test_a_layer_holds_a_file_that_differs_in_nothing_but_its_content_and_the_links_to_it(tmp_path):
    for name, text in (("base.tar", "old"), ("root.tar", "new")):
        write_tar(tmp_path / name, {"./kept": "as it was", "./lib": text})
        with tarfile.open(tmp_path / name, "a") as tar:
            for link, kept in (("./lib.1", "./lib"), ("./other", "./kept")):
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.LNKTYPE, kept
                tar.addfile(entry)
    write_own_layer(tmp_path / "root.tar", tmp_path / "base.tar", tmp_path / "own.tar")
    with tarfile.open(tmp_path / "own.tar") as tar:
        assert tar.getnames() == ["./lib", "./lib.1"]
        assert tar.extractfile("./lib.1").read() == b"new"


def test_an_archive_names_its_layers_by_their_digests(layers, tmp_path):
    target = tmp_path / "image.tar"
    write_archive(target, list(layers), "pairlab/x:1", {"User": "nobody"}, {"k": "v"})
    with tarfile.open(target) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = tar.extractfile(manifest["Config"]).read()
        assert manifest["Config"] == hashlib.sha256(config).hexdigest() + ".json"
        digests = [
            "sha256:" + hashlib.sha256(tar.extractfile(name).read()).hexdigest()
            for name in manifest["Layers"]
        ]
    parsed = json.loads(config)
    assert parsed["rootfs"]["diff_ids"] == digests
    assert (parsed["config"]["User"], parsed["config"]["Labels"]) == ("nobody", {"k": "v"})
    assert manifest["RepoTags"] == ["pairlab/x:1"]


def test_equal_input_gives_equal_archives(layers, tmp_path):
    for name in ("one", "two"):
        write_archive(tmp_path / name, list(layers), "pairlab/x:1", {}, {})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_container_is_not_root_and_knows_how_to_be_asked(tmp_path):
    served = repository_recipe(Repository("", tmp_path, {}, ""))
    for recipe in (container_recipe(WEB), front_door_recipe(), served):
        assert recipe.config["User"] not in ("", "root")
    config = container_recipe(WEB).config
    assert config["Cmd"] == ["/usr/sbin/nginx"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/healthcheck"]
    assert list(config["ExposedPorts"]) == ["8080/tcp"]


def test_whatever_goes_in_changes_the_digest():
    plain = vm_recipe(WEB)
    updates = Repository("a" * 12, Path("/cache/a"), {"nginx": "1"}, "KEY")
    others = [
        vm_recipe(WEB, updates),
        vm_recipe(WEB, replace(updates, digest="b" * 12, packages={"libssl3": "1"})),
        vm_recipe(replace(WEB, packages=("nginx-light",))),
        vm_recipe(WEB, boot="disk"),
        container_recipe(WEB),
    ]
    assert vm_recipe(WEB).digest == plain.digest
    assert len({recipe.digest for recipe in [plain, *others]}) == 6


def test_where_updates_lie_and_who_signed_them_makes_no_other_image():
    updates = Repository("a" * 12, Path("/cache/a"), {"nginx": "1"}, "KEY")
    moved = replace(updates, folder=Path("/elsewhere"), public_key="ANOTHER")
    assert vm_recipe(WEB, updates).digest == vm_recipe(WEB, moved).digest


def test_a_repositorys_image_holds_its_files_wherever_they_came_from(tmp_path):
    digests = set()
    for place in ("one", "two"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "InRelease").write_text("signed")
        (folder / "nginx.deb").write_bytes(b"\x00\xff")
        recipe = repository_recipe(Repository("a" * 12, folder, {}, "KEY"))
        digests.add(recipe.digest)
        assert set(recipe.files) == {"/srv/updates/InRelease", "/srv/updates/nginx.deb"}
    assert len(digests) == 1
    (tmp_path / "two" / "nginx.deb").write_bytes(b"\x00\xfe")
    assert repository_recipe(Repository("a" * 12, tmp_path / "two", {}, "KEY")).digest not in digests


def test_a_container_has_nothing_of_a_vm():
    files = container_recipe(WEB).files
    assert not [path for path in files if "systemd" in path or "ssh" in path or "seed" in path]
