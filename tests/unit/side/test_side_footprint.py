"""What is read of processes and control groups: from files as the kernel writes them, and of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pairlab.errors import CommandError, SideError
from pairlab.run import Completed
from pairlab.side import _process
from pairlab.side._footprint import Charge, Mapped, Processes
from pairlab.side._libvirt_holdings import Holdings, holdings, overlay_bytes

SMAPS = """\
55e3310ab000-55e3314b2000 r-xp 00000000 fe:00 10166361                   /usr/bin/qemu-system-x86_64
Size:               4124 kB
Rss:                4124 kB
Pss:                2062 kB
Pss_Dirty:             0 kB
VmFlags: rd mr mw me
7f620fe00000-7f622fe00000 rw-p 00000000 00:00 0
Size:             524288 kB
Rss:              286720 kB
Pss:              286720 kB
7f6230000000-7f626ffff000 rwxp 00000000 00:00 0
Rss:              614400 kB
Pss:              614400 kB
7f6270000000-7f6270001000 rwxp 00000000 fe:00 77                         /usr/lib/patched.so
Rss:                   4 kB
Pss:                   4 kB
"""
KIB = 1024


def write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Sudo:
    """Answers as `sudo cat` and `sudo ls` would."""

    def __init__(self, stdout: str = "", stderr: str = "", error: CommandError | None = None) -> None:
        self.stdout, self.stderr, self.error = stdout, stderr, error
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.ran.append(list(argv))
        if self.error:
            raise self.error
        return Completed(tuple(argv), int(bool(self.stderr)), self.stdout, self.stderr)

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        raise AssertionError


def test_memory_is_shared_out_and_translated_code_is_told_apart(tmp_path: Path) -> None:
    write({tmp_path / "7" / "smaps": SMAPS, tmp_path / "8" / "smaps": SMAPS})
    found = Processes(None, proc=tmp_path)
    total = (2062 + 286720 + 614400 + 4) * KIB
    assert found.mapped([7], guest_bytes=512 * 1024**2) == Mapped(total, 286720 * KIB, 614400 * KIB)
    assert found.mapped([7, 8, 9]) == Mapped(2 * total, 0, 2 * 614400 * KIB)


def test_another_accounts_processes_are_read_by_sudo_or_it_says_who_may() -> None:
    sudo = Sudo(SMAPS)
    assert Processes(sudo).mapped([7]).translated_bytes == 614400 * KIB
    assert sudo.ran == [["sudo", "--non-interactive", "--", "cat", "/proc/7/smaps"]]
    assert Processes(Sudo("0\n1\n2\n")).descriptors([7, 8]) == 6
    assert Processes(Sudo(stderr="cat: /proc/7/smaps: No such file or directory")).mapped([7]).bytes == 0
    for refusing in (
        Sudo(stderr="sudo: a password is required"),
        Sudo(error=CommandError("sudo is not installed", hint="")),
    ):
        with pytest.raises(SideError, match="root only") as refused:
            Processes(refusing).mapped([7])
        assert "sudo" in refused.value.details


def test_what_the_kernel_tells_of_this_very_process() -> None:
    found, own = Processes(None), os.getpid()
    assert found.parent(own) == os.getppid()
    mapped = found.mapped([own])
    assert mapped.bytes > 10 * 1024**2
    assert mapped.translated_bytes < mapped.bytes
    before = found.descriptors([own])
    with Path("/dev/null").open():
        assert found.descriptors([own]) == before + 1
    assert found.threads([own]) >= 1


def test_members_and_charge_on_the_unified_hierarchy(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    scope = groups / "machine.slice" / "qemu.scope"
    write(
        {
            proc / "7" / "cgroup": "0::/machine.slice/qemu.scope/emulator\n",
            proc / "8" / "cgroup": "0::/\n",
            groups / "cgroup.controllers": "cpu memory\n",
            groups / "memory.stat": "file 1\n",
            scope / "memory.stat": "anon 5\nfile 1000\nkernel 300\n",
            scope / "memory.current": "5000\n",
            scope / "cgroup.procs": "7\n9\n",
            scope / "emulator" / "cgroup.threads": "7\n",
        }
    )
    found = Processes(None, proc=proc, cgroups=groups)
    assert found.charge(7) == Charge(4000, 1000, 300)
    assert found.members(7) == [7, 9]
    assert found.charge(8) is None
    assert found.members(8) == [8]
    assert _process.group_of(6, "memory", proc=proc, cgroups=groups) is None


def test_members_and_charge_on_the_older_hierarchies(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    own = groups / "memory" / "docker" / "1"
    write(
        {
            proc / "7" / "cgroup": "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/docker/1\n",
            proc / "8" / "cgroup": "4:memory:/\n0::/\n",
            own / "memory.usage_in_bytes": "9000\n",
            own / "memory.kmem.usage_in_bytes": "400\n",
            own / "memory.stat": "cache 1\ntotal_cache 2000\n",
            own / "cgroup.procs": "7\n",
        }
    )
    found = Processes(None, proc=proc, cgroups=groups)
    assert found.charge(7) == Charge(7000, 2000, 400)
    assert found.members(7) == [7]
    assert found.charge(8) is None


class Volumes:
    """A libvirt with one domain, and files of a hundred bytes for each letter of their paths."""

    def __init__(self, description: str) -> None:
        self.description = description

    def lookupByName(self, name: str) -> Any:  # noqa: N802
        return self

    def XMLDesc(self) -> str:  # noqa: N802
        return self.description

    def maxMemory(self) -> int:  # noqa: N802
        return 2048

    def storageVolLookupByPath(self, path: str) -> Any:  # noqa: N802
        self.asked = path
        return self

    def info(self) -> list[int]:
        return [0, 4 * 1024**3, 100 * len(self.asked)]


def test_a_domain_has_its_disks_and_shares_what_they_stand_on() -> None:
    connection = Volumes("""
<domain><os><kernel>/k</kernel><initrd>/ird</initrd></os><devices>
<disk><source file="/overlay"/><backingStore><source file="/base"/><backingStore/></backingStore></disk>
<disk><source file="/seed"/></disk><interface><source network="n"/></interface></devices></domain>""")
    assert holdings(connection, "d") == Holdings(2048 * KIB, 100 * (8 + 5), 100 * (5 + 2 + 4))
    assert overlay_bytes(connection, "d") == 800
    without = Volumes('<domain><os/><devices><disk><source file="/own"/></disk></devices></domain>')
    assert holdings(without, "d") == Holdings(2048 * KIB, 400, 0)
