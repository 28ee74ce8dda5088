"""Folders for what is being made: what a build is given, and what it makes."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.recipe import short_digest
from pairlab.run import Runner

FOR_ALL = Path("/var/tmp")
"""Where a normal user's builds go on: they run as other users, who may not look into a home directory."""
SUBUID = Path("/etc/subuid")


@dataclass(frozen=True)
class Staging:
    """Folders of one build.

    Attributes:
        own: What the build reads, and what is made of its result: only this account writes here.
        out: What the build writes.
    """

    own: Path
    out: Path

    def made(self, name: str) -> Path:
        """A file that the build has made.

        Raises:
            ImageError: It is not a file of this account, nor of the users that its builds run as.
        """
        path = self.out / name
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or not any(found.st_uid in ids for ids in _own_ids()):
            raise ImageError(
                f"{path} is not what the build wrote, but of user {found.st_uid}",
                hint="another account of this host has put it there: find out why, then build again",
            )
        return path


@contextmanager
def staging(cache: Path, runner: Runner) -> Iterator[Staging]:
    """Folders for what is being made, gone afterwards.

    Args:
        cache: The image cache, locked by the caller.
        runner: Runs mmdebstrap.
    """
    parent, prefix = _place(cache)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        made = Staging(folder / "own", folder / "out")
        made.own.mkdir()
        made.out.mkdir()
        if os.geteuid() != 0:
            # Sticky: the build's users write there as anybody may, and nobody replaces what is another's.
            for path, mode in ((folder, 0o711), (made.own, 0o755), (made.out, 0o1777)):
                path.chmod(mode)
        yield made
    finally:
        _remove(folder, runner)


def clear_half_made(cache: Path, runner: Runner) -> None:
    """Remove what killed builds have left.

    Args:
        cache: The image cache, locked by the caller.
        runner: Runs mmdebstrap.
    """
    parent, prefix = _place(cache)
    for folder in parent.glob(f"{prefix}*"):
        if folder.lstat().st_uid == os.geteuid():
            _remove(folder, runner)


def _place(cache: Path) -> tuple[Path, str]:
    """Where a cache's builds go on, and how their folders' names begin."""
    if os.geteuid() == 0:
        return cache / "making", ""
    return FOR_ALL, f"pairlab-making-{short_digest(str(cache.absolute()), 8)}-"


def _remove(folder: Path, runner: Runner) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.geteuid() != 0 and folder.exists():
        # What a killed mmdebstrap leaves is other users', and only its own user namespace may remove it.
        with suppress(CommandError):
            runner.run(["mmdebstrap", "--unshare-helper", "rm", "-rf", str(folder / "out")], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _own_ids() -> list[range]:
    """User ids that are this account's: its own, and those of its user namespaces. Source: subuid(5)."""
    account = os.geteuid()
    names, found = {str(account)}, [range(account, account + 1)]
    with suppress(KeyError):
        names.add(pwd.getpwuid(account).pw_name)
    with suppress(OSError):
        for line in SUBUID.read_text().splitlines():
            name, _, ids = line.partition(":")
            if name in names:
                first, count = map(int, ids.split(":"))
                found.append(range(first, first + count))
    return found
