"""Whose Docker gets a lab's container images, and out of which ones they are taken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pairlab.model import Settings
from pairlab.session.images import build_images, list_images, prune_images
from pairlab.session.workbench import Workbench
from stacks.three_tier import COUNTER
from tests.unit.image.image_worlds import BuildingRunner

FAR = "ssh://me@far"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildingRunner:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (tmp_path / "Pulumi.away.yaml").write_text(f"config: {{dockerHost: '{FAR}'}}")
    (tmp_path / "Pulumi.here.yaml").write_text("config: {}")
    return BuildingRunner()


def test_what_is_built_is_what_the_lab_comes_up_with(runner: BuildingRunner, tmp_path: Path) -> None:
    guest = tmp_path / "cloud.img"
    guest.write_bytes(b"cloud image")
    digest = hashlib.sha256(guest.read_bytes()).hexdigest()
    (tmp_path / "Pulumi.own.yaml").write_text(
        f"config: {{stack: three_tier, boot: disk, guestImageUrl: '{guest.as_uri()}', "
        f"guestImageSha256: '{digest}'}}"
    )
    bench = Workbench(lambda _: None, runner, tmp_path / "cache")
    built = {(image["name"], image["form"]) for image in build_images(bench, "own")}
    assert ("guest", "vm") in built
    assert ("redis", "container") in built
    builds = runner.builds()
    bench.images_for(Settings()).ensure(COUNTER, progress=print, boot="disk")
    assert runner.builds() == builds


def test_images_are_for_the_docker_of_the_labs_settings(runner: BuildingRunner, tmp_path: Path) -> None:
    bench = Workbench(lambda _: None, runner, tmp_path / "cache")
    build_images(bench, "away")
    assert runner.docker == {}
    away = set(runner.elsewhere[FAR])
    assert {name.partition(":")[0] for name in away} == {"pairlab/web", "pairlab/front-door"}
    build_images(bench, "here")
    assert set(runner.docker) == away
    assert len(prune_images(bench)) == 3
    assert runner.docker == runner.elsewhere[FAR] == {}
    assert list_images(bench) == []
