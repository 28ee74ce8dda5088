"""The image cache: builds what is missing, trusts nothing that changed, lists and prunes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.builder import Builder, image_folder
from pairlab.image.container_archive import layer_sizes
from pairlab.image.guest_image import fetch_guest, guest_folder, guest_image
from pairlab.image.lock import locked
from pairlab.image.private_apt import APT
from pairlab.image.recipe import (
    Recipe,
    container_recipe,
    front_door_recipe,
    repository_recipe,
    tools_recipe,
    vm_recipe,
)
from pairlab.image.record import ARCHIVE, DISK, KERNEL, ImageRecord, reference, sound_image
from pairlab.image.repository import REPOSITORIES, read_repository
from pairlab.image.staging import clear_half_made
from pairlab.model import (
    IMAGE_LABEL,
    BootKind,
    ContainerImage,
    Repository,
    Tools,
    VmImage,
    Workload,
    WorkloadImages,
)
from pairlab.progress import Progress
from pairlab.run import Completed, Runner

ANSWER_TIMEOUT_S = 15.0


class ImageStore:
    """Images in a cache directory; container images also in the engine's local store.

    Args:
        cache: The directory.
        runner: Runs mmdebstrap, qemu-img and the docker client.
        docker_host: Where the Docker answers that container images are for.
    """

    def __init__(self, cache: Path, runner: Runner, docker_host: str = "unix:///var/run/docker.sock") -> None:
        self._cache = cache
        self._runner = runner
        self._docker_host = docker_host

    def ensure(
        self,
        workload: Workload,
        *,
        progress: Progress,
        updates: Repository | None = None,
        boot: BootKind = "direct",
    ) -> WorkloadImages:
        """Both forms of a workload, built if they are missing or damaged.

        Args:
            workload: What to build.
            progress: Told each phase, and now and then in a long one.
            updates: Packages that take the place of the release pocket's, where a form holds them.
            boot: How the VM starts.

        Raises:
            ImageError: A build failed, or came out without an update; nothing half-made is left.
        """
        vm, container = vm_recipe(workload, updates, boot=boot), container_recipe(workload, updates)
        records = self._ensure_all([vm, container], progress)
        return WorkloadImages(vm_image(vm, records[0]), container_image(records[1]))

    def rebuild(self, recipe: Recipe, *, progress: Progress) -> ImageRecord:
        """Build an image of a recipe of the caller's own, and load a container's, also if it is there.

        Raises:
            ImageError: The build failed; what was there before stays.
        """
        with locked(self._cache, progress), _written(self._cache):
            clear_half_made(self._cache, self._runner)
            give = partial(self._give, progress, again=True)
            (record,) = Builder(self._cache, self._runner, progress, give).build_all([recipe])
        return record

    def archive(self, version: str) -> Path:
        """The archive of a container image, as `docker save` would write it.

        Raises:
            ImageError: No image of that version is in the cache.
        """
        return self._record(version).folder / "image.tar"

    def layer_bytes(self, version: str, *, without: str) -> int:
        """Bytes of a container image's layers that another one does not have.

        Args:
            version: Of the image.
            without: Version of the other.
        """
        layers = self._layers(version)
        return sum(layers[digest] for digest in layers.keys() - self._layers(without).keys())

    def ensure_front_door(self, *, progress: Progress) -> ContainerImage:
        """The proxy's image, built if it is missing or damaged."""
        return container_image(self._ensure_all([front_door_recipe()], progress)[0])

    def ensure_repository(self, repository: Repository, *, progress: Progress) -> ContainerImage:
        """An image that serves a package repository, built if it is missing or damaged."""
        return container_image(self._ensure_all([repository_recipe(repository)], progress)[0])

    def ensure_tools(self, *, progress: Progress) -> Tools:
        """Programs to measure with, built if they are missing or damaged."""
        record = self._ensure_all([tools_recipe()], progress)[0]
        return Tools(record.version, record.folder / ARCHIVE, record.packages)

    def ensure_recipe(self, recipe: Recipe, *, progress: Progress) -> ImageRecord:
        """An image of a recipe of the caller's own, built if it is missing or damaged."""
        return self._ensure_all([recipe], progress)[0]

    def ensure_recipes(self, recipes: Sequence[Recipe], *, progress: Progress) -> list[ImageRecord]:
        """The same for several, which are built at once."""
        return self._ensure_all(recipes, progress)

    def ensure_guest(self, url: str, sha256: str, *, progress: Progress) -> VmImage:
        """A cloud image as the guest, fetched if it is missing or damaged.

        Args:
            url: Where it is: `https://`, `http://` or `file://`.
            sha256: Digest that it must have, in hexadecimal.
            progress: Told how far it is.

        Raises:
            ImageError: It cannot be fetched, or is not what the digest says.
        """
        folder = guest_folder(self._cache, sha256)
        record = sound_image(folder)
        if record is None:
            with locked(self._cache, progress), _written(self._cache):
                clear_half_made(self._cache, self._runner)
                # another run may have fetched it meanwhile
                record = sound_image(folder) or fetch_guest(
                    url, sha256, cache=self._cache, runner=self._runner, progress=progress
                )
        return guest_image(record)

    def planned(self, workload: Workload, *, boot: BootKind = "direct") -> WorkloadImages:
        """Both forms as far as they are built; else stand-ins that only a preview may use."""
        recipe = vm_recipe(workload, boot=boot)
        vm, container = self._find(recipe), self._find(container_recipe(workload))
        return WorkloadImages(
            vm_image(recipe, vm) if vm else VmImage.unbuilt(owns_kernel=recipe.boots_itself),
            container_image(container) if container else ContainerImage.unbuilt(workload.name),
        )

    def planned_guest(self, sha256: str) -> VmImage:
        """A cloud image if it is fetched; else a stand-in that only a preview may use."""
        record = ImageRecord.read(guest_folder(self._cache, sha256) / "record.json")
        return guest_image(record) if record else VmImage.unbuilt(owns_kernel=True)

    def planned_front_door(self) -> ContainerImage:
        """The proxy's image if it is built; else a stand-in that only a preview may use."""
        recipe = front_door_recipe()
        record = self._find(recipe)
        return container_image(record) if record else ContainerImage.unbuilt(recipe.name)

    def records(self) -> list[ImageRecord]:
        """All built images, newest first."""
        found = [ImageRecord.read(path) for path in self._cache.glob("*/*/record.json")]
        return sorted((record for record in found if record), key=lambda record: -record.created)

    def manifest(self, version: str) -> Mapping[str, str]:
        """Package -> version of all that a built image holds.

        Raises:
            ImageError: No image of that version is in the cache.
        """
        return self._record(version).packages

    def _record(self, version: str) -> ImageRecord:
        for record in self.records():
            if record.version == version:
                return record
        raise ImageError(f"there is no image {version} here", hint="`invoke image.list` shows them all")

    def _layers(self, version: str) -> dict[str, int]:
        """Digest of each layer of a container image -> its bytes."""
        return layer_sizes(self.archive(version))

    def any_kernel(self) -> Path | None:
        """The newest kernel among the images, to try on this host; None if none has been built."""
        return next((record.folder / KERNEL for record in self.records() if KERNEL in record.files), None)

    def prune(
        self, in_use: Collection[str], *, progress: Progress, docker_hosts: Collection[str] = ()
    ) -> list[ImageRecord]:
        """Remove the images whose version is not in use, and what no image that is left was made of.

        Args:
            in_use: Versions that some lab names.
            progress: Told each removal.
            docker_hosts: Where else a Docker answers that may hold them.

        Returns:
            What was removed. What a container still uses is kept, and so are all container images where a
            Docker does not answer: nobody would know later that it has them.
        """
        removed = []
        hosts = {self._docker_host, *docker_hosts}
        with locked(self._cache, progress):
            clear_half_made(self._cache, self._runner)
            silent = sorted(host for host in hosts if not self._answers(host))
            for host in silent:
                progress(f"keeping container images: Docker does not answer at {host}")
            for record in self.records():
                if record.version in in_use or (record.form == "container" and silent):
                    continue
                if record.form == "container" and not all(self._unload(record, host) for host in hosts):
                    progress(f"keeping {record.name} (container) {record.version}: a container uses it")
                    continue
                progress(f"removing {record.name} ({record.form}) {record.version}")
                shutil.rmtree(record.folder)
                removed.append(record)
            self._clear_sources()
        return removed

    # Docker

    def _docker(self, *words: str, host: str = "", timeout_s: float | None = None) -> Completed:
        argv = ["docker", "--host", host or self._docker_host, *words]
        return self._runner.run(argv, check=False, timeout_s=timeout_s)

    def _answers(self, host: str) -> bool:
        try:
            return self._docker("version", host=host, timeout_s=ANSWER_TIMEOUT_S).returncode == 0
        except CommandError:
            return False  # not in time

    def _give(self, progress: Progress, record: ImageRecord, *, again: bool = False) -> None:
        """Let Docker have a container image, or have it again."""
        if record.form != "container" or (self._loaded(record) and not again):
            return
        name = reference(record.name, record.version)
        progress(f"loading {name} into Docker")
        done = self._docker("load", "--quiet", "--input", str(record.folder / "image.tar"))
        if done.returncode:
            raise ImageError(
                f"Docker did not take {name}", hint="`invoke lab.doctor` looks at Docker", details=done.stderr
            )

    def _loaded(self, record: ImageRecord, host: str = "") -> bool:
        """Whether Docker has this very image: by our label, so that no image of others is touched."""
        label, name = f'{{{{index .Config.Labels "{IMAGE_LABEL}"}}}}', reference(record.name, record.version)
        done = self._docker("image", "inspect", "--format", label, name, host=host)
        return done.returncode == 0 and done.stdout.strip() == record.version

    def _unload(self, record: ImageRecord, host: str) -> bool:
        """Take it out of a Docker; whether it is not there any more."""
        if not self._loaded(record, host):
            return True
        name = reference(record.name, record.version)
        return self._docker("image", "rm", name, host=host).returncode == 0

    # Building

    def _find(self, recipe: Recipe) -> ImageRecord | None:
        return ImageRecord.read(image_folder(self._cache, recipe) / "record.json")

    def _ensure_all(self, recipes: Sequence[Recipe], progress: Progress) -> list[ImageRecord]:
        folders = {recipe.digest: image_folder(self._cache, recipe) for recipe in recipes}
        records = {digest: sound_image(folder) for digest, folder in folders.items()}
        if None in records.values():
            with locked(self._cache, progress):
                clear_half_made(self._cache, self._runner)
                # another builder may have made it meanwhile
                records = {digest: sound_image(folder) for digest, folder in folders.items()}
                missing = [recipe for recipe in recipes if records[recipe.digest] is None]
                builder = Builder(self._cache, self._runner, progress, partial(self._give, progress))
                with _written(self._cache):
                    records |= {record.recipe: record for record in builder.build_all(missing)}
        found = [record for recipe in recipes if (record := records[recipe.digest])]
        for record in found:
            self._give(progress, record)
        return found

    # Keeping builds apart

    def _clear_sources(self) -> None:
        """Remove repositories that no image serves; with the last image, bases and apt's lists too."""
        for folder in (self._cache / REPOSITORIES).glob("*"):
            repository = read_repository(folder)
            if repository is None or self._find(repository_recipe(repository)) is None:
                shutil.rmtree(folder)
        if not self.records():
            for name in ("bases", APT):
                shutil.rmtree(self._cache / name, ignore_errors=True)


@contextmanager
def _written(cache: Path) -> Iterator[None]:
    """Say what it means that files could not be written."""
    try:
        yield
    except OSError as error:
        hint = f"check {cache}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space (`invoke image.prune` removes unused images), then try again"
        raise ImageError(f"an image could not be written: {error.strerror or error}", hint=hint) from error


def vm_image(recipe: Recipe, record: ImageRecord) -> VmImage:
    """A built VM image, as labs are declared with it."""
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


def container_image(record: ImageRecord) -> ContainerImage:
    """A built container image, as labs are declared with it."""
    return ContainerImage(record.version, reference(record.name, record.version), record.size_bytes)
