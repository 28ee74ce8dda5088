"""The images that exercises declare: each is made when it is needed, and nothing else with it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.image.recipe import Recipe
from pairlab.model import Repository, Settings, SideName
from pairlab.session import live_images
from pairlab.session.live_images import LiveImages
from stacks.pair import WEB

REPOSITORY = Repository("a" * 12, Path("/repository"), {}, "KEY")


class Bench:
    """Notes what is done, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.updates = SimpleNamespace(find=self._find, repository=self._repository)

    def progress(self, line: str) -> None:
        pass

    def images_for(self, settings: Settings) -> Bench:
        return self

    def manifest(self, version: str) -> dict[str, str]:
        return {"image": version}

    def ensure_recipe(self, recipe: Recipe, *, progress: Any) -> Recipe:
        self.did.append(f"built the {recipe.form}")
        return recipe

    def _find(self, workload: Any, manifests: Any, *, progress: Any) -> str:
        assert manifests == [{"image": "vm"}, {"image": "container"}]
        self.did.append("found")
        return "the update"

    def _repository(self, updates: list[str], *, progress: Any) -> Repository:
        assert updates == ["the update"]
        self.did.append("fetched")
        return REPOSITORY


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(live_images, "vm_recipe", lambda *_, **__: SimpleNamespace(form="vm"))
    monkeypatch.setattr(live_images, "container_recipe", lambda *_: SimpleNamespace(form="container"))
    monkeypatch.setattr(
        live_images, "vm_image", lambda recipe, _: SimpleNamespace(version=f"new {recipe.form}")
    )
    monkeypatch.setattr(live_images, "container_image", lambda _: SimpleNamespace(version="new container"))
    return Bench()


def test_a_side_waits_for_no_build_but_its_own(bench: Bench) -> None:
    declared = SimpleNamespace(
        vm=SimpleNamespace(version="vm"), container=SimpleNamespace(version="container")
    )
    base: Any = SimpleNamespace(images={WEB.name: declared}, settings=Settings())
    its: Any = bench
    images = LiveImages(its, base, WEB)
    assert images.update == "the update"  # type: ignore[comparison-overlap]
    # Found and fetched beforehand: neither is in the time of a build.
    assert bench.did == ["found", "fetched"]
    assert images.manifest(SideName.VM, updated=True) == {"image": "new vm"}
    assert bench.did[2:] == ["built the vm"]
    assert images.manifest(SideName.CONTAINER, updated=True) == {"image": "new container"}
    assert images.updated_vm.version == "new vm"
    assert bench.did[3:] == ["built the container"]
    assert images.manifest(SideName.CONTAINER, updated=False) == {"image": "container"}
    assert len(bench.did) == 4
