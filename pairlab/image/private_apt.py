"""A private apt: the mirror's lists in the cache, asked about systems that are not this host.

Nothing of the host's own apt is changed: configuration, lists and state all lie in one folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import CommandError, ImageError
from pairlab.image.rootfs import apt_proxy, build_error, debian_sources
from pairlab.progress import Progress, heartbeat
from pairlab.render import render
from pairlab.run import Runner

APT = "apt"
"""Its folder in the image cache."""
TIMEOUT_S = 900.0
SECURITY = "Debian-Security"
"""Label of Debian's security pocket in what apt says of a package's origin."""
INST = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\((\S+) (.*) \[\S+\]\)")
"""Package, version that is replaced, new version, its origins. Source: apt-get(8), `--simulate`."""
SOFT = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")


@dataclass(frozen=True)
class Move:
    """One package of a simulated upgrade.

    Attributes:
        installed: Version that is replaced; empty for a package that comes in new.
        new: Version that comes.
        security: Whether the security pocket has it.
    """

    installed: str
    new: str
    security: bool


@dataclass(frozen=True)
class System:
    """A system that apt can be asked about: what is installed, as a dpkg status file."""

    manifest: Mapping[str, str]
    status: Path


class PrivateApt:
    """Debian's release and security pockets, in lists of our own.

    Args:
        folder: Where all of it lies.
        runner: Runs apt.
    """

    def __init__(self, folder: Path, runner: Runner) -> None:
        self._folder = folder
        self._runner = runner

    def refresh(self, progress: Progress) -> None:
        """Read the mirror's lists as they are now.

        Raises:
            ImageError: The mirror cannot be reached, or this host's apt knows none.
        """
        for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial",
                     "var/cache/apt/archives/partial", "systems"):  # fmt: skip
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "nothing-installed").touch()
        (self._folder / "apt.conf").write_text(render("image/apt.conf.j2", folder=self._folder))
        sources = debian_sources(self._runner, "security")
        (self._folder / "etc/apt/sources.list").write_text("\n".join([*sources, ""]))
        said = "reading the lists of Debian's release and security pockets"
        progress(said)
        with heartbeat(progress, lambda: said):
            self._apt("apt-get", "update", "-q", "--error-on=any")

    def system(self, manifest: Mapping[str, str]) -> System:
        """Describe a system to apt.

        A version that the mirror no longer has is entered without what it needs: the new one's needs
        decide what moves.

        Args:
            manifest: Package -> version of all that is installed.
        """
        known = self._stanzas(manifest)
        text = "\n".join(
            known.get((name, version), f"Package: {name}\nVersion: {version}\nArchitecture: all\n")
            + "Status: install ok installed\n"
            for name, version in sorted(manifest.items())
        )
        status = self._folder / "systems" / hashlib.sha256(text.encode()).hexdigest()[:16]
        status.write_text(text)
        return System(manifest, status)

    def upgrade(self, system: System, package: str) -> dict[str, Move]:
        """Package -> what happens to it when one package is upgraded; empty if there is nothing newer."""
        return dict(self._moves(system, "install", "--only-upgrade", package))

    def upgradable(self, system: System) -> dict[str, Move]:
        """Package -> what would happen to it if all were upgraded."""
        return dict(self._moves(system, "upgrade", "--with-new-pkgs"))

    def closure(self, system: System, package: str) -> set[str]:
        """What an installed package needs, directly and through others, itself included."""
        without = [f"--no-{kind}" for kind in SOFT]
        said = self._apt("apt-cache", "depends", "--recurse", "--installed", *without, package, system=system)
        return {line.strip() for line in said.splitlines() if line and not line.startswith((" ", "|"))}

    def download(self, packages: Mapping[str, str], folder: Path) -> list[Path]:
        """Fetch packages, verified against the mirror's signed lists.

        Args:
            packages: Package -> version.
            folder: Empty folder that gets them.

        Raises:
            ImageError: The mirror does not have one of them.
        """
        wanted = [f"{name}={version}" for name, version in sorted(packages.items())]
        self._apt("apt-get", "download", "-q", *wanted, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def _moves(self, system: System, *words: str) -> Iterator[tuple[str, Move]]:
        for line in self._apt("apt-get", *words, "--simulate", "-q", system=system).splitlines():
            if match := INST.match(line):
                yield match[1], Move(match[2] or "", match[3], SECURITY in match[4])

    def _stanzas(self, names: Collection[str]) -> dict[tuple[str, str], str]:
        """(package, version) -> its stanza, as far as the mirror has it."""
        # Its exit status also tells that one of many names is unknown, which is fine.
        said = self._apt("apt-cache", "show", "--all-versions", *sorted(names), check=False)
        found = {}
        for stanza in re.split(r"\n\n+", said):
            fields = dict(re.findall(r"^(Package|Version): (\S+)$", stanza, re.MULTILINE))
            if len(fields) == 2:
                found[fields["Package"], fields["Version"]] = stanza.strip() + "\n"
        return found

    def _apt(
        self,
        program: str,
        *words: str,
        system: System | None = None,
        cwd: Path | None = None,
        check: bool = True,
    ) -> str:
        env = {"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8"} | apt_proxy(self._runner)
        argv = [program, *words]
        argv += ["-o", f"Dir::State::status={system.status}"] if system else []
        try:
            return self._runner.run(argv, env=env, cwd=cwd, check=check, timeout_s=TIMEOUT_S).stdout
        except CommandError as error:
            raise build_error(f"`{program} {words[0]}` on the mirror's lists", error) from error


def changed_at(deb: Path) -> int:
    """When a package was last changed, in seconds since 1970, from the archive's first header.

    Source: dpkg-deb(1), SOURCE_DATE_EPOCH: the time stamp of the ar(5) container, which Debian's builds
    take from the newest changelog entry; ar(5): global header of 8 bytes, then name[16], date[12].
    """
    with deb.open("rb") as file:
        header = file.read(36)
    try:
        if not header.startswith(b"!<arch>\n"):
            raise ValueError(deb)
        return int(header[24:36])
    except ValueError as error:
        raise ImageError(f"{deb.name} is no Debian package", hint="try again: it is fetched anew") from error
