"""What one instance takes of its host: what the kernel knows of its processes and of their control group."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import CommandError, SideError
from pairlab.run import Runner
from pairlab.side import _process

GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)
KIB = 1024
SUDO = ("sudo", "--non-interactive", "--")


@dataclass(frozen=True)
class Charge:
    """What a control group is charged.

    Attributes:
        memory_bytes: Memory without file cache.
        cache_bytes: File cache, which its host gives up where memory is short.
        kernel_bytes: Of the former, what the kernel keeps on its behalf, such as page tables and sockets.
    """

    memory_bytes: int
    cache_bytes: int
    kernel_bytes: int


@dataclass(frozen=True)
class Footprint:
    """One instance on its host, at one moment.

    Attributes:
        memory_bytes: Its processes' memory and that of what holds it; a page that several processes share is
            divided by their number (PSS).
        holder_bytes: Of it, that of a process that only holds it, such as a container's shim.
        guest_bytes: Of it, memory that a guest was given and has touched; None where there is no guest.
        translated_bytes: Of it, machine code that software emulation made of the guest's; likewise.
        charge: What its control group is charged; None where it has none of its own.
        given_bytes: Memory that its guest was given, or its processes' limit; 0 for none.
        processes: Processes on the host.
        threads: Their threads.
        descriptors: Their open files.
        own_disk_bytes: Disk that it alone occupies.
        shared_disk_bytes: Disk that it shares with others of its image.
    """

    memory_bytes: int
    holder_bytes: int
    guest_bytes: int | None
    translated_bytes: int | None
    charge: Charge | None
    given_bytes: int
    processes: int
    threads: int
    descriptors: int
    own_disk_bytes: int
    shared_disk_bytes: int


def elsewhere(instance: str) -> SideError:
    """Why the footprint of an instance of a remote daemon is unknown."""
    return SideError(
        f"the processes of {instance} are on another machine, where they cannot be seen from here",
        hint="run this on the machine of its daemon",
    )


def ended(instance: str) -> SideError:
    """An instance's process is gone, though its daemon has not noticed yet."""
    return SideError(f"{instance} does not run: it has just ended", hint="`invoke lab.logs` may show why")


@contextmanager
def living(instance: str) -> Iterator[None]:
    """What is looked at meanwhile must not end.

    Raises:
        SideError: It did.
    """
    try:
        yield
    except GONE as error:
        raise ended(instance) from error


@dataclass(frozen=True)
class Mapped:
    """Memory of processes.

    Attributes:
        bytes: Proportional set size.
        guest_bytes: Of it, the mapping that is as large as a guest's memory.
        translated_bytes: Of it, memory without a file that may be both written and executed: where QEMU keeps
            the code that it translated.
    """

    bytes: int
    guest_bytes: int
    translated_bytes: int


@dataclass(frozen=True)
class Processes:
    """Looks at processes of this host, also at those of other accounts.

    Args:
        admin: Runs commands as root; None to read as this account itself.
        proc: Where the kernel shows processes.
        cgroups: Where it shows control groups.
    """

    admin: Runner | None
    proc: Path = _process.PROC
    cgroups: Path = _process.CGROUPS

    @classmethod
    def seen_by(cls, local: Runner) -> Processes:
        """Those that this account may see, with sudo's help where it is not root."""
        return cls(None if os.geteuid() == 0 else local)

    def members(self, pid: int) -> list[int]:
        """A process and all others of its control group."""
        group = _process.group_of(pid, "memory", proc=self.proc, cgroups=self.cgroups)
        if group is None:
            return [pid]
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]

    def parent(self, pid: int) -> int:
        """Id of a process's parent."""
        return int(_process.fields_of(pid, proc=self.proc)[_process.PARENT_FIELD - 3])

    def mapped(self, pids: Iterable[int], *, guest_bytes: int = 0) -> Mapped:
        """Memory of some processes; one that ended meanwhile has none.

        Source: proc_pid_smaps(5); QEMU, tcg/region.c, alloc_code_gen_buffer_anon: one anonymous mapping that
        may be read, written and executed, by default of 1 GiB, or of an eighth of the host's memory.

        Args:
            pids: Their ids.
            guest_bytes: Size of a guest's memory, which one of them holds; 0 for none.
        """
        total = guest = translated = 0
        for pid in pids:
            for mapping in _mappings(self._text(self.proc / str(pid) / "smaps")):
                total += mapping.pss_kib
                if mapping.is_anonymous and 0 < mapping.size_kib * KIB == guest_bytes:
                    guest += mapping.pss_kib
                elif mapping.is_anonymous and mapping.rights.startswith("rwx"):
                    translated += mapping.pss_kib
        return Mapped(total * KIB, guest * KIB, translated * KIB)

    def programs(self, pids: Iterable[int]) -> set[str]:
        """Files that some processes run: programs and libraries.

        Source: proc_pid_maps(5): address, rights, offset, device, inode, path.
        """
        lines = (line for pid in pids for line in self._text(self.proc / str(pid) / "maps").splitlines())
        fields = (line.split(maxsplit=5) for line in lines)
        return {each[5] for each in fields if len(each) == 6 and "x" in each[1] and each[5][0] == "/"}

    def descriptors(self, pids: Iterable[int]) -> int:
        """Number of files that some processes hold open."""
        return sum(len(self._names(self.proc / str(pid) / "fd")) for pid in pids)

    def threads(self, pids: Iterable[int]) -> int:
        """Number of threads of some processes."""
        return sum(len(self._names(self.proc / str(pid) / "task")) for pid in pids)

    def charge(self, pid: int) -> Charge | None:
        """What the control group of a process is charged; None where that is the host's own.

        Source: the kernel's documentation of control groups: memory.current and memory.stat of version 2,
        where `kernel` came with Linux 5.18; memory.usage_in_bytes, memory.kmem.usage_in_bytes and memory.stat
        of version 1.
        """
        group = _process.group_of(pid, "memory", proc=self.proc, cgroups=self.cgroups)
        if group is None:
            return None
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        if (group / "memory.current").exists():
            total, cache = _number(group / "memory.current"), int(stat["file"])
            kernel = int(stat["kernel"])
        else:
            total, cache = _number(group / "memory.usage_in_bytes"), int(stat["total_cache"])
            kernel = _number(group / "memory.kmem.usage_in_bytes")
        return Charge(max(0, total - cache), cache, kernel)

    def _text(self, path: Path) -> str:
        if self.admin is not None:
            return self._as_root(["cat", str(path)])
        try:
            return path.read_text()
        except GONE:
            return ""

    def _names(self, path: Path) -> list[str]:
        if self.admin is not None:
            return self._as_root(["ls", str(path)]).split()
        try:
            return os.listdir(path)
        except GONE:
            return []

    def _as_root(self, argv: list[str]) -> str:
        assert self.admin is not None
        try:
            done = self.admin.run([*SUDO, *argv], check=False)
        except CommandError as error:
            raise self._refused(error.message) from error
        if done.returncode and "No such" not in done.stderr:
            raise self._refused(done.stderr.strip())
        return done.stdout

    @staticmethod
    def _refused(reason: str) -> SideError:
        return SideError(
            "the kernel shows the memory of other accounts' processes to root only",
            hint="run this as root, or let this account use sudo without a password",
            details=reason,
        )


def _number(path: Path) -> int:
    return int(path.read_text())


@dataclass
class _Mapping:
    """One mapping of a process, as far as it matters."""

    rights: str
    is_anonymous: bool
    size_kib: int = 0
    pss_kib: int = 0


def _mappings(smaps: str) -> Iterator[_Mapping]:
    mapping = None
    for line in smaps.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            if mapping:
                yield mapping
            # Rights, offset, device and inode; then the path, if it has one.
            words = rest.split()
            mapping = _Mapping(words[0], len(words) == 4)
        elif mapping and name == "Size:":
            mapping.size_kib = int(rest.split()[0])
        elif mapping and name == "Pss:":
            mapping.pss_kib = int(rest.split()[0])
    if mapping:
        yield mapping
