"""How a system installs from one apt repository only: the files that it needs, and the exact commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pairlab.model import Update
from pairlab.render import render
from pairlab.run import Runner

KEYRING = "/etc/apt/keyrings/pairlab-updates.asc"
SOURCES = "/etc/apt/sources.list.d/pairlab-updates.sources"
ONLY_THIS = (
    "-o",
    f"Dir::Etc::SourceList={SOURCES}",
    "-o",
    "Dir::Etc::SourceParts=-",
    "-o",
    "APT::Get::List-Cleanup=0",
)
"""Heed no other source, and keep the lists of the others.

Source: apt-get(8), apt.conf(5): a part of `-` is an empty directory.
"""
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class AptSource:
    """One signed repository, as a system sees it.

    Attributes:
        url: Where it is, such as `http://packages:20799/`.
        public_key: What it is verified with, in ASCII armour.
    """

    url: str
    public_key: str = field(repr=False)

    @property
    def files(self) -> Mapping[str, str]:
        """Path in the system -> content of what it must be given."""
        entry = render("image/updates.sources.j2", url=self.url, key=KEYRING)
        return {KEYRING: self.public_key, SOURCES: entry}

    @property
    def refresh(self) -> tuple[str, ...]:
        """The command that reads this repository's list; an unsigned or foreign one fails it."""
        return ("apt-get", "update", "-q", "--error-on=any", *ONLY_THIS)

    @staticmethod
    def upgrade(update: Update) -> tuple[str, ...]:
        """The command that installs an update of what is installed already, from this repository alone."""
        keep_ours = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
        wanted = f"{update.package}={update.new}"
        return ("apt-get", "install", "-q", "-y", "--only-upgrade", "--no-install-recommends",
                *keep_ours, *ONLY_THIS, wanted)  # fmt: skip

    def add(self, root: Runner) -> None:
        """Give a system this repository and read its list.

        Args:
            root: Runs commands in the system, as root.

        Raises:
            CommandError: It cannot be reached from there, or its signature does not hold.
        """
        for path, content in self.files.items():
            root.run(["tee", path], input_text=content)
        root.run(self.refresh, env=QUIET, timeout_s=TIMEOUT_S)

    def install(self, root: Runner, update: Update) -> None:
        """Install an update in a system that has this repository.

        Raises:
            CommandError: apt or dpkg failed.
        """
        root.run(self.upgrade(update), env=QUIET, timeout_s=TIMEOUT_S)
