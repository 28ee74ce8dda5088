"""The image cache: builds what is missing, trusts nothing that changed, lists and prunes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.image.builder import Builder, image_folder, staging
from pairlab.image.guest_image import fetch_guest, guest_folder, guest_image
from pairlab.image.recipe import Recipe, container_recipe, front_door_recipe, vm_recipe
from pairlab.image.record import DISK, KERNEL, VERSION_LABEL, ImageRecord, reference
from pairlab.model import BootKind, ContainerImage, VmImage, Workload, WorkloadImages
from pairlab.progress import Progress
from pairlab.run import Runner


class ImageStore:
    """Images in a cache directory; container images also in the engine's local store.

    Args:
        cache: The directory.
        runner: Runs mmdebstrap, qemu-img and the docker client.
        docker_host: Where Docker answers.
    """

    def __init__(self, cache: Path, runner: Runner, docker_host: str = "unix:///var/run/docker.sock") -> None:
        self._cache = cache
        self._runner = runner
        self._docker = ["docker", "--host", docker_host]

    def ensure(
        self,
        workload: Workload,
        *,
        progress: Progress,
        pins: Mapping[str, str] | None = None,
        pocket: str = "release",
        boot: BootKind = "direct",
        refresh: bool = False,
    ) -> WorkloadImages:
        """Both forms of a workload, built if they are missing or damaged.

        Args:
            workload: What to build.
            progress: Told each phase, and now and then in a long one.
            pins: Package -> version that it must have.
            pocket: `release`, or `security` to take updates too.
            boot: How the VM starts.
            refresh: Build anew, with the versions that the mirror has now.

        Raises:
            ImageError: A build failed; nothing half-made is left.
        """
        vm, container = _recipes(workload, pocket, pins, boot)
        records = self._ensure_all([vm, container], progress, refresh=refresh)
        return WorkloadImages(_vm_image(vm, records[0]), _container_image(records[1]))

    def ensure_front_door(self, *, progress: Progress) -> ContainerImage:
        """The proxy's image, built if it is missing or damaged."""
        return _container_image(self._ensure_all([front_door_recipe()], progress)[0])

    def ensure_recipe(self, recipe: Recipe, *, progress: Progress) -> ImageRecord:
        """An image of a recipe of the caller's own, built if it is missing or damaged."""
        return self._ensure_all([recipe], progress)[0]

    def ensure_guest(self, url: str, sha256: str, *, progress: Progress) -> VmImage:
        """A cloud image as the guest, fetched if it is missing or damaged.

        Args:
            url: Where it is: `https://`, `http://` or `file://`.
            sha256: Digest that it must have, in hexadecimal.
            progress: Told how far it is.

        Raises:
            ImageError: It cannot be fetched, or is not what the digest says.
        """
        path = guest_folder(self._cache, sha256) / "record.json"
        record = ImageRecord.read(path)
        if record is None or not record.is_sound():
            with self._locked(progress), _written(self._cache), staging(self._cache) as out:
                record = fetch_guest(
                    url, sha256, cache=self._cache, out=out, runner=self._runner, progress=progress
                )
        return guest_image(record)

    def planned(
        self,
        workload: Workload,
        *,
        pins: Mapping[str, str] | None = None,
        pocket: str = "release",
        boot: BootKind = "direct",
    ) -> WorkloadImages:
        """Both forms as far as they are built; else stand-ins that only a preview may use."""
        recipe, container_form = _recipes(workload, pocket, pins, boot)
        vm, container = self._find(recipe), self._find(container_form)
        return WorkloadImages(
            _vm_image(recipe, vm) if vm else VmImage.unbuilt(owns_kernel=recipe.boots_itself),
            _container_image(container) if container else ContainerImage.unbuilt(workload.name),
        )

    def planned_guest(self, sha256: str) -> VmImage:
        """A cloud image if it is fetched; else a stand-in that only a preview may use."""
        record = ImageRecord.read(guest_folder(self._cache, sha256) / "record.json")
        return guest_image(record) if record else VmImage.unbuilt(owns_kernel=True)

    def planned_front_door(self) -> ContainerImage:
        """The proxy's image if it is built; else a stand-in that only a preview may use."""
        recipe = front_door_recipe()
        record = self._find(recipe)
        return _container_image(record) if record else ContainerImage.unbuilt(recipe.name)

    def records(self) -> list[ImageRecord]:
        """All built images, newest first."""
        found = [ImageRecord.read(path) for path in self._cache.glob("*/*/record.json")]
        return sorted((record for record in found if record), key=lambda record: -record.created)

    def any_kernel(self) -> Path | None:
        """The newest kernel among the images, to try on this host; None if none has been built."""
        return next((record.folder / KERNEL for record in self.records() if KERNEL in record.files), None)

    def prune(self, in_use: Collection[str], *, progress: Progress) -> list[ImageRecord]:
        """Remove the images whose version is not in use, and bases that no image is left of.

        Args:
            in_use: Versions that some lab names.
            progress: Told each removal.

        Returns:
            What was removed; what a container still uses is kept.
        """
        removed = []
        with self._locked(progress):
            self._clear_half_made()
            for record in self.records():
                if record.version in in_use:
                    continue
                if record.form == "container" and self._loaded(record) and not self._unload(record):
                    progress(f"keeping {record.name} (container) {record.version}: a container uses it")
                    continue
                progress(f"removing {record.name} ({record.form}) {record.version}")
                shutil.rmtree(record.folder)
                removed.append(record)
            if not self.records():
                shutil.rmtree(self._cache / "bases", ignore_errors=True)
        return removed

    # Docker

    def _load(self, record: ImageRecord, progress: Progress) -> None:
        name = reference(record.name, record.version)
        progress(f"loading {name} into Docker")
        archive = record.folder / "image.tar"
        done = self._runner.run([*self._docker, "load", "--quiet", "--input", str(archive)], check=False)
        if done.returncode:
            raise ImageError(
                f"Docker did not take {name}", hint="`invoke lab.doctor` looks at Docker", details=done.stderr
            )

    def _loaded(self, record: ImageRecord) -> bool:
        """Whether Docker has this very image: by our label, so that no image of others is touched."""
        label = f'{{{{index .Config.Labels "{VERSION_LABEL}"}}}}'
        argv = [*self._docker, "image", "inspect", "--format", label, reference(record.name, record.version)]
        done = self._runner.run(argv, check=False)
        return done.returncode == 0 and done.stdout.strip() == record.version

    def _unload(self, record: ImageRecord) -> bool:
        argv = [*self._docker, "image", "rm", reference(record.name, record.version)]
        return self._runner.run(argv, check=False).returncode == 0

    # Building

    def _find(self, recipe: Recipe) -> ImageRecord | None:
        return ImageRecord.read(image_folder(self._cache, recipe) / "record.json")

    def _sound(self, recipe: Recipe) -> ImageRecord | None:
        record = self._find(recipe)
        return record if record is not None and record.is_sound() else None

    def _ensure_all(
        self, recipes: Sequence[Recipe], progress: Progress, *, refresh: bool = False
    ) -> list[ImageRecord]:
        records = {recipe.digest: None if refresh else self._sound(recipe) for recipe in recipes}
        if None in records.values():
            with self._locked(progress):
                self._clear_half_made()
                if not refresh:  # another builder may have made it meanwhile
                    records = {recipe.digest: self._sound(recipe) for recipe in recipes}
                missing = [recipe for recipe in recipes if records[recipe.digest] is None]
                builder = Builder(self._cache, self._runner, progress)
                with _written(self._cache):
                    records |= {record.recipe: record for record in builder.build_all(missing)}
        found = [record for recipe in recipes if (record := records[recipe.digest])]
        for record in found:
            if record.form == "container" and not self._loaded(record):
                self._load(record, progress)
        return found

    # Keeping builds apart

    def _clear_half_made(self) -> None:
        shutil.rmtree(self._cache / "making", ignore_errors=True)

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            lock = (self._cache / "lock").open("a+")
        except OSError as error:
            raise ImageError(
                f"{self._cache} cannot be written: {error.strerror}",
                hint="set PAIRLAB_CACHE to a directory of yours",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                progress(f"waiting for another image build, of process {lock.read().strip() or 'unknown'}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


@contextmanager
def _written(cache: Path) -> Iterator[None]:
    """Say what it means that files could not be written."""
    try:
        yield
    except OSError as error:
        hint = f"check {cache}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space (`invoke image.prune` removes unused images), then try again"
        raise ImageError(f"an image could not be written: {error.strerror}", hint=hint) from error


def _recipes(
    workload: Workload, pocket: str, pins: Mapping[str, str] | None, boot: BootKind
) -> tuple[Recipe, Recipe]:
    return (
        vm_recipe(workload, pocket=pocket, pins=pins or {}, boot=boot),
        container_recipe(workload, pocket=pocket, pins=pins or {}),
    )


def _vm_image(recipe: Recipe, record: ImageRecord) -> VmImage:
    folder = record.folder
    disk = folder / DISK
    if recipe.boots_itself:
        return VmImage(record.version, disk, Path(), Path(), size_bytes=record.sizes[DISK])
    return VmImage(
        record.version,
        disk,
        kernel=folder / KERNEL,
        initrd=folder / "initrd",
        cmdline=recipe.cmdline,
        size_bytes=record.size_bytes,
    )


def _container_image(record: ImageRecord) -> ContainerImage:
    return ContainerImage(record.version, reference(record.name, record.version), record.size_bytes)
