"""Files of the engine's directory, which several runs may write at once: each is whole, or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_at_once(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file that takes the place of an earlier one."""
    with _beside(path, text, mode) as written:
        os.replace(written, path)


def write_first(path: Path, text: str) -> None:
    """Write a file that only this user reads, unless it is there: the first run's stays."""
    with _beside(path, text, 0o600) as written, contextlib.suppress(FileExistsError):
        os.link(written, path)


@contextmanager
def _beside(path: Path, text: str, mode: int) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(name, mode)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
