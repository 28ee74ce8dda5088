"""What is known of a built image: a small JSON file beside it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pairlab.files import replace_at_once
from pairlab.image.container_archive import file_digest
from pairlab.model import PROJECT

DISK, KERNEL, ARCHIVE = "disk.qcow2", "vmlinuz", "tree.tar.gz"
SOUND = "sound.json"
"""Beside the files: how they looked when their digests were last checked."""


def reference(name: str, version: str) -> str:
    """What the engine calls a container image, such as `pairlab/web:0123456789ab`."""
    return f"{PROJECT}/{name}:{version}"


@dataclass(frozen=True)
class ImageRecord:
    """One built image.

    Attributes:
        name: The workload's name, or `front-door`.
        form: `vm`, `container` or `tree`.
        version: 12 hexadecimal digits over the recipe and the exact packages.
        recipe: Digest of the recipe, by which it is found again.
        created: Seconds since 1970.
        packages: Package -> version.
        files: File name -> SHA-256.
        sizes: File name -> bytes.
        folder: Where the files are.
    """

    name: str
    form: str
    version: str
    recipe: str
    created: float
    packages: dict[str, str]
    files: dict[str, str]
    sizes: dict[str, int]
    folder: Path = field(default=Path(), compare=False)

    @classmethod
    def of(
        cls,
        made: Path,
        *,
        name: str,
        form: str,
        version: str,
        recipe: str,
        packages: dict[str, str],
    ) -> ImageRecord:
        """Describe the files of a folder, and write the description beside them."""
        names = sorted(path.name for path in made.iterdir())
        files = {file: file_digest(made / file) for file in names}
        sizes = {file: (made / file).stat().st_size for file in names}
        record = cls(name, form, version, recipe, time.time(), packages, files, sizes)
        record.write(made / "record.json")
        return record

    def placed(self, folder: Path) -> ImageRecord:
        """The same, now that its files are in their place."""
        record = replace(self, folder=folder)
        record.trust()
        return record

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(self.sizes.values())

    def write(self, path: Path) -> None:
        """Write it, at once or not at all."""
        document = asdict(self)
        del document["folder"]
        replace_at_once(path, json.dumps(document, indent=1), mode=0o644)

    @classmethod
    def read(cls, path: Path) -> ImageRecord | None:
        """Read one; None if it is not there or not one."""
        try:
            return cls(**json.loads(path.read_text()), folder=path.parent)
        except (OSError, ValueError, TypeError):
            return None

    def is_sound(self) -> bool:
        """Whether each file still has its recorded digest.

        A file is read again only when its size, times or inode differ from when it was last found sound.
        """
        try:
            trusted = json.loads((self.folder / SOUND).read_text())
        except (OSError, ValueError):
            trusted = {}
        for name, digest in self.files.items():
            path = self.folder / name
            try:
                if path.stat().st_size != self.sizes[name]:
                    return False
                if trusted.get(name) != _look(path) and file_digest(path) != digest:
                    return False
            except OSError:
                return False
        if any(trusted.get(name) != _look(self.folder / name) for name in self.files):
            self.trust()
        return True

    def trust(self) -> None:
        """Remember how its files look now that they are known to be sound."""
        looks = {name: _look(self.folder / name) for name in self.files}
        (self.folder / SOUND).write_text(json.dumps(looks))


def sound_image(folder: Path) -> ImageRecord | None:
    """The image in a folder; None if there is none, or it is damaged."""
    record = ImageRecord.read(folder / "record.json")
    return record if record is not None and record.is_sound() else None


def _look(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
