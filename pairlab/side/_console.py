"""Keeps what VMs print on their serial consoles, for the error when one never answers.

The consoles are pseudo terminals, the only form that both the official plugin and `virsh console`
know, and nothing records what a pseudo terminal printed. So the consoles are opened as streams as
soon as the domains run, and read until the watch ends: it works for a remote libvirt too.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pairlab.errors import SideError

POLL_S = 0.1
PATIENCE_S = 10.0
CHUNK_BYTES = 65536
KEPT_CHARACTERS = 65536
NO_DATA_YET = -2
CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-_c])|[\x00-\x08\x0b-\x1f\x7f]")
"""Terminal escapes and control characters; line ends and tabs stay."""


@dataclass
class _Console:
    """One domain's open stream; None when it ended."""

    stream: Any
    text: str = ""
    note: str = ""


@dataclass
class ConsoleWatcher:
    """Reads the consoles of a lab's domains that start while it watches.

    A domain that ran before is left alone: it may be about to be replaced, and libvirt 9.0 locks up when a
    domain goes while its console is being read (virChrdevFree against the end of the stream).

    libvirt delivers a stream's data while it answers another call on the same connection: listing the
    domains at each turn does both, and needs no event loop in this process.

    Args:
        connection: A libvirt connection of its own; closed at the end.
        running: Lists, over that connection, the lab's running domains.
    """

    connection: Any
    running: Callable[[], Iterable[Any]]
    _consoles: dict[tuple[str, int], _Console] = field(default_factory=dict[tuple[str, int], _Console])
    _before: frozenset[tuple[str, int]] = frozenset()
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._before = frozenset((domain.name(), domain.ID()) for domain in self.running())
        self._thread = threading.Thread(target=self._watch, name="console-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what was read stays for `tail`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)  # a daemon that has locked up never answers
            self._thread = None

    def tail(self, domain: str, lines: int) -> str:
        """The last lines of a domain's console, without terminal escapes; empty if it printed nothing.

        Raises:
            SideError: It ran before the watch began, and was left alone.
        """
        if domain in self._domains(self._before) - self._domains(self._consoles):
            raise SideError(f"{domain} ran already and was not watched", hint="`invoke lab.console` shows it")
        parts = [
            console.note or CONTROL.sub("", console.text.replace("\r\n", "\n").replace("\r", "\n"))
            for (name, _), console in sorted(self._consoles.items())
            if name == domain
        ]
        kept = [line.rstrip() for line in "\n".join(parts).splitlines() if line.strip()]
        return "\n".join(kept[-lines:])

    @staticmethod
    def _domains(keys: Iterable[tuple[str, int]]) -> set[str]:
        return {name for name, _ in tuple(keys)}  # the watch may add one meanwhile

    def _watch(self) -> None:
        import libvirt

        try:
            while not self._stop.wait(POLL_S):
                self._turn(libvirt)
            self._turn(libvirt)
        except libvirt.libvirtError as error:
            # The daemon went away: whoever works with it reports that. What was read is kept.
            for console in self._consoles.values():
                console.text += f"\n(console lost: {error})\n"
        finally:
            self._end(libvirt)

    def _turn(self, libvirt: Any) -> None:
        for domain in self.running():
            key = (domain.name(), domain.ID())
            if key not in self._consoles and key not in self._before:
                self._consoles[key] = self._open(libvirt, domain)
        for console in self._consoles.values():
            self._read(libvirt, console)

    def _open(self, libvirt: Any, domain: Any) -> _Console:
        stream = self.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            domain.openConsole(None, stream, 0)
        except libvirt.libvirtError as error:
            return _Console(None, note=f"(its console could not be read: {error})")
        return _Console(stream)

    @staticmethod
    def _read(libvirt: Any, console: _Console) -> None:
        while console.stream is not None:
            try:
                data = console.stream.recv(CHUNK_BYTES)
            except libvirt.libvirtError:
                console.stream = None  # the domain ended, and its console with it
                return
            if data == NO_DATA_YET:
                return
            if not data:
                console.stream.finish()
                console.stream = None
                return
            console.text = (console.text + data.decode(errors="replace"))[-KEPT_CHARACTERS:]

    def _end(self, libvirt: Any) -> None:
        for console in self._consoles.values():
            if console.stream is not None:
                with contextlib.suppress(libvirt.libvirtError):  # it may have ended by itself
                    console.stream.abort()
                console.stream = None
        self.connection.close()
