"""Finds the Pulumi CLI, or gets one: the official installer, else a build from `toolchain/`.

A build needs only package registries: Go modules through the Go toolchain, which itself comes from a
Python wheel where the host has none that is new enough.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pairlab.engine.go_build import build_cli, pinned_version, version_number
from pairlab.errors import CommandError, EngineError
from pairlab.files import alone
from pairlab.progress import Progress, heartbeat
from pairlab.run import Runner

INSTALLER_CONNECT_TIMEOUT_S = 8
INSTALLER_TIMEOUT_S = 600.0

_VERSIONS: dict[tuple[Path, int, int], str] = {}
"""An executable, its inode and when it was last changed (ns) -> the version that it said."""

# The official installer has no time-outs of its own; urllib takes the default of new sockets. It runs in a
# process of its own, so that it can be ended.
_INSTALL = """
import socket, sys
socket.setdefaulttimeout(float(sys.argv[3]))
import semver
from pulumi.automation import PulumiCommand
PulumiCommand.install(root=sys.argv[1], version=semver.VersionInfo.parse(sys.argv[2]))
"""


@dataclass(frozen=True)
class PulumiCli:
    """A Pulumi CLI that works.

    Attributes:
        path: The executable.
        version: Without a leading `v`, such as `3.259.0`.
        origin: Where it comes from: `PATH`, `cache`, `installer` or `built from source`.
    """

    path: Path
    version: str
    origin: str


def find_cli(cache: Path, runner: Runner) -> PulumiCli | None:
    """The CLI that is in place: on PATH if new enough, else in the cache.

    Args:
        cache: pairlab's cache directory.
        runner: Runs `pulumi version`.
    """
    on_path = shutil.which("pulumi")
    if on_path is not None:
        version = _version_of(Path(on_path), runner)
        if version is not None and version_number(version) >= version_number(pinned_version()):
            return PulumiCli(Path(on_path), version, "PATH")
    cached = _cached(cache)
    if cached.is_file():
        version = _version_of(cached, runner)
        if version is not None:
            return PulumiCli(cached, version, "cache")
    return None


def pulumi_cli(cache: Path, runner: Runner, *, progress: Progress, allow_install: bool) -> PulumiCli:
    """Find the Pulumi CLI, or get it.

    Args:
        cache: pairlab's cache directory; a CLI that is got is kept below it.
        runner: Runs the installer and the build.
        progress: Told what goes on, every few seconds.
        allow_install: False only finds.

    Raises:
        EngineError: There is none, and it may not or cannot be got.
    """
    found = find_cli(cache, runner)
    if found is not None:
        return found
    if not allow_install:
        raise EngineError(
            f"there is no Pulumi CLI {pinned_version()} or newer on PATH, nor in {cache}",
            hint="run `invoke lab.setup`, which installs or builds one",
        )
    home = cache / "pulumi"
    home.mkdir(parents=True, exist_ok=True)
    with alone(home / "lock", progress, waiting="waiting for another run that is getting the Pulumi CLI"):
        found = find_cli(cache, runner)  # another run may have made it meanwhile
        return found if found is not None else _get(cache, runner, progress)


def _get(cache: Path, runner: Runner, progress: Progress) -> PulumiCli:
    target = _cached(cache)
    for stale in (cache / "pulumi").glob("making-*"):  # of a run that was killed: we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache / "pulumi") as folder:
        staging = Path(folder) / "root"
        origin = "installer"
        try:
            _install_officially(staging, runner, progress)
        except CommandError as error:
            reason = error.details.strip().splitlines()[-1:] or [error.message]
            progress(
                f"the official Pulumi installer cannot be used ({reason[0].strip()}): building from source"
            )
            origin = "built from source"
            shutil.rmtree(staging, ignore_errors=True)
            (staging / "bin").mkdir(parents=True)
            build_cli(staging / "bin" / "pulumi", cache / "go", runner, progress)
        version = _version_of(staging / "bin" / "pulumi", runner)
        if version is None:
            raise EngineError(
                "the new Pulumi CLI does not run", hint="look for a full disk, or a `noexec` cache directory"
            )
        root = target.parent.parent
        shutil.rmtree(root, ignore_errors=True)  # of an earlier one that does not run
        os.rename(staging, root)
    return PulumiCli(target, version, origin)


def _install_officially(root: Path, runner: Runner, progress: Progress) -> None:
    progress(f"trying the official Pulumi installer ({pinned_version()})")
    arguments = [str(root), pinned_version(), str(INSTALLER_CONNECT_TIMEOUT_S)]
    with heartbeat(progress, lambda: "the official Pulumi installer is at work"):
        runner.run([sys.executable, "-c", _INSTALL, *arguments], timeout_s=INSTALLER_TIMEOUT_S)


def _cached(cache: Path) -> Path:
    return cache / "pulumi" / pinned_version() / "bin" / "pulumi"


def _version_of(executable: Path, runner: Runner) -> str | None:
    """Asked once of each state of the file: the CLI takes a good part of a second to say it."""
    try:
        found = executable.stat()
        state = (executable, found.st_ino, found.st_mtime_ns)
        if state not in _VERSIONS:
            argv, environment = [str(executable), "version"], {"PULUMI_SKIP_UPDATE_CHECK": "true"}
            said = runner.run(argv, env=environment, timeout_s=30).stdout.strip()
            match = re.match(r"v?(\d+\.\d+\.\d+)", said)
            if match is None:
                return None
            _VERSIONS[state] = match[1]
    except (OSError, CommandError):
        return None
    return _VERSIONS[state]
