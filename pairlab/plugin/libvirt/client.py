"""The connection to libvirt: opened when first needed, shared by threads, opened again if the daemon went."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from pairlab.errors import PluginError
from pairlab.libvirt_api import dialled
from pairlab.plugin.libvirt._failures import connect_failure, operation_failure
from pairlab.plugin.resource import Property, Values

DEFAULT_URI = "qemu:///system"
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 6

CONFIG: Mapping[str, Property] = {"uri": Property(str, default=DEFAULT_URI, replace=True)}
"""The provider's settings. Official: https://www.pulumi.com/registry/packages/libvirt/installation-configuration/"""


@cache
def _start_event_loop() -> None:
    """Serve libvirt's keepalive timers, once a process: without a loop a dead peer is never noticed."""
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def serve() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=serve, name="libvirt-events", daemon=True).start()


_starting = threading.Lock()


def open_connection(uri: str) -> Any:
    """Open a connection.

    Args:
        uri: libvirt's address, such as `qemu+ssh://user@host/system?keyfile=…&known_hosts=…`.

    Raises:
        PluginError: libvirt-python is not installed, or libvirt does not answer.
    """
    try:
        import libvirt
    except ImportError as error:
        raise PluginError(
            "libvirt-python is not installed, so the embedded libvirt plugin can only preview",
            hint="run `invoke lab.setup`, which installs it once libvirt is there",
        ) from error
    with _starting:
        _start_event_loop()
    try:
        connection = libvirt.open(dialled(uri))
    except libvirt.libvirtError as error:
        raise connect_failure(error, uri) from error
    connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
    return connection


class Client:
    """One libvirt daemon.

    Args:
        uri: Its address.
        opener: Opens a connection to it.
    """

    def __init__(self, uri: str, opener: Callable[[str], Any] = open_connection) -> None:
        self.uri = uri
        self._opener = opener
        self._connection: Any = None
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def connection(self) -> Any:
        """The connection, opened now if there is none or the daemon was restarted since.

        Raises:
            PluginError: See `open_connection`.
        """
        with self._guard:
            if self._connection is not None and not _answers(self._connection):
                self._connection = None
            if self._connection is None:
                self._connection = self._opener(self.uri)
            return self._connection

    @contextmanager
    def doing(self, what: str) -> Iterator[Any]:
        """Give the connection to a block whose libvirt errors become a `PluginError`.

        Args:
            what: The deed, as a noun phrase that begins the message: "starting domain 'x'".
        """
        connection = self.connection()
        import libvirt

        try:
            yield connection
        except libvirt.libvirtError as error:
            raise operation_failure(error, what, self.uri) from error

    def lock(self, name: str) -> threading.Lock:
        """A lock by name, for what libvirt cannot do twice at once."""
        with self._guard:
            return self._locks[name]


def _answers(connection: Any) -> bool:
    import libvirt

    try:
        connection.getLibVersion()
    except libvirt.libvirtError:
        return False
    return True


def connect(config: Values) -> Client:
    """A client by the provider's settings; the daemon is not touched before it is needed."""
    return Client(str(config.get("uri") or DEFAULT_URI))
