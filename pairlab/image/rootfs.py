"""Root file systems from Debian's packages, with mmdebstrap: bases that are kept, and branches upon them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.recipe import File
from pairlab.progress import heartbeat
from pairlab.render import render
from pairlab.run import Runner, tail

Progress = Callable[[str], None]

SUITE = "bookworm"
TIMEOUT_S = 1800.0
EPOCH = 1_700_000_000
"""Time stamp of the files that pairlab adds, so that equal input gives equal layers."""

UNWANTED = ("doc", "man", "info", "locale", "lintian", "linda", "bug")
NO_DOCS = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in UNWANTED]
KEEP_COPYRIGHT = "--dpkgopt=path-include=/usr/share/doc/*/copyright"


def debian_sources(runner: Runner, pocket: str) -> list[str]:
    """The host's own Debian mirrors, as one-line sources.

    Args:
        runner: Runs apt-get.
        pocket: `release`, or `security` to add the security pocket.

    Returns:
        Such as `deb MIRROR bookworm main`.

    Raises:
        ImageError: The host's apt knows no such suite.
    """
    wanted = {SUITE} | ({f"{SUITE}-security"} if pocket == "security" else set())
    listed = runner.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(SITE)", "Created-By: Packages"]
    ).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        release, component, site = line.split(" ", 2)
        if release in wanted and component == "main":
            found.setdefault(release, f"deb {site} {release} main")
    if missing := wanted - found.keys():
        raise ImageError(
            f"this host's apt knows no {', '.join(sorted(missing))} packages",
            hint="add Debian 12's mirror to /etc/apt/sources.list and run `apt-get update`",
        )
    return [found[name] for name in sorted(found)]


def bootstrap(target: Path, sources: list[str], runner: Runner, progress: Progress) -> None:
    """Make the minimal system as a tar file."""
    argv = ["mmdebstrap", "--mode=auto", "--variant=minbase", "--aptopt=Acquire::Languages none"]
    argv += [*NO_DOCS, KEEP_COPYRIGHT, SUITE, str(target), *sources]
    _run(argv, runner, progress, "bootstrapping the base system")


def branch(
    base: Path, target: Path, sources: list[str], hook: Path, runner: Runner, progress: Progress, what: str
) -> None:
    """Build upon a base.

    Args:
        base: Tar file of a root file system.
        target: Tar file to write, or `-` ...
        sources: Debian sources.
        hook: Executable that gets the root directory; see `write_hook`.
        runner: Runs mmdebstrap.
        progress: Told now and then that it is still at work.
        what: In words, for progress and errors.
    """
    unpack = hook.with_name("unpack.sh")
    unpack.write_text(f"#!/bin/sh\nexec tar -C \"$1\" -xf '{_quotable(base)}'\n")
    unpack.chmod(0o755)
    argv = ["mmdebstrap", "--mode=auto", "--variant=custom", "--skip=check/empty"]
    argv += [f"--setup-hook={unpack}", f"--customize-hook={hook}", "--format=tar", SUITE, str(target)]
    _run([*argv, *sources], runner, progress, what)


def write_hook(
    folder: Path,
    *,
    packages: tuple[str, ...],
    files: Mapping[str, File],
    commands: tuple[tuple[str, ...], ...],
    disk: Mapping[str, object] | None = None,
) -> Path:
    """Write the script that turns a base into a branch; what it finds out lies beside it."""
    archive = folder / "files.tar"
    if files:
        with tarfile.open(archive, "w") as tar:
            for path, file in sorted(files.items()):
                content = file.content.encode()
                entry = tarfile.TarInfo("." + path)
                entry.size, entry.mode, entry.mtime = len(content), file.mode, EPOCH
                tar.addfile(entry, io.BytesIO(content))
    values: dict[str, object] = {"kernel_to": "", "modules_to": "", "modules": (), "seed": "", "disk": ""}
    values |= {"disk_size": ""} | dict(disk or {})
    hook = folder / "customize.sh"
    hook.write_text(
        render(
            "image/customize.sh.j2",
            packages=packages,
            files=archive if files else "",
            commands=commands,
            manifest=folder / "packages",
            **values,
        )
    )
    hook.chmod(0o755)
    return hook


def read_packages(folder: Path) -> dict[str, str]:
    """Package -> version, as the hook wrote them."""
    lines = (folder / "packages").read_text().splitlines()
    return dict(sorted(line.split(" ", 1) for line in lines))


def _quotable(path: Path) -> str:
    text = str(path)
    if "'" in text:
        raise ImageError(f"{text} has a quote in it", hint="set PAIRLAB_CACHE to another directory")
    return text


def _run(argv: list[str], runner: Runner, progress: Progress, what: str) -> None:
    progress(what)
    # mmdebstrap takes a path with a slash to an executable as it is; it is never given shell text.
    try:
        with heartbeat(progress, lambda: what):
            runner.run(argv, timeout_s=TIMEOUT_S, env={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": _scratch()})
    except CommandError as error:
        raise ImageError(
            f"{what} failed: {_cause(error)}", hint=_next_step(error), details=error.details
        ) from error


def _scratch() -> str:
    return os.environ.get("TMPDIR", "/var/tmp")


def _cause(error: CommandError) -> str:
    for line in error.details.splitlines():
        if "Unable to locate package" in line or "has no installation candidate" in line:
            return line.removeprefix("E: ").strip()
        if "Version" in line and "was not found" in line:
            return line.removeprefix("E: ").strip()
        if "No space left on device" in line:
            return "the disk is full"
        if "Could not resolve" in line or "Failed to fetch" in line or "Unable to connect" in line:
            return line.removeprefix("E: ").removeprefix("W: ").strip()
    return tail(error.details, 1) or error.message


def _next_step(error: CommandError) -> str:
    text = error.details
    if "No space left on device" in text:
        return "free some space (`invoke image.prune` removes unused images), then try again"
    if "Unable to locate package" in text or "was not found" in text or "no installation candidate" in text:
        return "correct the workload's `packages`; `apt-cache policy NAME` shows what there is"
    if "resolve" in text or "fetch" in text or "connect" in text:
        return "check that this host's apt mirror can be reached: `apt-get update`"
    return "the lines above are the end of its log; `mmdebstrap` needs root, sudo, or user namespaces"
