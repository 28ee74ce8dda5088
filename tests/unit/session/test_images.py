"""Whose Docker gets a lab's container images, and out of which ones they are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairlab.session.images import build_images, list_images, prune_images
from pairlab.session.workbench import Workbench
from tests.unit.image.image_worlds import BuildingRunner

FAR = "ssh://me@far"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildingRunner:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (tmp_path / "Pulumi.away.yaml").write_text(f"config: {{dockerHost: '{FAR}'}}")
    (tmp_path / "Pulumi.here.yaml").write_text("config: {}")
    return BuildingRunner()


def test_images_are_for_the_docker_of_the_labs_settings(runner: BuildingRunner, tmp_path: Path) -> None:
    bench = Workbench(lambda _: None, runner, tmp_path / "cache")
    build_images(bench, "pair", "away")
    assert runner.docker == {}
    away = set(runner.elsewhere[FAR])
    assert {name.partition(":")[0] for name in away} == {"pairlab/web", "pairlab/front-door"}
    build_images(bench, "pair", "here")
    assert set(runner.docker) == away
    assert len(prune_images(bench)) == 3
    assert runner.docker == runner.elsewhere[FAR] == {}
    assert list_images(bench) == []
