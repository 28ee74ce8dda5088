"""A runner that stands in for mmdebstrap, qemu-img, apt and Docker: it leaves the files that they would."""

import hashlib
import io
import json
import re
import struct
import tarfile
import threading
from pathlib import Path

from pairlab.errors import CommandError
from pairlab.image.recipe import TREE
from pairlab.model import Workload
from pairlab.run import Completed

WEB = Workload(
    name="web",
    packages=("nginx",),
    port=8080,
    health_path="/healthz",
    unit="nginx.service",
    command=("/usr/sbin/nginx",),
    user="www-data",
    files={"/etc/nginx/nginx.conf": "workload/web/nginx.conf.j2"},
)
DOCKER = "unix:///var/run/docker.sock"
SOURCES = """\
bookworm main http://mirror.test/debian
bookworm-updates main http://mirror.test/debian
bookworm-security main http://mirror.test/debian-security
"""


def write_tar(path: Path, entries: dict[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, text in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


def grub_boot_image(*, core_at: int = 1) -> bytes:
    """Like GRUB's boot.img: code, and in it the sector where the rest is."""
    return b"B" * 0x5C + struct.pack("<Q", core_at) + b"B" * 412


def grub_core_image(*, bytes: int, first: int = 2, count: int | None = None) -> bytes:  # noqa: A002
    """Like GRUB's core.img: the first sector ends with what of it to load."""
    more = -(-bytes // 512) - 1 if count is None else count
    return b"C" * 500 + struct.pack("<QHH", first, more, 0x820) + b"C" * (bytes - 512)


class BuildingRunner:
    """Attributes: `ran`: programs in order; `docker`: reference -> version; `elsewhere`: likewise, by host;
    `silent`: hosts that do not answer;
    `failure`: mmdebstrap's log; `bootstraps`: builds from nothing; `patience_s`: how long the
    base's last file lets others try."""

    def __init__(self):
        self.bootstraps = 0
        self.bootstrapped_again = threading.Event()
        self.patience_s = 0
        self.ran = []
        self.docker = {}
        self.elsewhere = {}
        self.used = set()
        self.silent = set()
        self.failure = ""
        self.nginx = "1.22.1-9+deb12u9"

    def run(self, argv, *, check=True, on_line=None, **_):
        words = list(argv)
        program = next(word for word in words if not word.startswith("-") and word != "unshare")
        self.ran.append(program)
        output = getattr(self, "_" + program.replace("-", "_"))(words, on_line)
        code, text = output if isinstance(output, tuple) else (0, output or "")
        if check and code:
            raise CommandError(f"{program} failed", hint="look", details=text)
        return Completed(tuple(words), code, text, "")

    def builds(self) -> int:
        return self.ran.count("mmdebstrap")

    def _apt_get(self, words, _):
        return SOURCES

    def _apt_config(self, words, _):
        return ""

    def _mmdebstrap(self, words, on_line):
        if self.failure:
            return 1, self.failure
        script = Path(next(w for w in words if w.startswith("--customize-hook=")).split("=", 1)[1])
        text = script.read_text()
        out = Path(re.search(r"^out=(.*)$", text, re.MULTILINE)[1])
        self.bootstraps += "--variant=essential" in words
        if self.bootstraps > 1:
            self.bootstrapped_again.set()
        if "saved lists.tar" in text:
            write_tar(out / "lists.tar", {})
            on_line("pairlab: saved lists.tar")
            self.bootstrapped_again.wait(self.patience_s)
        for name in ("base.tar", "vm-base.tar"):
            if f"pack {name}" in text:
                write_tar(out / name, {"./etc/debian_version": "12"})
                on_line(f"pairlab: saved {name}")
        packages = f"nginx {self.nginx}\n"
        (out / "packages").write_text(packages)
        recipe = re.search(r"echo (\w{16}); cat", text)[1]
        version = hashlib.sha256((recipe + packages).encode()).hexdigest()[:12]
        (out / "version").write_text(version + "\n")
        if "mke2fs" in text:
            for name in ("disk.raw", "vmlinuz", "initrd"):
                (out / name).write_text(f"{name} of {version}")
        else:
            gathered = {f".{TREE}/bin/dd": "ELF"} if "sbin/gather" in text else {}
            files = {"./etc/debian_version": "12", "./etc/pairlab/image": version}
            write_tar(out / "root.tar", files | gathered)
        return ""

    def _grub_mkimage(self, words, _):
        target = next(word for word in words if word.startswith("--output=")).split("=", 1)[1]
        Path(target).write_bytes(grub_core_image(bytes=3000))
        return ""

    def _qemu_img(self, words, _):
        Path(words[-1]).write_text("QFI" + Path(words[-2]).read_text())
        return ""

    def _docker(self, words, _):
        if "version" in words:
            return (1, "no answer") if words[2] in self.silent else "20.10"
        held = self.docker if words[2] == DOCKER else self.elsewhere.setdefault(words[2], {})
        if "load" in words:
            with tarfile.open(words[-1]) as tar:
                manifest = json.load(tar.extractfile("manifest.json"))[0]
                config = json.load(tar.extractfile(manifest["Config"]))
            held[manifest["RepoTags"][0]] = config["config"]["Labels"]["org.pairlab.image"]
            return ""
        if "inspect" in words:
            return (0, held[words[-1]] + "\n") if words[-1] in held else (1, "no such image")
        assert words[3:5] == ["image", "rm"]
        if words[-1] in self.used:
            return 1, "conflict: a container uses it"
        del held[words[-1]]
        return ""
