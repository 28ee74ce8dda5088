"""A lab with its own package repository: installed from on both sides, and by nobody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from lab_commands import Commands

from pairlab.errors import CommandError
from pairlab.exercise import _inside
from pairlab.image.apt_source import AptSource
from pairlab.model import PACKAGES_PORT, PACKAGES_URL, Outcome, Repository, SideName, Update
from pairlab.run import Runner
from pairlab.session import lab as labs
from pairlab.session.workbench import Workbench
from stacks.pair import WEB

pytestmark = pytest.mark.integration


@dataclass
class Updated:
    """A lab that was up without a repository, and then got one."""

    name: str
    bench: Workbench
    update: Update
    repository: Repository
    added: Outcome

    def root(self, side: SideName) -> Runner:
        return self.bench.side(self.name, side).runner(0, admin=True)

    @property
    def source(self) -> AptSource:
        return AptSource(PACKAGES_URL, self.repository.public_key)


@pytest.fixture(scope="module")
def updated(commands: Commands, lab: str) -> Iterator[Updated]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAIRLAB_STATE", str(commands.state))
        bench = Workbench(progress=print)
        first = labs.up(bench, lab, {})
        images = first.spec.images[WEB.name]
        store = bench.images_for(first.spec.settings)
        held = [store.manifest(form.version) for form in (images.vm, images.container)]
        update = bench.updates.find(WEB, held, progress=print)
        repository = bench.updates.repository([update], progress=print)
        served = store.ensure_repository(repository, progress=print)
        added = labs.up(bench, lab, {}, updates=served).outcome
        yield Updated(lab, bench, update, repository, added)


def test_a_repository_joins_a_running_lab_and_touches_nothing_of_it(updated: Updated) -> None:
    made = [(change.op, change.type) for change in updated.added.changed]
    assert sorted(made) == 2 * [("create", "docker:index/container:Container")] + 2 * [
        ("create", "pairlab:packages:PackageRepository")
    ]


@pytest.mark.parametrize("side", list(SideName))
def test_an_instance_installs_the_update_from_its_lab_alone(updated: Updated, side: SideName) -> None:
    root, update = updated.root(side), updated.update
    assert version(root, update.package) == update.installed
    before = age_s(root)
    updated.source.add(root)
    uris = root.run([*updated.source.upgrade(update), "--print-uris"]).stdout.split("\n")
    fetched = [line.split("'")[1] for line in uris if line.startswith("'")]
    assert len(fetched) == len(update.packages)
    assert all(uri.startswith(PACKAGES_URL) for uri in fetched)
    updated.source.install(root, update)
    for name, wanted in update.packages.items():
        assert version(root, name) == wanted
    assert age_s(root) >= before  # it was patched in place
    files = updated.repository.folder.glob("*.deb")
    assert _inside.fetched_bytes(root, update.packages) == sum(file.stat().st_size for file in files)
    log = docker("logs", f"pairlab-{updated.name}-{side}-packages")
    assert log.count('.deb HTTP/1.1" 200') == len(update.packages)


def test_a_list_that_was_changed_after_it_was_signed_is_refused(updated: Updated) -> None:
    server = f"pairlab-{updated.name}-container-packages"
    docker("exec", "--user", "root", server, "sed", "-i", "s/pairlab/elsewhere/", "/srv/updates/InRelease")
    root = updated.root(SideName.CONTAINER)
    with pytest.raises(CommandError) as caught:
        root.run(updated.source.refresh)
    assert "BADSIG" in caught.value.details


def test_only_the_vms_network_reaches_the_vms_repository(updated: Updated) -> None:
    gateway = address_of_the_vms_repository(updated)
    listening = subprocess.run(
        ["ss", "-Hltn", f"sport = :{PACKAGES_PORT}"], capture_output=True, text=True, check=True
    ).stdout
    assert f"{gateway}:{PACKAGES_PORT}" in {line.split()[3] for line in listening.splitlines()}
    url = f"http://{gateway}:{PACKAGES_PORT}/InRelease"
    get = ["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=0", "download-file", url, "/tmp/got"]
    updated.root(SideName.VM).run(get)
    image = docker("inspect", "--format", "{{.Config.Image}}", f"pairlab-{updated.name}-container-packages")
    stranger = subprocess.run(
        ["docker", "run", "--rm", "--user", "root", image.strip(), *get], capture_output=True, text=True
    )
    assert stranger.returncode != 0
    assert "403" in stranger.stdout + stranger.stderr


def address_of_the_vms_repository(updated: Updated) -> str:
    root = updated.root(SideName.VM)
    return root.run(["getent", "ahostsv4", "packages"]).stdout.split()[0]


def version(root: Runner, package: str) -> str:
    return root.run(["dpkg-query", "-W", "-f", "${Version}", package]).stdout


def age_s(root: Runner) -> float:
    """Seconds since the instance's first process began."""
    ticks = root.run(["cut", "-d", " ", "-f", "22", "/proc/1/stat"]).stdout
    now = root.run(["cut", "-d", " ", "-f", "1", "/proc/uptime"]).stdout
    return float(now) - int(ticks) / 100


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout
