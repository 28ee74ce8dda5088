"""Updates from Debian's own security pocket, and one built anew, in images: nothing else differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from pairlab.image.recipe import KERNEL_PACKAGE
from pairlab.image.repository import RAISED
from pairlab.image.store import ImageStore
from pairlab.image.updates import Updates
from pairlab.model import NoUpdate, Update, WorkloadImages
from pairlab.run import LocalRunner
from stacks.pair import WEB as PLAIN_WEB

pytestmark = pytest.mark.integration

WEB = replace(PLAIN_WEB, name="plupdate")  # so that pruning meets no lab's image
KERNEL = re.compile(r"linux-image-[0-9].*-cloud-amd64")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ImageStore, Updates]]:
    cache = tmp_path_factory.mktemp("image cache")
    store = ImageStore(cache, LocalRunner())
    yield store, Updates(cache, LocalRunner())
    store.prune((), progress=print)


@pytest.fixture(scope="module")
def released(world: tuple[ImageStore, Updates]) -> WorkloadImages:
    return world[0].ensure(WEB, progress=print)


def manifests(store: ImageStore, images: WorkloadImages) -> list[Mapping[str, str]]:
    return [store.manifest(form.version) for form in (images.vm, images.container)]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    names = before.keys() | after.keys()
    return {name: after.get(name, "") for name in names if before.get(name) != after.get(name)}


def newer(version: str, than: str) -> bool:
    compared = LocalRunner().run(["dpkg", "--compare-versions", version, "gt", than], check=False)
    return compared.returncode == 0


def test_only_the_update_differs_in_either_image(
    world: tuple[ImageStore, Updates], released: WorkloadImages
) -> None:
    store, updates = world
    held = manifests(store, released)
    update = updates.find(WEB, held, progress=print)
    assert newer(update.new, update.installed)
    assert update.packages[update.package] == update.new
    repository = updates.repository([update], progress=print)
    images = store.ensure(WEB, progress=print, updates=repository)
    for before, after in zip(held, manifests(store, images), strict=True):
        assert before[update.package] == update.installed
        of_form = {name: new for name, new in update.packages.items() if name in after}
        assert differences(before, after) == of_form


def test_a_package_built_anew_is_installed_and_a_new_kernel_takes_the_olds_place(
    world: tuple[ImageStore, Updates], released: WorkloadImages
) -> None:
    store, updates = world
    held = manifests(store, released)
    installed = held[0]["nginx"]
    raised = installed + RAISED
    assert newer(raised, installed)
    again = Update("nginx", installed, raised, {"nginx": raised}, "rebuilt", "", {"nginx": installed})
    kernel = updates.find_kernel(held[0], progress=print)
    if isinstance(kernel, NoUpdate):
        assert KERNEL_PACKAGE in kernel.reason
    chosen = [again, kernel] if isinstance(kernel, Update) else [again]
    repository = updates.repository(chosen, progress=print)
    images = store.ensure(WEB, progress=print, updates=repository)
    vm, container = manifests(store, images)
    assert differences(held[1], container) == again.packages
    old = {name: "" for name in held[0] if KERNEL.fullmatch(name) and name not in repository.packages}
    gone = old if isinstance(kernel, Update) else {}
    assert differences(held[0], vm) == {**repository.packages, **gone}
    assert len([name for name in vm if KERNEL.fullmatch(name)]) == 1
    assert (images.vm.kernel.read_bytes() == released.vm.kernel.read_bytes()) == (not gone)
