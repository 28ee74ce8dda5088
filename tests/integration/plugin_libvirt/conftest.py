"""A real engine with the embedded libvirt plugin, and a guest that says one line."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from pairlab.plugin.server import write_launchers
from pairlab.run import LocalRunner

SAYS = "pairlab-guest-is-up"
INIT = f"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {{
    dup2(open("/dev/console", O_RDWR), 1);
    for (;;) {{ printf("{SAYS}\\n"); fflush(stdout); sleep(1); }}
}}
"""


@pytest.fixture(scope="session")
def engine() -> Path:
    """The Pulumi CLI. It must be there: without it these tests prove nothing."""
    place = os.environ.get("PAIRLAB_TEST_PULUMI") or shutil.which("pulumi")
    if not place:
        pytest.fail("no Pulumi CLI: run `invoke lab.setup`, or name one in PAIRLAB_TEST_PULUMI")
    return Path(place)


@pytest.fixture
def prefix() -> Iterator[str]:
    """Begins every name of one test; its pools' parent directory goes with it."""
    name = f"pllibvirt-{secrets.token_hex(3)}"
    yield name
    shutil.rmtree(Path("/var/lib/libvirt") / name, ignore_errors=True)


Program = Callable[[], None]


@pytest.fixture
def stack(engine: Path, tmp_path: Path) -> Iterator[Callable[[Program], automation.Stack]]:
    """Makes a stack of a program; the same stack again for another program. Destroyed at the end."""
    root = engine.parent.parent if engine.parent.name == "bin" else tmp_path / "pulumi"
    if engine.parent.name != "bin":
        (root / "bin").mkdir(parents=True)
        (root / "bin" / "pulumi").symlink_to(engine)
    command = automation.PulumiCommand(root=str(root), skip_version_check=True)
    plugin = write_launchers(tmp_path / "plugins")["libvirt"]
    (tmp_path / "state").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / "Pulumi.yaml").write_text(
        "name: pllibvirt\nruntime: python\n"
        f"backend:\n  url: file://{tmp_path}/state\n"
        f"plugins:\n  providers:\n  - name: libvirt\n    path: {plugin}\n    version: 0.5.4\n"
    )
    made: list[automation.Stack] = []
    environment = {
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
    }

    def make(program: Program) -> automation.Stack:
        options = automation.LocalWorkspaceOptions(
            work_dir=str(work), pulumi_command=command, env_vars=environment
        )
        one = automation.create_or_select_stack(
            "test", project_name="pllibvirt", program=program, opts=options
        )
        made.append(one)
        return one

    yield make
    if made:
        made[-1].destroy()


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's kernel for clouds, out of its package, as the host's own package sources give it."""
    place = tmp_path_factory.mktemp("kernel")
    run = LocalRunner().run
    told = run(["apt-cache", "depends", "--important", "linux-image-cloud-amd64"]).stdout
    package = told.split("Depends:")[1].split()[0]
    run(["apt-get", "download", package], cwd=place)
    [archive] = place.glob("*.deb")
    run(["dpkg-deb", "--extract", str(archive), str(place / "root")])
    [found] = (place / "root" / "boot").glob("vmlinuz-*")
    return found


@pytest.fixture(scope="session")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initramfs whose only program says one line each second."""
    place = tmp_path_factory.mktemp("initrd")
    (place / "init.c").write_text(INIT)
    LocalRunner().run(["gcc", "-static", "-O1", "-o", str(place / "init"), str(place / "init.c")])
    entries = [
        ("dev", 0o40755, b"", (0, 0)),
        ("dev/console", 0o20600, b"", (5, 1)),
        ("init", 0o100755, (place / "init").read_bytes(), (0, 0)),
        ("TRAILER!!!", 0, b"", (0, 0)),
    ]
    image = place / "initrd.img"
    image.write_bytes(b"".join(_cpio_entry(number, *entry) for number, entry in enumerate(entries, 1)))
    return image


def _cpio_entry(number: int, name: str, mode: int, data: bytes, device: tuple[int, int]) -> bytes:
    """One member of a "newc" archive. Source: Linux, early-userspace/buffer-format.rst"""
    name_bytes = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name_bytes), 0)
    entry = b"070701" + b"".join(b"%08x" % field for field in fields) + name_bytes
    entry += bytes(-len(entry) % 4) + data
    return entry + bytes(-len(entry) % 4)


@pytest.fixture
def console() -> Callable[[str, float], str]:
    """Reads a running domain's serial console until the guest has spoken."""

    def read(domain: str, timeout_s: float) -> str:
        import select
        import time
        from xml.etree import ElementTree as ET

        import libvirt

        connection = libvirt.open("qemu:///system")
        described = connection.lookupByName(domain).XMLDesc(0)
        path = ET.fromstring(described).find("./devices/console").get("tty")  # type: ignore[union-attr]
        heard = b""
        deadline = time.monotonic() + timeout_s
        with open(str(path), "rb", buffering=0) as terminal:
            while SAYS.encode() not in heard and time.monotonic() < deadline:
                ready, _, _ = select.select([terminal], [], [], 1.0)
                heard += terminal.read(4096) if ready else b""
        return heard.decode(errors="replace")

    return read


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small qcow2 image."""
    path = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "64M"], check=True)
    return path


def changes(result: Any) -> dict[str, int]:
    """What a run did, without what stayed the same."""
    summary = result.change_summary if hasattr(result, "change_summary") else result.summary.resource_changes
    return {
        str(getattr(kind, "value", kind)): n for kind, n in (summary or {}).items() if "same" not in str(kind)
    }
