"""Root file systems from Debian's packages, with mmdebstrap: kept bases, and what is built on them."""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pairlab.errors import CommandError, ImageError
from pairlab.image.apt_source import AptSource
from pairlab.image.boot_area import PARTITION_START_BYTES, make_boot_area
from pairlab.image.recipe import BASE_PACKAGES, BUILD_SCRIPT, File, Files, HostFile, Recipe
from pairlab.image.staging import Staging
from pairlab.model import Repository
from pairlab.progress import Progress, heartbeat
from pairlab.render import render
from pairlab.run import Runner, tail

SUITE = "bookworm"
TIMEOUT_S = 1800.0
DISK_BYTES = 2 << 30
EPOCH = 1_700_000_000
"""Newest time stamp of a file, seconds since 1970, so that equal input gives equal layers."""

UNWANTED = ("doc", "man", "info", "locale", "lintian", "linda", "bug")
NO_DOCS = [f"path-exclude=/usr/share/{folder}/*" for folder in UNWANTED]
NO_DOCS += ["path-include=/usr/share/doc/*/copyright"]
"""dpkg's settings in every image, for what is installed there later too."""
WITHOUT_DOCS = (
    f'--setup-hook=printf "%s\\n" {shlex.join(NO_DOCS)} > "$1/etc/dpkg/dpkg.cfg.d/pairlab"',
    '--extract-hook=cd "$1/usr/share" && find . -depth -regextype posix-extended '
    f"-regex './({'|'.join(UNWANTED)})/.*' "
    "'(' -type d -empty -o ! -type d ! -path './doc/*/copyright' ')' -delete",
)
"""Hooks before and after the first packages are extracted.

dpkg does not extract them, and mmdebstrap's own filter, by `--dpkgopt`, takes as long as all the rest.
"""

MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
"""Without it Debian 12's base gets usrmerge, and with that a second, whole Perl of 50 MB."""

NO_STAND_INS = "--skip=chroot/policy-rc.d,chroot/start-stop-daemon"
"""The build script has a policy of its own: a kept base must not hold mmdebstrap's."""

UPDATES = "/var/cache/pairlab-updates"
"""Where the packages of `Stage.updates` lie in the new root while they are installed."""

SPOKEN = "pairlab: "
"""Begins the lines of the build script that are meant for us."""


@dataclass(frozen=True)
class Stage:
    """A step of a build.

    Attributes:
        packages: What it installs.
        files: Path -> file, laid down after the packages, whose own they may replace.
        commands: Run in the new root afterwards.
        saved: Name of a tar file that is then made of all so far; empty for none.
        lists: Name of a tar file of apt's lists, which make the next update short; empty for none.
        updates: Packages that take the place of the release pocket's, in this stage and those before.
    """

    packages: tuple[str, ...] = ()
    files: Files = field(default_factory=dict[str, File | HostFile])
    commands: tuple[tuple[str, ...], ...] = ()
    saved: str = ""
    lists: str = ""
    updates: Repository | None = None


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


def make_root(
    recipe: Recipe,
    stages: list[Stage],
    *,
    base: Sequence[Path],
    place: Staging,
    sources: list[str],
    runner: Runner,
    progress: Progress,
    saved: Callable[[str], None],
) -> None:
    """Build a root file system; what is wanted of it lies in `place.out` afterwards.

    Args:
        recipe: What is built.
        stages: Steps, the recipe's own last.
        base: Tar files to begin with; none to begin with nothing.
        place: Its `out` gets `packages` and `version`, and `root.tar` or `disk.raw`, `vmlinuz`, `initrd`.
        sources: Debian sources.
        runner: Runs mmdebstrap.
        progress: Told each phase, and now and then in a long one.
        saved: Called with the name of each tar file that a stage has saved, while the build goes on.

    Raises:
        ImageError: It failed; says why and what to do.
    """
    what = f"building the {recipe.form} image of {recipe.name}"
    now = [what]

    def listen(line: str) -> None:
        if not line.startswith(SPOKEN):
            return
        said = line.removeprefix(SPOKEN)
        if said.startswith("saved "):
            saved(said.removeprefix("saved "))
        else:
            now[0] = f"{recipe.name} ({recipe.form}): {said}"
            progress(now[0])

    script = _write_script(recipe, stages, place, boot_area=_write_boot_area(recipe, place.own, runner))
    # As root it would mount in the host's own name space, and leave that behind when it is killed.
    private = ["unshare", "--mount", "--propagation=private"] if os.geteuid() == 0 else []
    argv = [*private, "mmdebstrap", "--mode=auto", "--format=null", f"--customize-hook={script}"]
    argv += [NO_STAND_INS, *(_from_tar(base) if base else _from_nothing())]
    # Its scratch lies there too, so that it goes with it, however the build ends.
    env = {"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(place.out)} | apt_proxy(runner)
    progress(f"{what}: " + ("unpacking its base" if base else "bootstrapping Debian"))
    try:
        with heartbeat(progress, lambda: now[0]):
            runner.run([*argv, SUITE, "/dev/null", *sources], timeout_s=TIMEOUT_S, env=env, on_line=listen)
    except CommandError as error:
        raise build_error(what, error) from error


def _from_nothing() -> list[str]:
    options = ["--variant=essential", "--include=" + ",".join(BASE_PACKAGES), f"--hook-dir={MERGED_USR}"]
    return [*options, *WITHOUT_DOCS, "--aptopt=Acquire::Languages none"]


def _from_tar(base: Sequence[Path]) -> list[str]:
    if os.geteuid() == 0:
        unpack = """tar --extract --directory "$1" --xattrs --xattrs-include='*' --file """
        hooks = [unpack + shlex.quote(str(path)) for path in base]
    else:  # slower, but mmdebstrap itself reads them: its hooks are other users, whom a home may keep out
        hooks = [f"tar-in {shlex.quote(str(path))} /" for path in base]
    return ["--variant=custom", "--skip=check/empty", *(f"--setup-hook={hook}" for hook in hooks)]


def _write_boot_area(recipe: Recipe, own: Path, runner: Runner) -> Path | None:
    """Where the boot loader of a disk that starts by itself lies; None for other images."""
    if not recipe.boots_itself:
        return None
    target = own / "boot-area"
    target.write_bytes(make_boot_area(runner, recipe.cmdline, disk_bytes=DISK_BYTES, scratch=own))
    return target


def _write_script(recipe: Recipe, stages: list[Stage], place: Staging, *, boot_area: Path | None) -> Path:
    own = place.own
    steps = [
        {
            "packages": stage.packages,
            "files": _write_files(own / f"files-{number}.tar", stage.files) if stage.files else "",
            "commands": stage.commands,
            "saved": stage.saved,
            "lists": stage.lists,
            "updates": _write_updates(own, stage.updates) if stage.updates else None,
        }
        for number, stage in enumerate(stages)
    ]
    script = own / "build.sh"
    script.write_text(
        render(
            BUILD_SCRIPT,
            out=place.out,
            stages=steps,
            form=recipe.form,
            recipe=recipe.digest,
            epoch=EPOCH,
            uuid=uuid.uuid5(uuid.NAMESPACE_URL, recipe.digest),
            disk_bytes=DISK_BYTES,
            boot_area=boot_area,
            partition_start=PARTITION_START_BYTES,
        )
    )
    for path in own.iterdir():
        path.chmod(0o755)  # whatever the umask: the build may run as another user
    return script


def _write_updates(own: Path, repository: Repository) -> dict[str, object]:
    """What the build script needs to install from a repository that lies in the new root meanwhile."""
    source = AptSource(f"file:{UPDATES}/", repository.public_key)
    files: dict[str, File | HostFile] = {path: File(text) for path, text in source.files.items()}
    for path in repository.folder.iterdir():
        files[f"{UPDATES}/{path.name}"] = HostFile(path, "")
    return {
        "files": _write_files(own / "updates.tar", files),
        "refresh": source.refresh,
        "packages": repository.packages,
        "remove": [UPDATES, *source.files],
    }


def _write_files(target: Path, files: Files) -> Path:
    with tarfile.open(target, "w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo("." + path)
            entry.mode, entry.mtime = file.mode, EPOCH
            with _opened(file) as content:
                entry.size = content.seek(0, os.SEEK_END)
                content.seek(0)
                tar.addfile(entry, content)
    return target


def apt_proxy(runner: Runner) -> dict[str, str]:
    """The host's apt proxy, as the environment of a command: it has no business in an image."""
    said = runner.run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"]).stdout.strip()
    address = said.removeprefix("proxy=").strip("'")
    return {"http_proxy": address} if address else {}


def _opened(file: File | HostFile) -> BinaryIO:
    return file.source.open("rb") if isinstance(file, HostFile) else io.BytesIO(file.content.encode())


CAUSES = (
    (
        ("Unable to locate package", "has no installation candidate", "was not found"),
        "correct the workload's `packages`; `apt-cache policy NAME` shows what there is",
    ),
    (
        ("No space left on device", "Wrote only"),
        "free some space (`invoke image.prune` removes unused images), then try again",
    ),
    (
        ("Could not resolve", "Failed to fetch", "Unable to connect", "Could not connect"),
        "check that this host's apt mirror can be reached: `apt-get update`",
    ),
)


def build_error(what: str, error: CommandError) -> ImageError:
    """What made a build fail, from the end of its log, and what to do."""
    for phrases, hint in CAUSES:
        for line in error.details.splitlines():
            if any(phrase in line for phrase in phrases):
                cause = line.strip().removeprefix("E: ").removeprefix("W: ")
                return ImageError(f"{what} failed: {cause}", hint=hint, details=error.details)
    return ImageError(
        f"{what} failed: {tail(error.details, 1) or error.message}",
        hint="the details are the end of its log; mmdebstrap needs root, or user namespaces (uidmap)",
        details=error.details,
    )
