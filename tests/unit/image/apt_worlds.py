"""A mirror, as apt, dpkg-deb and the signer would tell of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from image_worlds import SOURCES

from pairlab.run import Completed
from tests.unit.host.answering_runner import Answer, AnsweringRunner

RELEASE, SECURITY = "Debian:12.12/oldstable", "Debian-Security:12/oldstable-security"


def inst(name: str, old: str, new: str, *origins: str) -> str:
    held = f"[{old}] " if old else ""
    return f"Inst {name} {held}({new} {', '.join(origins or [SECURITY])} [amd64])\n"


class MirrorRunner(AnsweringRunner):
    """Attributes: `environment`: of the last command; `changed`: package -> when it was changed last."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        plain: dict[str, Answer] = {
            "apt-get indextargets": SOURCES,
            "apt-config shell": "",
            "apt-get update": "",
            "apt-get install": "",
            "apt-get upgrade": "",
            "apt-cache show": "",
            "apt-cache depends": "nginx\n  Depends: libc6\nlibc6\nlibssl3\n",
            "apt-get download": self._download,
            "dpkg-deb": self._dpkg_deb,
            "apt-ftparchive packages": self._index,
            "apt-ftparchive release": "Suite: updates\n",
            "sqop generate-key": "PRIVATE",
            "sqop extract-cert": "PUBLIC",
            "sqop inline-sign": self._sign,
        }
        super().__init__(plain | dict(answers or {}))
        self.changed: dict[str, int] = {}
        self.environment: dict[str, str] = {}
        self.key_modes: list[int] = []
        self._cwd = Path()

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self._cwd = options.get("cwd") or Path()
        self.environment = dict(options.get("env") or {})
        return super().run(argv, **options)

    def _download(self, argv: tuple[str, ...]) -> str:
        for word in argv[3:]:
            name, _, version = word.partition("=")
            self._write(name, version.replace(":", "%3a"))
        return ""

    def _write(self, name: str, version: str) -> None:
        header = f"!<arch>\n{'debian-binary':16}{self.changed.get(name, 0):<12}"
        (self._cwd / f"{name}_{version}_amd64.deb").write_text(f"{header} {name} {version}")

    def _dpkg_deb(self, argv: tuple[str, ...]) -> str:
        tree, deb = Path(argv[-1]), Path(argv[-2])
        if "--raw-extract" in argv:
            name, version, _ = deb.name.split("_")
            (tree / "DEBIAN").mkdir(parents=True)
            (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: {version}\nDepends: libc6\n")
            return ""
        tree, self._cwd = deb, tree
        fields = dict(re.findall(r"(?m)^(\w+): (.+)$", (tree / "DEBIAN/control").read_text()))
        self._write(fields["Package"], fields["Version"])
        return ""

    def _index(self, argv: tuple[str, ...]) -> str:
        stanzas = []
        for path in sorted(self._cwd.glob("*.deb")):
            name, version = path.read_text().split()[-2:]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            told = {
                "Package": name,
                "Version": version.replace("%3a", ":"),
                "Filename": f"./{path.name}",
                "SHA256": digest,
            }
            stanzas.append("".join(f"{key}: {value}\n" for key, value in told.items()))
        return "\n".join(stanzas)

    def _sign(self, argv: tuple[str, ...]) -> str:
        key = Path(argv[-1])
        assert key.read_text() == "PRIVATE"
        self.key_modes.append(key.stat().st_mode & 0o777)
        return "SIGNED"


def only_for(wanted: str, text: str) -> Callable[[tuple[str, ...]], str]:
    """An answer to `apt-get install --only-upgrade` of one package, and none for others."""
    return lambda argv: text if argv[3] == wanted else ""
