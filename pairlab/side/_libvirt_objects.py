"""Everything of one lab in a libvirt daemon: finding it and removing it, with libvirt's errors explained."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from pairlab.errors import HostError, SideError
from pairlab.libvirt_api import dialled, remedy
from pairlab.model import METADATA_NAMESPACE, PROJECT
from pairlab.side import SideContext
from pairlab.side._libvirt_holdings import Holdings, holdings, overlay_bytes

POLL_S = 0.05
NETWORK_DEVICES = Path("/sys/class/net")
VOLUME = re.compile(r"[a-z][a-z0-9-]*-[0-9a-f]{12}(-seed)?\.(qcow2|img)")
"""Names that a stack gives to volumes end with a digest; other files in the pool are not the lab's."""


class LibvirtObjects:
    """One lab's domains, volumes, pool, network and bridge.

    Domains are known by their metadata. Pools and networks hold none, so they are known by their exact
    name, which no other lab can have.
    """

    def __init__(self, context: SideContext) -> None:
        self.uri = context.settings.libvirt_uri
        self._context = context
        self._name = f"{PROJECT}-{context.lab}"
        self._connection: Any = None

    @property
    def is_local(self) -> bool:
        """Whether it is this machine's system daemon, whose files can be seen."""
        address = urlsplit(self.uri)
        return not address.hostname and address.path == "/system"

    @contextmanager
    def mapped(self) -> Iterator[Any]:
        """Lend the libvirt module; its errors become ours.

        Raises:
            HostError: The bindings are not installed, or the daemon does not answer.
            SideError: The daemon refused something.
        """
        try:
            import libvirt
        except ImportError as error:
            raise HostError(
                "the libvirt bindings are not installed", hint="run `invoke lab.setup`"
            ) from error
        # libvirt prints each error on standard error too, unless somebody takes it.
        libvirt.registerErrorHandler(lambda *_: None, None)
        try:
            yield libvirt
        except libvirt.libvirtError as error:
            if self._connection is not None and self._connection.isAlive():
                raise SideError(
                    f"libvirt refused: {error}", hint="`invoke lab.doctor` checks the daemon"
                ) from error
            raise HostError(
                f"libvirt does not answer at {self.uri}: {error}",
                hint=remedy(self.uri, str(error)),
            ) from error

    def open(self, libvirt: Any) -> Any:
        """A new connection, for the caller to close."""
        return libvirt.open(dialled(self.uri))

    def virsh(self, *words: str) -> list[str]:
        """The command line that says words to the daemon."""
        return ["virsh", "--connect", dialled(self.uri), *words]

    def connection(self, libvirt: Any) -> Any:
        """The shared connection, opened anew if the daemon was restarted."""
        if self._connection is None or not self._connection.isAlive():
            self._connection = self.open(libvirt)
        return self._connection

    def close(self) -> None:
        """Close the shared connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def metadata(self, libvirt: Any, domain: Any) -> ElementTree.Element | None:
        """The lab's own element in a domain's metadata; None if the domain is not of this lab."""
        # A cheap first look, for metadata costs one more call a domain.
        if not domain.name().startswith(f"{self._name}-"):
            return None
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_NAMESPACE)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
                return None
            raise
        own = ElementTree.fromstring(text)
        return own if own.get("name") == self._context.lab else None

    def domains(self, libvirt: Any, connection: Any = None, *, running: bool = False) -> list[Any]:
        """The lab's domains."""
        flags = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING if running else 0
        found = (connection or self.connection(libvirt)).listAllDomains(flags)
        return [domain for domain in found if self.metadata(libvirt, domain) is not None]

    def strange_domains(self, libvirt: Any) -> list[Any]:
        """Domains that run here and are not the lab's."""
        found = self.connection(libvirt).listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        return [domain for domain in found if self.metadata(libvirt, domain) is None]

    def destroy(self, domain: str) -> None:
        """End a domain at once."""
        with self.mapped() as libvirt:
            self.connection(libvirt).lookupByName(domain).destroy()

    def suspend(self, domain: str) -> None:
        """Stop a domain's virtual processors; fine if they stand."""
        with self.mapped() as libvirt:
            self.connection(libvirt).lookupByName(domain).suspend()

    def resume(self, domain: str) -> None:
        """Let them go on; fine if they do, or if it is off."""
        with self.mapped() as libvirt:
            found = self.connection(libvirt).lookupByName(domain)
            if found.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                found.resume()

    def await_ended(self, domain: str, *, timeout_s: float) -> None:
        """Wait until a domain has shut down.

        Raises:
            SideError: It did not in time.
        """
        deadline = time.monotonic() + timeout_s
        with self.mapped() as libvirt:
            found = self.connection(libvirt).lookupByName(domain)
            while found.isActive():
                if time.monotonic() > deadline:
                    raise SideError(
                        f"{domain} did not shut down within {timeout_s:g} s",
                        hint="`invoke lab.console` shows what holds it up",
                    )
                time.sleep(POLL_S)

    def start(self, domain: str) -> None:
        """Start a domain that is off."""
        with self.mapped() as libvirt:
            self.connection(libvirt).lookupByName(domain).create()

    def overlay_bytes(self, domain: str) -> int:
        """Bytes that a domain's first disk occupies."""
        with self.mapped() as libvirt:
            return overlay_bytes(self.connection(libvirt), domain)

    def holdings(self, domain: str) -> Holdings:
        """What a domain was given."""
        with self.mapped() as libvirt:
            return holdings(self.connection(libvirt), domain)

    def leftovers(self) -> list[str]:
        """See `Side.leftovers`."""
        with self.mapped() as libvirt:
            found = [f"domain {domain.name()}" for domain in self.domains(libvirt)]
            pool, network = self._pool(libvirt), self._network(libvirt)
            if pool is not None:
                found += [f"volume {volume.name()}" for volume in _volumes(pool)]
                found.append(f"pool {pool.name()}")
            if network is not None:
                leases = network.DHCPLeases() if network.isActive() else []
                found += [f"lease {lease['ipaddr']} of {lease['mac']}" for lease in leases]
                found.append(f"network {network.name()}")
        if self._has_bridge():
            found.append(f"bridge {self._context.bridge}")
        if self._has_directory():
            found.append(f"directory {self._context.pool_path}")
        return found

    def sweep(self, progress: Callable[[str], None]) -> list[str]:
        """See `Side.sweep`; a file in the pool that no stack named stays, and its directory with it."""
        with self.mapped() as libvirt:
            pool = self._opened_pool(libvirt)
            before = self.leftovers()
            for domain in self.domains(libvirt):
                progress(f"removing domain {domain.name()}")
                _remove_domain(libvirt, domain)
            kept = _remove_pool(libvirt, pool, progress) if pool is not None else ""
            network = self._network(libvirt)
            if network is not None:
                progress(f"removing network {network.name()}")
                if network.isActive():
                    network.destroy()
                network.undefine()
        if self._has_bridge():
            progress(f"removing bridge {self._context.bridge}")
            self._context.local.run(["ip", "link", "delete", self._context.bridge, "type", "bridge"])
        after = self.leftovers()
        if after or kept:
            raise SideError(
                f"could not remove {', '.join(after) or self._context.pool_path}",
                hint="the pool's directory stays while it holds files that are not the lab's: move them away",
                details=kept,
            )
        return before

    def volumes(self, libvirt: Any) -> list[Any]:
        """The volumes in the lab's pool, as they are now."""
        pool = self._pool(libvirt)
        return _volumes(pool) if pool is not None else []

    def discard(self, names: Collection[str], progress: Callable[[str], None]) -> list[str]:
        """See `Side.discard`."""
        removed = []
        with self.mapped() as libvirt:
            for domain in self.domains(libvirt):
                if domain.name() in names:
                    removed.append(f"domain {domain.name()}")
                    _remove_domain(libvirt, domain)
            pool, network = self._pool(libvirt), self._network(libvirt)
            for volume in _volumes(pool) if pool is not None else []:
                if volume.name() in names:
                    removed.append(f"volume {volume.name()}")
                    volume.delete()
            # The pool and the network have the lab's own name; a pool still in use is never half-made.
            if pool is not None and self._name in names and not _volumes(pool):
                removed.append(f"pool {self._name}")
                _remove_pool(libvirt, self._opened_pool(libvirt), progress)
            if network is not None and self._name in names and not self.domains(libvirt):
                removed.append(f"network {self._name}")
                if network.isActive():
                    network.destroy()
                network.undefine()
        for text in removed:
            progress(f"removed {text}, left by an interrupted run")
        return removed

    def _has_bridge(self) -> bool:
        return self.is_local and (NETWORK_DEVICES / self._context.bridge).exists()

    def _has_directory(self) -> bool:
        return self.is_local and Path(self._context.pool_path).exists()

    def _pool(self, libvirt: Any) -> Any:
        pools = self.connection(libvirt).listAllStoragePools()
        return next((pool for pool in pools if pool.name() == self._name), None)

    def _opened_pool(self, libvirt: Any) -> Any:
        """The pool, active, so that its volumes can be seen; a directory that lost its pool gets it back."""
        pool = self._pool(libvirt)
        if pool is None and self._has_directory():
            definition = ElementTree.Element("pool", type="dir")
            ElementTree.SubElement(definition, "name").text = self._name
            target = ElementTree.SubElement(definition, "target")
            ElementTree.SubElement(target, "path").text = self._context.pool_path
            pool = self.connection(libvirt).storagePoolDefineXML(ElementTree.tostring(definition, "unicode"))
        if pool is not None and not pool.isActive():
            pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
        return pool

    def _network(self, libvirt: Any) -> Any:
        networks = self.connection(libvirt).listAllNetworks()
        return next((network for network in networks if network.name() == self._name), None)


def _volumes(pool: Any) -> list[Any]:
    if not pool.isActive():
        return []
    pool.refresh()
    return [volume for volume in pool.listAllVolumes() if VOLUME.fullmatch(volume.name())]


def _remove_domain(libvirt: Any, domain: Any) -> None:
    if domain.isActive():
        domain.destroy()
    if domain.isPersistent():
        domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )


def _remove_pool(libvirt: Any, pool: Any, progress: Callable[[str], None]) -> str:
    """Remove an active pool and the lab's volumes in it; returns why its directory stays, if it does."""
    for volume in _volumes(pool):
        progress(f"removing volume {volume.name()}")
        volume.delete()
    progress(f"removing pool {pool.name()}")
    pool.destroy()
    kept = ""
    try:
        pool.delete()  # removes the directory, and only an empty one
    except libvirt.libvirtError as error:
        kept = str(error)
    if pool.isPersistent():
        pool.undefine()
    return kept
