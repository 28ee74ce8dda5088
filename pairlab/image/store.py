"""The image cache: builds what is missing, trusts nothing that changed, lists and prunes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pairlab.image.container_archive import file_digest, write_archive, write_own_layer
from pairlab.image.recipe import (
    CMDLINE,
    MODULES,
    VM_PACKAGES,
    Recipe,
    container_recipe,
    front_door_recipe,
    short_digest,
    vm_recipe,
)
from pairlab.image.record import ImageRecord
from pairlab.image.rootfs import bootstrap, branch, debian_sources, read_packages, write_hook
from pairlab.image.vm_disk import finish_disk, write_initrd
from pairlab.model import PROJECT, ContainerImage, VmImage, Workload, WorkloadImages
from pairlab.run import Runner

Progress = Callable[[str], None]
DISK_SIZE = "2G"
VERSION_LENGTH = 12
VERSION_LABEL = "org.pairlab.image"


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
    ) -> WorkloadImages:
        """Both forms of a workload, built if they are missing or damaged.

        Args:
            workload: What to build.
            progress: Told each phase, and now and then in a long one.
            pins: Package -> version that it must have.
            pocket: `release`, or `security` to take updates too.

        Raises:
            ImageError: A build failed; nothing half-made is left.
        """
        recipes = [
            vm_recipe(workload, pocket=pocket, pins=pins or {}),
            container_recipe(workload, pocket=pocket, pins=pins or {}),
        ]
        vm, container = self._ensure_all(recipes, progress)
        return WorkloadImages(self._vm_image(vm), self._container_image(container))

    def ensure_front_door(self, *, progress: Progress) -> ContainerImage:
        """The proxy's image, built if it is missing or damaged."""
        return self._container_image(self._ensure_all([front_door_recipe()], progress)[0])

    def planned(self, workload: Workload) -> WorkloadImages:
        """Both forms as far as they are built; else stand-ins that only a preview may use."""
        vm = self._find(vm_recipe(workload, pocket="release", pins={}))
        container = self._find(container_recipe(workload, pocket="release", pins={}))
        return WorkloadImages(
            self._vm_image(vm)
            if vm
            else VmImage("not-built-yet", Path("disk.qcow2"), Path("vmlinuz"), Path("initrd"), built=False),
            self._container_image(container)
            if container
            else ContainerImage("not-built-yet", f"{PROJECT}/{workload.name}:not-built-yet", built=False),
        )

    def planned_front_door(self) -> ContainerImage:
        """The proxy's image if it is built; else a stand-in that only a preview may use."""
        record = self._find(front_door_recipe())
        if record:
            return self._container_image(record)
        return ContainerImage("not-built-yet", f"{PROJECT}/front-door:not-built-yet", built=False)

    def records(self) -> list[ImageRecord]:
        """All built images, newest first."""
        found = [ImageRecord.read(path) for path in self._cache.glob("*/*/record.json")]
        return sorted((record for record in found if record), key=lambda record: -record.created)

    def prune(self, in_use: Collection[str], *, progress: Progress) -> list[ImageRecord]:
        """Remove the images whose version is not in use, and bases that are left.

        Args:
            in_use: Versions that some lab names.
            progress: Told each removal.

        Returns:
            What was removed.
        """
        removed = []
        with self._locked(progress):
            for record in self.records():
                if record.version in in_use:
                    continue
                progress(f"removing {record.name} ({record.form}) {record.version}")
                if record.form == "container" and self._loaded(record):
                    self._runner.run([*self._docker, "image", "rm", _reference(record)])
                shutil.rmtree(record.folder)
                removed.append(record)
            if not self.records():
                shutil.rmtree(self._cache / "bases", ignore_errors=True)
        return removed

    # Finding

    def _folder(self, recipe: Recipe) -> Path:
        return self._cache / f"{recipe.name}-{recipe.form}" / recipe.digest

    def _find(self, recipe: Recipe) -> ImageRecord | None:
        return ImageRecord.read(self._folder(recipe) / "record.json")

    def _vm_image(self, record: ImageRecord) -> VmImage:
        disk, kernel, initrd = (record.folder / name for name in ("disk.qcow2", "vmlinuz", "initrd"))
        return VmImage(record.version, disk, kernel, initrd, CMDLINE, record.size_bytes)

    def _container_image(self, record: ImageRecord) -> ContainerImage:
        return ContainerImage(record.version, _reference(record), record.size_bytes)

    def _loaded(self, record: ImageRecord) -> bool:
        argv = [
            *self._docker,
            "image",
            "inspect",
            "--format",
            f'{{{{index .Config.Labels "{VERSION_LABEL}"}}}}',
        ]
        done = self._runner.run([*argv, _reference(record)], check=False)
        return done.returncode == 0 and done.stdout.strip() == record.version

    # Building

    def _ensure_all(self, recipes: list[Recipe], progress: Progress) -> list[ImageRecord]:
        records = [self._sound(recipe) for recipe in recipes]
        if None in records:
            with self._locked(progress):
                self._clear_half_made()
                records = [self._sound(recipe) for recipe in recipes]
                missing = [r for r, record in zip(recipes, records, strict=True) if record is None]
                self._build_all(missing, progress)
                records = [self._find(recipe) for recipe in recipes]
        made = [record for record in records if record is not None]
        for record in made:
            if record.form == "container" and not self._loaded(record):
                progress(f"loading {_reference(record)} into Docker")
                self._runner.run(
                    [*self._docker, "load", "--quiet", "--input", str(record.folder / "image.tar")]
                )
        return made

    def _sound(self, recipe: Recipe) -> ImageRecord | None:
        record = self._find(recipe)
        return record if record is not None and record.is_sound() else None

    def _build_all(self, recipes: list[Recipe], progress: Progress) -> None:
        bases: dict[str, Future[Path]] = {}
        sources = {recipe.pocket: debian_sources(self._runner, recipe.pocket) for recipe in recipes}
        with ThreadPoolExecutor(max_workers=4) as pool:
            for mirrors in sources.values():
                self._base(mirrors, (), progress)
            for recipe in recipes:
                if recipe.form == "vm" and recipe.pocket not in bases:
                    bases[recipe.pocket] = pool.submit(self._base, sources[recipe.pocket], VM_PACKAGES, progress)

            def build(recipe: Recipe) -> None:
                mirrors = sources[recipe.pocket]
                is_vm = recipe.form == "vm"
                base = bases[recipe.pocket].result() if is_vm else self._base(mirrors, (), progress)
                self._build(recipe, base, mirrors, progress)

            # Containers first: they need no more than the first base.
            for future in [pool.submit(build, r) for r in sorted(recipes, key=lambda r: r.form)]:
                future.result()

    def _base(self, sources: list[str], packages: tuple[str, ...], progress: Progress) -> Path:
        folder = self._cache / "bases"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{short_digest([sources, packages], 16)}.tar"
        if target.is_file():
            return target
        with self._staging() as staging:
            made = staging / "base.tar"
            if packages:
                hook = write_hook(staging, packages=packages, files={}, commands=())
                minimal = self._base(sources, (), progress)
                branch(
                    minimal, made, sources, hook, self._runner, progress, "installing the VM's base packages"
                )
            else:
                bootstrap(made, sources, self._runner, progress)
            os.replace(made, target)
        return target

    def _build(self, recipe: Recipe, base: Path, sources: list[str], progress: Progress) -> None:
        what = f"building the {recipe.form} image of {recipe.name}"
        with self._staging() as staging:
            disk = _disk_values(staging, recipe) if recipe.form == "vm" else None
            hook = write_hook(
                staging, packages=recipe.packages, files=recipe.files, commands=recipe.commands, disk=disk
            )
            root = Path("/dev/null") if recipe.form == "vm" else staging / "root.tar"
            branch(base, root, sources, hook, self._runner, progress, what)
            packages = read_packages(staging)
            version = short_digest([recipe.digest, packages], VERSION_LENGTH)
            output = staging / "output"
            output.mkdir()
            conf = f'set $pairlab_image "{version}";\n'
            if recipe.form == "vm":
                version_file = staging / "image.conf"
                version_file.write_text(conf)
                finish_disk(staging / "disk.raw", output / "disk.qcow2", version_file, self._runner)
                os.replace(staging / "vmlinuz", output / "vmlinuz")
                write_initrd(output / "initrd", staging / "modules")
            else:
                write_own_layer(root, base, staging / "own.tar", {"/etc/pairlab/image.conf": conf})
                labels = {VERSION_LABEL: version, "org.pairlab.workload": recipe.name}
                reference = f"{PROJECT}/{recipe.name}:{version}"
                layers = [base, staging / "own.tar"]
                write_archive(output / "image.tar", layers, reference, recipe.config, labels)
            self._keep(recipe, version, packages, output)
        progress(f"built {recipe.name} ({recipe.form}) {version}")

    def _keep(self, recipe: Recipe, version: str, packages: dict[str, str], output: Path) -> None:
        names = sorted(path.name for path in output.iterdir())
        record = ImageRecord(
            name=recipe.name,
            form=recipe.form,
            version=version,
            recipe=recipe.digest,
            created=time.time(),
            packages=packages,
            files={name: file_digest(output / name) for name in names},
            sizes={name: (output / name).stat().st_size for name in names},
        )
        record.write(output / "record.json")
        folder = self._folder(recipe)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(output, folder)
        replace(record, folder=folder).is_sound()

    # Keeping builds apart

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        folder = self._cache / "making"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as staging:
            yield Path(staging)

    def _clear_half_made(self) -> None:
        shutil.rmtree(self._cache / "making", ignore_errors=True)

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                progress(f"waiting for another image build (process {lock.read().strip() or 'unknown'})")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            lock.truncate()
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def _reference(record: ImageRecord) -> str:
    return f"{PROJECT}/{record.name}:{record.version}"


def _disk_values(staging: Path, recipe: Recipe) -> dict[str, Any]:
    return {
        "kernel_to": staging / "vmlinuz",
        "modules_to": staging / "modules",
        "modules": MODULES,
        "disk": staging / "disk.raw",
        "disk_size": DISK_SIZE,
        "seed": uuid.uuid5(uuid.NAMESPACE_URL, recipe.digest),
    }
