"""Updates of what instances run: found by asking apt, kept in a local, signed repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.image.lock import locked
from pairlab.image.private_apt import APT, Move, PrivateApt, System, changed_at
from pairlab.image.recipe import KERNEL_PACKAGE
from pairlab.image.repository import RAISED, REPOSITORIES, find_repository, make_repository
from pairlab.model import NoUpdate, Repository, Update, Workload
from pairlab.progress import Progress
from pairlab.run import Runner

Manifest = Mapping[str, str]
"""Package -> version of all that an image holds."""


class Updates:
    """Finds updates, and makes repositories of them in the image cache, by the mirror's lists of one moment.

    Args:
        cache: The image cache.
        runner: Runs apt, dpkg-deb and the signer.
    """

    def __init__(self, cache: Path, runner: Runner) -> None:
        self._cache = cache
        self._runner = runner
        self._apt = PrivateApt(cache / APT, runner)
        self._lists_read = False

    def find(self, workload: Workload, manifests: Sequence[Manifest], *, progress: Progress) -> Update:
        """The update of a workload.

        Its first package, if the security pocket has a newer one than the images hold. Where both pockets
        hold the same, the package that it needs and whose update is the latest. Where there is none
        either, the first package again, built anew with a raised version.

        Args:
            workload: What the images run.
            manifests: What each of its images holds: both forms'.
            progress: Told what is going on.

        Raises:
            ImageError: The mirror cannot be reached, or the images do not hold the same version.
        """
        package = workload.packages[0]
        installed = _installed(package, manifests)
        with locked(self._cache, progress):
            self._read_lists(progress)
            systems = [self._apt.system(manifest) for manifest in manifests]
            found = self._update(package, systems)
            if found is None:
                found = self._newest_needed(package, systems, progress)
        if found is None:
            new = installed + RAISED
            found = Update(
                package,
                installed,
                new,
                {package: new},
                "rebuilt",
                f"the security pocket has nothing newer than {package} {installed}, nor than what it needs, "
                "so the same package was built anew with a raised version",
                {package: installed},
            )
        progress(f"the update is {found.package} {found.installed} -> {found.new}: {found.reason}")
        return found

    def find_kernel(self, manifest: Manifest, *, progress: Progress) -> Update | NoUpdate:
        """The kernel's update for VMs: the package that always depends on the newest, and the kernel itself.

        Args:
            manifest: What the VM's image holds.
            progress: Told what is going on.
        """
        if KERNEL_PACKAGE not in manifest:
            return NoUpdate(f"the image holds no {KERNEL_PACKAGE}")
        with locked(self._cache, progress):
            self._read_lists(progress)
            found = self._update(KERNEL_PACKAGE, [self._apt.system(manifest)])
        held = manifest[KERNEL_PACKAGE]
        return found or NoUpdate(f"the security pocket has no newer {KERNEL_PACKAGE} than {held}")

    def repository(
        self, updates: Sequence[Update], *, progress: Progress, way_back: bool = False
    ) -> Repository:
        """A repository of exactly the packages of these updates; made once.

        Args:
            updates: What it is to hold.
            progress: Told each phase.
            way_back: It also holds what they replace.

        Raises:
            ImageError: A package cannot be fetched or built.
        """
        with locked(self._cache, progress):
            folder = self._cache / REPOSITORIES
            found = find_repository(folder, updates, way_back=way_back)
            if found is None:
                self._read_lists(progress)
                found = make_repository(
                    folder,
                    updates,
                    way_back=way_back,
                    fetch=self._apt.download,
                    runner=self._runner,
                    progress=progress,
                )
        return found

    def _read_lists(self, progress: Progress) -> None:
        """Read the mirror's lists, once: what was found in them is fetched by them, too."""
        if not self._lists_read:
            self._apt.refresh(progress)
            self._lists_read = True

    def _update(
        self, package: str, systems: Sequence[System], why: Callable[[Move], str] | None = None
    ) -> Update | None:
        """The update of one package from the security pocket, if there is one for every system."""
        upgrades = [self._apt.upgrade(system, package) for system in systems]
        own = [upgrade[package] for upgrade in upgrades if package in upgrade]
        if len(own) < len(systems) or not all(move.security for move in own):
            return None
        packages = {name: move.new for upgrade in upgrades for name, move in upgrade.items()}
        move = own[0]
        reason = why(move) if why else f"Debian's security pocket has a newer {package} than the release"
        before = {n: m.installed for upgrade in upgrades for n, m in upgrade.items() if m.installed}
        return Update(package, move.installed, move.new, packages, "security", reason, before)

    def _newest_needed(self, package: str, systems: Sequence[System], progress: Progress) -> Update | None:
        """Of what a package needs everywhere, the one whose update is the latest."""
        progress(f"{package} itself has no update: looking at what it needs")
        candidates: dict[str, str] | None = None
        for system in systems:
            needed = self._apt.closure(system, package)
            newer = {
                name: move.new
                for name, move in self._apt.upgradable(system).items()
                if move.security and move.installed and name in needed
            }
            candidates = {n: v for n, v in newer.items() if candidates is None or n in candidates}
        if not candidates:
            return None
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            fetched = self._apt.download(candidates, Path(folder))
            dates = {deb.name.partition("_")[0]: changed_at(deb) for deb in fetched}
        newest = max(sorted(dates), key=dates.__getitem__)
        day = datetime.fromtimestamp(dates[newest], UTC).date()
        return self._update(
            newest,
            systems,
            lambda _: (
                f"both pockets have the same {package}; of what it needs, {newest} has the latest "
                f"security update, of {day}"
            ),
        )


def _installed(package: str, manifests: Sequence[Manifest]) -> str:
    versions = {manifest.get(package, "") for manifest in manifests}
    if len(versions) != 1 or "" in versions:
        told = ", ".join(sorted(version or "none" for version in versions))
        raise ImageError(
            f"the images do not hold one version of {package}, but {told}",
            hint="they were built at different times: `invoke image.prune`, then `invoke image.build`",
        )
    return versions.pop()
