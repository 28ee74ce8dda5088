"""A signed apt repository, made with Debian's own tools, that holds exactly what updates need.

Source: sources.list(5), flat repositories; Debian's repository format, `Release` and `InRelease`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.builder import keep
from pairlab.image.container_archive import file_digest
from pairlab.image.recipe import short_digest
from pairlab.image.rootfs import EPOCH, build_error
from pairlab.model import Repository, Update
from pairlab.progress import Progress
from pairlab.run import Runner

REPOSITORIES = "repositories"
KEY = "pairlab.asc"
CONTENTS = "contents.json"
"""Beside the index, which does not tell what is new from what is for the way back."""
RAISED = "+pairlab1"
"""Ends the version of a package that was built anew."""
FORMAT = 2
"""Raised when the way of making a repository changes."""

Fetch = Callable[[Mapping[str, str], Path], list[Path]]


def packages_of(updates: Sequence[Update]) -> dict[str, str]:
    """Package -> version of all that some updates bring."""
    return {name: version for update in updates for name, version in update.packages.items()}


def older_of(updates: Sequence[Update], *, way_back: bool) -> dict[str, str]:
    """Package -> version that some updates replace, if the way back is wanted."""
    return (
        {name: version for update in updates for name, version in update.before.items()} if way_back else {}
    )


def repository_digest(updates: Sequence[Update], *, way_back: bool) -> str:
    """By what a repository is found again."""
    return short_digest([FORMAT, packages_of(updates), older_of(updates, way_back=way_back)], 12)


def find_repository(repositories: Path, updates: Sequence[Update], *, way_back: bool) -> Repository | None:
    """The repository of some updates, if it was made and is whole."""
    folder = repositories / repository_digest(updates, way_back=way_back)
    found = read_repository(folder)
    wanted = (packages_of(updates), older_of(updates, way_back=way_back))
    return found if found is not None and (found.packages, found.older) == wanted else None


def read_repository(folder: Path) -> Repository | None:
    """The repository in a folder; None if it lacks a file, or a package is not what its index says."""
    try:
        index, key, _ = ((folder / name).read_text() for name in ("Packages", KEY, "InRelease"))
        contents = json.loads((folder / CONTENTS).read_text())
    except (OSError, ValueError):
        return None
    indexed = set[tuple[str, str]]()
    for stanza in index.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Filename|SHA256): (.+)$", stanza, re.MULTILINE))
        file = folder / fields.get("Filename", "")
        if len(fields) < 4 or not file.is_file() or file_digest(file) != fields["SHA256"]:
            return None
        indexed.add((fields["Package"], fields["Version"]))
    packages, older = contents["packages"], contents["older"]
    if indexed != set(packages.items()) | set(older.items()):
        return None
    return Repository(folder.name, folder, packages, key, older)


def make_repository(
    repositories: Path,
    updates: Sequence[Update],
    *,
    way_back: bool,
    fetch: Fetch,
    runner: Runner,
    progress: Progress,
) -> Repository:
    """Fetch or build the packages, index them, and sign the index.

    Args:
        repositories: Folder of all repositories, in the locked cache.
        updates: What it is to hold.
        way_back: It also holds what they replace.
        fetch: Fetches packages by exact version into a folder, verified.
        runner: Runs apt-ftparchive, dpkg-deb and the signer.
        progress: Told each phase.

    Raises:
        ImageError: A package cannot be fetched or built, or comes out other than asked for.
    """
    repositories.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repositories, prefix=".making-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        fetched = packages_of([update for update in updates if update.origin == "security"])
        older = older_of(updates, way_back=way_back)
        for wanted in filter(None, (fetched, older)):
            progress(f"fetching {_told(wanted)}")
            fetch(wanted, made)
        (made / CONTENTS).write_text(json.dumps({"packages": packages_of(updates), "older": older}, indent=1))
        try:
            for update in updates:
                if update.origin == "rebuilt":
                    progress(f"building {update.package} {update.new}")
                    _rebuild(update, Path(scratch), made, fetch, runner)
            for file in made.iterdir():
                # Some web servers and archives stumble over the escaped colon of an epoch.
                file.rename(file.with_name(file.name.replace("%3a", ".")))
            progress("signing the list of packages")
            _index_and_sign(made, runner)
        except CommandError as error:
            raise build_error("making the package repository", error) from error
        found = read_repository(made)
        wanted = packages_of(updates)
        if found is None or (found.packages, found.older) != (wanted, older):
            held = _told(found.packages) if found else "nothing whole"
            raise ImageError(
                f"the package repository holds {held}, instead of {_told(wanted)}",
                hint="try again; does `apt-cache policy` show these versions?",
            )
        folder = repositories / repository_digest(updates, way_back=way_back)
        keep(made, folder)
    return replace(found, folder=folder, digest=folder.name)


def _told(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))


def _rebuild(update: Update, scratch: Path, made: Path, fetch: Fetch, runner: Runner) -> None:
    """Make the installed version anew under a raised number; nothing but its version differs."""
    original, tree = scratch / "original", scratch / "tree"
    original.mkdir()
    (deb,) = fetch({update.package: update.installed}, original)
    runner.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)])
    control = tree / "DEBIAN" / "control"
    text, count = re.subn(r"(?m)^Version: .*$", f"Version: {update.new}", control.read_text())
    if count != 1:
        raise ImageError(f"{deb.name} does not tell its version once", hint="rebuild the images")
    control.write_text(text)
    env = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    owners = [] if os.geteuid() == 0 else ["--root-owner-group"]
    runner.run(["dpkg-deb", *owners, "--build", str(tree), str(made)], env=env)
    shutil.rmtree(tree)
    shutil.rmtree(original)


def _index_and_sign(made: Path, runner: Runner) -> None:
    """Write `Packages`, `Release` and `InRelease`, and the key's public half.

    The key is made for this one repository, and its private half is forgotten: nothing else can ever be
    signed with it.
    """
    (made / "Packages").write_text(runner.run(["apt-ftparchive", "packages", "."], cwd=made).stdout)
    said = {"Origin": "pairlab", "Label": "pairlab", "Suite": "updates", "Architectures": "amd64 all"}
    options = [word for k, v in said.items() for word in ("-o", f"APT::FTPArchive::Release::{k}={v}")]
    release = runner.run(["apt-ftparchive", "release", ".", *options], cwd=made).stdout
    (made / "Release").write_text(release)
    key = runner.run(["sqop", "generate-key", "pairlab package repository"]).stdout
    with tempfile.TemporaryDirectory() as folder:
        private = Path(folder) / "private.asc"
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
        signed = runner.run(["sqop", "inline-sign", "--as=clearsigned", str(private)], input_text=release)
    (made / "InRelease").write_text(signed.stdout)
    (made / KEY).write_text(runner.run(["sqop", "extract-cert"], input_text=key).stdout)
