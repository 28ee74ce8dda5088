import hashlib
import json
import tarfile

import pytest
from image_worlds import WEB, write_tar

from pairlab.image.container_archive import write_archive, write_own_layer
from pairlab.image.recipe import container_recipe, front_door_recipe, vm_recipe


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


def test_a_container_is_not_root_and_knows_how_to_be_asked():
    for recipe in (container_recipe(WEB, pocket="release", pins={}), front_door_recipe()):
        assert recipe.config["User"] not in ("", "root")
    config = container_recipe(WEB, pocket="release", pins={}).config
    assert config["Cmd"] == ["/usr/sbin/nginx"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/healthcheck"]
    assert list(config["ExposedPorts"]) == ["8080/tcp"]


def test_whatever_goes_in_changes_the_digest():
    plain = vm_recipe(WEB, pocket="release", pins={})
    others = [
        vm_recipe(WEB, pocket="security", pins={}),
        vm_recipe(WEB, pocket="release", pins={"nginx": "1"}),
        vm_recipe(WEB, pocket="release", pins={"libssl3": "1"}),
        vm_recipe(WEB, pocket="release", pins={}, boot="disk"),
        container_recipe(WEB, pocket="release", pins={}),
    ]
    assert vm_recipe(WEB, pocket="release", pins={}).digest == plain.digest
    assert len({recipe.digest for recipe in [plain, *others]}) == 6


def test_a_container_has_nothing_of_a_vm():
    files = container_recipe(WEB, pocket="release", pins={}).files
    assert not [path for path in files if "systemd" in path or "ssh" in path or "seed" in path]
