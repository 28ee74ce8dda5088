"""Where a state backend keeps what, as far as it is files: a `file://` address, and the layout below it.

The layout is that of Pulumi's own file backend: `.pulumi/stacks/<project>/<stack>.json`, `history/` and
`backups/` likewise, and `locks/organization/<project>/<stack>/`. Another project's stacks may lie beside.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from pairlab.errors import UsageError
from pairlab.model import PROJECT
from pairlab.run import running

FILE = "file://"
CLI = "pulumi"  # the process that locks a state
SCHEMES = (FILE, "s3://", "gs://", "azblob://", "postgres://", "https://", "http://")
ENDINGS = (".json", ".json.gz", ".json.zst")
KINDS = ("history", "backups", "locks/organization")
"""What else there is of a lab than its state, each in a folder of its own."""
ATTRIBUTES = ".attrs"  # beside each file; unlike the file, it is not written at once


def backend_address(state: Path) -> str:
    """Address of the state backend: `PULUMI_BACKEND_URL`, else a folder of pairlab's state directory.

    Raises:
        UsageError: It is of no kind that Pulumi knows.
    """
    return resolved(os.environ.get("PULUMI_BACKEND_URL") or f"{FILE}{quote(str(state / 'pulumi'))}")


def resolved(address: str) -> str:
    """A backend's address as the engine is to get it: that of files absolute, as Pulumi makes it.

    Raises:
        UsageError: It is of no kind that Pulumi knows.
    """
    if not address.startswith(SCHEMES):
        raise UsageError(
            f"PULUMI_BACKEND_URL is no address of a state backend: it begins with {_kind(address)!r}",
            hint=f"begin it with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}, or unset it",
        )
    if not address.startswith(FILE):
        return address
    path, rest = re.fullmatch(r"([^?#]*)(.*)", address.removeprefix(FILE), re.DOTALL).groups()  # type: ignore[union-attr]
    if path.startswith("~"):
        path = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, path[2:])
    return f"{FILE}{os.path.abspath(path)}{rest}"


def _kind(address: str) -> str:
    """The begin of an address; what follows may hold a password."""
    return re.split(r"(?<=:)/*", address)[0]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lab's state; as text, in words.

    Attributes:
        told: Those words.
        runs: It is a process of this host that still runs.
    """

    told: str
    runs: bool = False

    def __str__(self) -> str:
        return self.told


class StateFiles:
    """This project's files in a file backend.

    Args:
        address: The backend's, as `resolved` gives it.
    """

    def __init__(self, address: str) -> None:
        self.folder = Path(unquote(re.split(r"[?#]", address.removeprefix(FILE))[0]))
        self._root = self.folder / ".pulumi"
        self._stacks = self._root / "stacks" / PROJECT

    @classmethod
    def of(cls, address: str) -> StateFiles | None:
        """Those of a backend of files, whose folder is made if there is none; None for another backend.

        Raises:
            UsageError: Its folder cannot be used.
        """
        if not address.startswith(FILE):
            return None
        files = cls(address)
        files.make_folder()
        return files

    def make_folder(self) -> None:
        """Make the backend's folder if there is none, for this user alone.

        Raises:
            UsageError: It cannot be made, or is not one, or may not be written.
        """
        cause = "it may not be written"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(self.folder, os.R_OK | os.W_OK | os.X_OK):
                return
        except OSError as error:
            cause = error.strerror or str(error)
        raise UsageError(
            f"the state cannot be kept in {self.folder}: {cause}",
            hint="give PULUMI_BACKEND_URL, or PAIRLAB_STATE where that is not set, a directory of yours",
        )

    def labs(self) -> list[str]:
        """Names of the labs that have a state."""
        found = {
            path.name.partition(".")[0] for path in self._stacks.glob("*") if path.name.endswith(ENDINGS)
        }
        return sorted(found)

    def state(self, lab: str) -> Path | None:
        """A lab's state; None if it has none."""
        paths = [self._stacks / f"{lab}{ending}" for ending in ENDINGS]
        return next((path for path in paths if path.is_file()), None)

    def locks(self, lab: str) -> list[Path]:
        """Locks of a lab's state; each tells who holds it."""
        return sorted(self._locks_of(lab).glob("*.json"))

    def _locks_of(self, lab: str) -> Path:
        return self._root / "locks" / "organization" / PROJECT / lab

    def lock_holder(self, lab: str) -> LockHolder | None:
        """Who holds a lab's state; None if nobody does."""
        for path in self.locks(lab):
            try:
                lock = json.loads(path.read_text())
            except FileNotFoundError:
                continue  # released meanwhile
            except (OSError, ValueError):
                return LockHolder(f"an unreadable lock {path}")
            pid, host = lock.get("pid"), lock.get("hostname")
            found = running(pid) if host == os.uname().nodename else None
            # Since this host was started anew, another program may have the number.
            runs = found is not None and found[0] == CLI
            ended = "still running" if runs else "no longer running here"
            return LockHolder(
                f"process {pid} of {lock.get('username')} on {host}, {ended}, since {lock.get('timestamp')}",
                runs,
            )
        return None

    def are_whole(self, lab: str) -> bool:
        """Whether a lab's state and what lies beside it can be read: then nobody is just writing them."""
        state = self.state(lab)
        beside = [] if state is None else [state.with_name(state.name + ATTRIBUTES)]
        if state is not None and state.suffix == ".json":
            beside.append(state)
        return all(_is_json(path) for path in beside if path.exists())

    def drop_half_written(self, lab: str) -> None:
        """Remove what beside a lab's state and its locks a killed engine left half written.

        Nothing of it is needed, but while it is there, no state can be read.
        """
        of_state = self._stacks.glob(f"{lab}.json*{ATTRIBUTES}")
        for beside in (*of_state, *self._locks_of(lab).glob(f"*{ATTRIBUTES}")):
            with contextlib.suppress(FileNotFoundError):
                if not _is_json(beside):
                    beside.unlink()

    def drop(self, lab: str) -> None:
        """Remove a lab's state, its history, backups and locks, whatever is in them."""
        for path in self._stacks.glob(f"{lab}.json*"):
            path.unlink(missing_ok=True)
        for kind in KINDS:
            shutil.rmtree(self._root / kind / PROJECT / lab, ignore_errors=True)

    def tidy(self, lab: str) -> None:
        """Remove what is left of a removed state: empty folders, and what a killed engine was writing."""
        for stranded in self._stacks.glob(f"{lab}.json.*.tmp"):
            stranded.unlink(missing_ok=True)
        for kind in KINDS:
            with contextlib.suppress(OSError):  # not empty: another run has the name by now
                (self._root / kind / PROJECT / lab).rmdir()
