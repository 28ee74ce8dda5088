"""What is known of a built image: a small JSON file beside it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pairlab.image.container_archive import file_digest


@dataclass(frozen=True)
class ImageRecord:
    """One built image.

    Attributes:
        name: The workload's name, or `front-door`.
        form: `vm` or `container`.
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

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(self.sizes.values())

    def write(self, path: Path) -> None:
        """Write it, at once or not at all."""
        document = asdict(self)
        del document["folder"]
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(document, indent=1))
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path) -> ImageRecord | None:
        """Read one; None if it is not there or not one."""
        try:
            return cls(**json.loads(path.read_text()), folder=path.parent)
        except (OSError, ValueError, TypeError):
            return None

    def is_sound(self) -> bool:
        """Whether each file still has its recorded digest.

        A file is read again only when its size, time, or inode differ from when it was last found sound.
        """
        for name, digest in self.files.items():
            path = self.folder / name
            try:
                stat = path.stat()
            except OSError:
                return False
            if stat.st_size != self.sizes[name]:
                return False
            seen = self.folder / f".{name}.sound"
            identity = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino} {digest}"
            if seen.is_file() and seen.read_text() == identity:
                continue
            if file_digest(path) != digest:
                return False
            seen.write_text(identity)
        return True
