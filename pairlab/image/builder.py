"""Builds images: chooses what to begin with, shares what two builds have in common, packs the result."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.container_archive import write_archive, write_own_layer, write_tree
from pairlab.image.recipe import BASE_PACKAGES, TREE, VM_PACKAGES, Recipe, short_digest, vm_base_files
from pairlab.image.record import ARCHIVE, DISK, KERNEL, ImageRecord, reference
from pairlab.image.rootfs import Stage, build_error, debian_sources, make_root
from pairlab.image.staging import Staging, staging
from pairlab.model import IMAGE_LABEL
from pairlab.progress import Progress
from pairlab.run import Runner, end_commands

BASE, VM_BASE, LISTS = "base.tar", "vm-base.tar", "lists.tar"
POLL_S, ASK_AGAIN_S = 0.2, 1.0
BASE_FORMAT = 4
"""Raised when the way of making a base changes."""


@dataclass
class Builder:
    """Builds the missing images of one call.

    Attributes:
        cache: The image cache, locked by the caller.
        runner: Runs mmdebstrap and qemu-img.
        progress: Told each phase, and now and then in a long one.
        built: Called with each image as soon as it is there, while others are still being built.
    """

    cache: Path
    runner: Runner
    progress: Progress
    built: Callable[[ImageRecord], None] = lambda _: None
    _base_came: threading.Event = field(default_factory=threading.Event)

    def build_all(self, recipes: Sequence[Recipe]) -> list[ImageRecord]:
        """Build recipes side by side.

        Raises:
            ImageError: One failed; nothing half-made of it is left.
        """
        if not recipes:
            return []
        sources = debian_sources(self.runner, "release")
        # A VM's build makes the base on its way; the container's waits for that, not for the whole.
        ordered = sorted(recipes, key=lambda recipe: recipe.form != "vm")
        pool = ThreadPoolExecutor(max_workers=len(ordered))
        try:
            futures = [
                pool.submit(self._build, recipe, sources, leads=number == 0)
                for number, recipe in enumerate(ordered)
            ]
            # Python may miss a signal that comes just when it begins to wait: each new wait looks again.
            while wait(futures, POLL_S).not_done:
                pass
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            self.progress("stopping: the builds clear away what is half-made")
            pool.shutdown(wait=False, cancel_futures=True)
            ending = threading.Thread(target=pool.shutdown)
            ending.start()
            while ending.is_alive():
                with suppress(KeyboardInterrupt):  # who asks again waits for the same
                    end_commands()  # again and again, as a build may just have begun another command
                    ending.join(ASK_AGAIN_S)
            raise
        finally:
            pool.shutdown()

    def _build(self, recipe: Recipe, sources: list[str], *, leads: bool) -> ImageRecord:
        chain = self._chain(recipe, sources)
        if not leads and not chain[0][0].is_file():
            self._base_came.wait()
        try:
            with staging(self.cache, self.runner) as place:
                begun = max((n for n, (path, _) in enumerate(chain) if path.is_file()), default=-1)
                stages = [stage for _, steps in chain[begun + 1 :] for stage in steps]
                own = Stage(recipe.packages, recipe.files, recipe.commands, updates=recipe.updates)
                kept = {steps[-1].saved: path for path, steps in chain}
                kept[LISTS] = chain[0][0].with_suffix(".lists.tar")
                base = [path for path in (chain[begun][0], kept[LISTS]) if begun >= 0 and path.is_file()]

                def save(name: str) -> None:
                    keep(place.made(name), kept[name])
                    if name == BASE:  # the last of the two
                        self._base_came.set()

                make_root(
                    recipe,
                    [*stages, own],
                    base=base,
                    place=place,
                    sources=sources,
                    runner=self.runner,
                    progress=self.progress,
                    saved=save,
                )
                record = self._finish(recipe, place, kept[BASE])
            self.built(record)
            return record
        finally:
            if leads:
                self._base_came.set()

    def _chain(self, recipe: Recipe, sources: list[str]) -> list[tuple[Path, list[Stage]]]:
        """Tar files of ever more of the image, each with the stages that make it of the one before."""
        folder = self.cache / "bases"
        key = short_digest([BASE_FORMAT, sources, BASE_PACKAGES], 16)
        chain = [(folder / f"{key}.tar", [Stage(saved=BASE, lists=LISTS)])]
        if recipe.form == "vm":
            files = vm_base_files()
            contents = {path: file.content for path, file in files.items()}
            key = short_digest([key, VM_PACKAGES, contents], 16)
            chain.append((folder / f"{key}.tar", [Stage(files=files), Stage(VM_PACKAGES, saved=VM_BASE)]))
        return chain

    def _finish(self, recipe: Recipe, place: Staging, base: Path) -> ImageRecord:
        version = place.made("version").read_text().strip()
        lines = place.made("packages").read_text().splitlines()
        packages = dict(line.split(" ", 1) for line in lines)
        _check_updates(recipe, packages)
        result = place.own / "result"
        result.mkdir()
        if recipe.form == "vm":
            self.progress(f"{recipe.name} (vm): compressing the disk")
            what, disk = f"making the disk of {recipe.name}", place.made("disk.raw")
            compress(self.runner, disk, result / DISK, what=what, source_format="raw")
            disk.unlink()
            # A disk that boots itself needs neither; its kernel serves to try the host's KVM.
            for name in (KERNEL,) if recipe.boots_itself else (KERNEL, "initrd"):
                shutil.move(place.made(name), result / name)
        elif recipe.form == "tree":
            self.progress(f"{recipe.name}: packing the programs")
            write_tree(place.made("root.tar"), TREE, result / ARCHIVE)
        else:
            self.progress(f"{recipe.name} (container): separating its layer from the base")
            layer = place.own / "own.tar"
            write_own_layer(place.made("root.tar"), base, layer)
            labels = {IMAGE_LABEL: version, "org.pairlab.workload": recipe.name}
            name = reference(recipe.name, version)
            write_archive(result / "image.tar", [base, layer], name, recipe.config, labels)
        record = ImageRecord.of(
            result,
            name=recipe.name,
            form=recipe.form,
            version=version,
            recipe=recipe.digest,
            packages=packages,
        )
        keep(result, image_folder(self.cache, recipe))
        self.progress(f"built {recipe.name} ({recipe.form}) {version}")
        return record.placed(image_folder(self.cache, recipe))


def compress(runner: Runner, source: Path, target: Path, *, what: str, source_format: str = "") -> None:
    """Make a compressed qcow2 file of a disk image.

    Args:
        runner: Runs qemu-img.
        source: The image.
        target: The new file.
        what: What is being done, for the error.
        source_format: Format of the image; empty lets qemu-img find out.

    Raises:
        ImageError: It is no disk image, or does not fit onto this disk.
    """
    given = ["-f", source_format] if source_format else []
    # zstd: a third of the size, which every lab's upload gains from, for a second of one CPU.
    argv = [
        "qemu-img",
        "convert",
        *given,
        "-O",
        "qcow2",
        "-c",
        "-o",
        "compression_type=zstd",
        "-m",
        "4",
        "-W",
    ]
    try:
        runner.run([*argv, str(source), str(target)])
    except CommandError as error:
        raise build_error(what, error) from error


def _check_updates(recipe: Recipe, packages: Mapping[str, str]) -> None:
    """Refuse an image that does not hold the update that it was built for."""
    wanted = recipe.updates.packages if recipe.updates else {}
    stale = sorted(name for name in wanted if name in packages and packages[name] != wanted[name])
    if stale or (wanted and not wanted.keys() & packages.keys()):
        told = ", ".join(f"{name} {packages[name]}" for name in stale) or "none of the updated packages"
        raise ImageError(
            f"building the {recipe.form} image of {recipe.name} failed: it holds {told}",
            hint="the release pocket may have newer packages by now: look for the update again",
        )


def image_folder(cache: Path, recipe: Recipe) -> Path:
    """Where the image of a recipe is kept."""
    return cache / f"{recipe.name}-{recipe.form}" / recipe.digest


def keep(made: Path, target: Path) -> None:
    """Put a finished file or folder in its place, at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir() and target.exists():
        shutil.rmtree(target)
    if made.stat().st_dev == target.parent.stat().st_dev:
        os.replace(made, target)
        return
    near = target.with_name(f".{target.name}")
    shutil.move(made, near)
    os.replace(near, target)
