"""The vm side on libvirt: domains of one lab, reached by ssh and by their serial consoles."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pairlab.errors import HostError, SideError
from pairlab.libvirt_api import passage
from pairlab.model import GUEST_USER, PROJECT, Instance, Layer, Operation, SideName
from pairlab.run import Runner
from pairlab.side import Footprint, Given, SideContext, Started, _process, pick
from pairlab.side._console import ConsoleWatcher
from pairlab.side._footprint import Processes, elsewhere, ended, living
from pairlab.side._layers import here
from pairlab.side._libvirt_kept import Kept
from pairlab.side._libvirt_layers import read_layers
from pairlab.side._libvirt_limits import given, limited
from pairlab.side._libvirt_objects import LibvirtObjects
from pairlab.side._libvirt_operations import read_operations
from pairlab.ssh import SshRunner

SHUTDOWN_TIMEOUT_S = 60.0
PID_FILES = Path("/run/libvirt/qemu")
"""Where libvirt's system daemon keeps `<domain>.pid`, readable by all."""
STATES = ("no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "suspended")
"""The words of `virsh domstate`, by virDomainState."""


class LabSide:
    """See `Side`."""

    name: SideName = SideName.VM
    kind: str = "libvirt"
    package: str = "libvirt"
    engine: str = "libvirtd"
    supervisor: str = ""

    def __init__(self, context: SideContext) -> None:
        self._context = context
        self._objects = LibvirtObjects(context)
        self._watcher: ConsoleWatcher | None = None

    @property
    def is_local(self) -> bool:
        """See `Side`."""
        return self._objects.is_local

    def instances(self) -> list[Instance]:
        """See `Side.instances`; memory is the resident set of the domain's QEMU."""
        objects = self._objects
        with objects.mapped() as libvirt:
            statistics = objects.connection(libvirt).getAllDomainStats(
                libvirt.VIR_DOMAIN_STATS_STATE
                | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
                | libvirt.VIR_DOMAIN_STATS_BALLOON,
                libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT,
            )
            found = [
                self._instance(domain.name(), figures, own)
                for domain, figures in statistics
                if (own := objects.metadata(libvirt, domain)) is not None
            ]
        return sorted(found, key=lambda instance: (instance.tier, instance.index))

    def strangers(self) -> list[str]:
        """See `Side.strangers`."""
        with self._objects.mapped() as libvirt:
            return sorted(domain.name() for domain in self._objects.strange_domains(libvirt))

    def helpers(self) -> Mapping[str, str]:
        """See `Side.helpers`: its front door, too, is a container."""
        return {}

    def given(self, instances: Iterable[Instance]) -> Mapping[str, Given]:
        """See `Side.given`."""
        by_domain = given(self._objects)
        return {each.name: by_domain[each.handle] for each in instances if each.handle in by_domain}

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Runner:
        """See `Side.runner`: ssh, through libvirt's machine where that is another one."""
        return self._ssh(index, tier, admin=admin)

    def _ssh(self, index: int, tier: str, *, admin: bool = False) -> SshRunner:
        return self._ssh_to(self._running(index, tier), admin=admin)

    def _ssh_to(self, instance: Instance, *, admin: bool = False) -> SshRunner:
        if not instance.address:
            raise SideError(f"no address of {instance.name} is known", hint="run `invoke lab.up` again")
        return SshRunner(
            instance.address,
            GUEST_USER,
            self._context.key,
            self._context.known_hosts,
            local=self._context.local,
            proxy=passage(self._objects.uri, instance.address),
            prefix=("sudo", "--non-interactive") if admin else (),
            control=_sockets(),
        )

    def argv(self, index: int, words: Sequence[str], *, tier: str = "") -> list[str]:
        """See `Side.argv`."""
        return self._ssh(index, tier).argv(words)

    def copy_in(self, index: int, source: Path, target: str, *, tier: str = "") -> None:
        """See `Side.copy_in`."""
        self._context.local.run(self._ssh(index, tier).copy_argv(source, target))

    def restart(self, index: int, *, tier: str = "") -> None:
        """See `Side.restart`: the guest shuts down in good order, then libvirt starts it again.

        Not a reboot inside the same QEMU: emulation translates code, and a kernel that is unpacked over what
        was translated before takes anything from seconds to minutes.
        """
        self.stop(index, tier=tier)
        self.start(index, tier=tier)

    def stop(self, index: int, *, tier: str = "") -> None:
        """See `Side.stop`."""
        domain = self._running(index, tier).handle
        # The connection may be cut before the command has ended.
        self.runner(index, tier=tier, admin=True).run(["systemctl", "poweroff"], check=False)
        self._objects.await_ended(domain, timeout_s=SHUTDOWN_TIMEOUT_S)

    def start(self, index: int, *, tier: str = "") -> None:
        """See `Side.start`; whoever had a connection to it before it ended has none any more."""
        instance = pick(self.instances(), self.name, tier, index)
        self._ssh_to(instance).unshare()
        self._objects.start(instance.handle)

    def started(self, index: int, *, tier: str = "") -> Started | None:
        """See `Side.started`: when its QEMU began."""
        instance = self._running(index, tier)
        if not self._objects.is_local:
            return None
        age_s = self._age_s(instance.handle)
        if age_s is None:
            raise ended(instance.name)
        return Started(time.monotonic() - age_s)

    def footprint(self, index: int, *, tier: str = "") -> Footprint:
        """See `Side.footprint`: a VM is one process, QEMU."""
        instance = self._running(index, tier)
        pid = self._pid(instance.handle)
        if pid is None:
            raise ended(instance.name) if self._objects.is_local else elsewhere(instance.name)
        processes = Processes.seen_by(self._context.local)
        holdings = self._objects.holdings(instance.handle)
        with living(instance.name):
            memory = processes.mapped([pid], guest_bytes=holdings.memory_bytes)
            return Footprint(
                memory_bytes=memory.bytes,
                holder_bytes=0,
                guest_bytes=memory.guest_bytes,
                translated_bytes=memory.translated_bytes,
                charge=processes.charge(pid),
                given_bytes=holdings.memory_bytes,
                processes=1,
                threads=processes.threads([pid]),
                descriptors=processes.descriptors([pid]),
                own_disk_bytes=holdings.own_disk_bytes,
                shared_disk_bytes=holdings.shared_disk_bytes,
            )

    def kill(self, index: int, *, tier: str = "") -> None:
        """See `Side.kill`; it cannot tell those who share a connection to it."""
        instance = self._running(index, tier)
        self._objects.destroy(instance.handle)
        self._ssh_to(instance).unshare()

    def freeze(self, index: int, *, tier: str = "") -> None:
        """See `Side.freeze`: its virtual processors stop, and with them its clock and its network."""
        self._objects.suspend(pick(self.instances(), self.name, tier, index).handle)

    def thaw(self, index: int, *, tier: str = "") -> None:
        """See `Side.thaw`; its clock goes on from where it stopped."""
        self._objects.resume(pick(self.instances(), self.name, tier, index).handle)

    def keep(self, index: int, *, tier: str = "") -> None:
        """See `Side.keep`: a file holds its memory, and a new top on its disk takes all that it writes."""
        domain = self._running(index, tier).handle
        self._ssh(index, tier).unshare()
        self._kept(domain).take()

    def put_back(self, index: int, *, tier: str = "") -> None:
        """See `Side.put_back`."""
        instance = pick(self.instances(), self.name, tier, index)
        self._ssh_to(instance).unshare()
        self._kept(instance.handle).restore()

    def rollbacks(self) -> list[str]:
        """See `Side.rollbacks`: nobody watches a release."""
        return []

    def limited(
        self, index: int, *, tier: str = "", cpus: float | None = None, processes: int | None = None
    ) -> AbstractContextManager[None]:
        """See `Side.limited`; this host knows none of a VM's processes."""
        return limited(self._objects, self._running(index, tier).handle, cpus, processes)

    def written_bytes(self, index: int, *, tier: str = "") -> int:
        """See `Side.written_bytes`: what its overlay disk occupies."""
        return self._objects.overlay_bytes(pick(self.instances(), self.name, tier, index).handle)

    def host(self) -> Runner:
        """See `Side.host`."""
        return here(self._objects.is_local, self._context.local)

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        """See `Side.layers`."""
        host, domain = self.host(), self._running(index, tier).handle
        pid = self._pid(domain)
        if pid is None:
            raise ended(Instance(self.name, index, "", tier=tier).name)
        return read_layers(self._objects, domain, pid, host)

    def operations(self, index: int, folder: Path, *, tier: str = "") -> Mapping[str, Operation]:
        """See `Side.operations`."""
        self.host()
        domain, pool = self._running(index, tier).handle, f"{PROJECT}-{self._context.lab}"
        # As somebody types them: each opens its own connection.
        runner = replace(self._ssh(index, tier), control=None)
        return read_operations(self._objects, domain, pool, runner, folder)

    def logs(
        self,
        index: int,
        *,
        tier: str = "",
        lines: int = 100,
        follow: bool = False,
        on_line: Callable[[str], None],
    ) -> None:
        """See `Side.logs`: the guest's journal."""
        argv = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}"]
        self.runner(index, tier=tier).run([*argv, *(["--follow"] if follow else [])], on_line=on_line)

    def console(self, index: int, *, tier: str = "") -> int:
        """See `Side.console`."""
        domain = self._running(index, tier).handle
        return self._context.local.interactive(self._objects.virsh("console", domain))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See `Side.watching`."""
        with self._objects.mapped() as libvirt:
            connection = self._objects.open(libvirt)
            self._watcher = ConsoleWatcher(
                connection, lambda: self._objects.domains(libvirt, connection, running=True)
            )
        self._watcher.start()
        try:
            yield
        finally:
            self._watcher.stop()

    def console_tail(self, index: int, lines: int = 30, *, tier: str = "") -> str:
        """See `Side.console_tail`; answers during `watching` and after it."""
        if self._watcher is None:
            raise SideError(
                "the serial consoles were not watched", hint="attach to one by `invoke lab.console`"
            )
        return self._watcher.tail(pick(self.instances(), self.name, tier, index).handle, lines)

    def leftovers(self) -> list[str]:
        """See `Side.leftovers`."""
        return self._objects.leftovers()

    def sweep(self, *, progress: Callable[[str], None]) -> list[str]:
        """See `Side.sweep`."""
        return self._objects.sweep(progress)

    def discard(self, names: Collection[str], *, progress: Callable[[str], None]) -> list[str]:
        """See `Side.discard`."""
        return self._objects.discard(names, progress)

    def close(self) -> None:
        """See `Side.close`."""
        self._objects.close()

    def _kept(self, domain: str) -> Kept:
        return Kept(self._objects, domain, self._context)

    def _running(self, index: int, tier: str) -> Instance:
        instance = pick(self.instances(), self.name, tier, index)
        if not instance.is_running:
            raise SideError(
                f"{instance.name} does not run: it is {instance.state}",
                hint="`invoke lab.up` brings it back",
            )
        return instance

    def _instance(self, domain: str, figures: dict[str, Any], own: ElementTree.Element) -> Instance:
        alive = "cpu.time" in figures
        memory_kib = figures.get("balloon.rss") if alive else None
        return Instance(
            self.name,
            int(own.get("index", "0")),
            STATES[figures["state.state"]],
            address=own.get("address", ""),
            image=own.get("image", ""),
            uptime_s=self._age_s(domain) if alive else None,
            cpu_s=figures["cpu.time"] / 1e9 if alive else None,
            memory_bytes=None if memory_kib is None else memory_kib * 1024,
            handle=domain,
            tier=own.get("tier", ""),
        )

    def _age_s(self, domain: str) -> float | None:
        """Age of the domain's QEMU; libvirt itself does not tell, so it is unknown for a remote one."""
        pid = self._pid(domain)
        return None if pid is None else _process.age_s(pid)

    def _pid(self, domain: str) -> int | None:
        """Process id of the domain's QEMU; None where it is on another machine, or does not run."""
        if not self._objects.is_local:
            return None
        try:
            return int((PID_FILES / f"{domain}.pid").read_text())
        except FileNotFoundError:
            return None


def _sockets() -> Path:
    """A folder of this account's alone; in a short place, as a socket's path may have 104 characters."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"pairlab-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if (
        found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) != 0o700
        or not stat.S_ISDIR(found.st_mode)
    ):
        raise HostError(f"{folder} is not this account's alone", hint=f"remove {folder}: it is made anew")
    return folder
