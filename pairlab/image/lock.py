"""One builder at a time: a lock on the image cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.files import alone
from pairlab.progress import Progress


@contextmanager
def locked(cache: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache while the block runs; first wait for whoever holds it, and say for whom.

    Raises:
        ImageError: The cache cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "lock").touch()
    except OSError as error:
        raise ImageError(
            f"{cache} cannot be written: {error.strerror}",
            hint="set PAIRLAB_CACHE to a directory of yours",
        ) from error
    with alone(cache / "lock", progress, waiting="waiting for another image build"):
        yield
