"""The client without a daemon: lazy, opened again, errors in words."""

from __future__ import annotations

import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import libvirt
import pytest

from pairlab.errors import PluginError
from pairlab.libvirt_api import dialled
from pairlab.plugin.libvirt._domain_network import network_of
from pairlab.plugin.libvirt._failures import connect_failure, operation_failure
from pairlab.plugin.libvirt._source import open_source
from pairlab.plugin.libvirt._storage import pool_named
from pairlab.plugin.libvirt.client import Client, connect, open_connection


class Line:
    def __init__(self) -> None:
        self.alive = True

    def getLibVersion(self) -> int:  # noqa: N802
        if not self.alive:
            raise libvirt.libvirtError("client socket is closed")
        return 1


def failure(code: int, words: str) -> Any:
    libvirt.virResetLastError()  # else the message is that of the thread's last error
    error = libvirt.libvirtError(words)
    error.err = (code, 0, words, 2, "", "", "", 0, 0)
    return error


def test_nothing_is_opened_before_it_is_needed_and_once_then() -> None:
    opened: list[str] = []
    client = Client("qemu:///x", lambda uri: opened.append(uri) or Line())
    assert opened == []
    assert client.connection() is client.connection()
    assert opened == ["qemu:///x"]


def test_a_restarted_daemon_is_connected_anew() -> None:
    client = Client("qemu:///x", lambda _uri: Line())
    first = client.connection()
    first.alive = False
    assert client.connection() is not first


def test_the_address_comes_from_the_settings() -> None:
    assert connect({}).uri == "qemu:///system"
    assert connect({"uri": "qemu+ssh://a@b/system"}).uri == "qemu+ssh://a@b/system"


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://a@h/system?keyfile=/k"])
def test_an_address_that_pins_no_host_key_is_given_as_it_is(uri: str) -> None:
    assert dialled(uri) == uri


@pytest.mark.parametrize(
    ("query", "strictness"),
    [("", "true"), ("&known_hosts_verify=auto", "accept-new"), ("&known_hosts_verify=x", "true")],
)
def test_a_pinned_host_key_is_given_to_ssh(query: str, strictness: str) -> None:
    known_hosts = urllib.parse.quote("/a b;'$x\"%h")
    uri = f"qemu+ssh://a@h:2/system?keyfile=/k&known_hosts={known_hosts}{query}"
    address = urllib.parse.urlsplit(dialled(uri))
    options = dict(urllib.parse.parse_qsl(address.query))
    assert (address.scheme, address.netloc, options["keyfile"]) == ("qemu+ssh", "a@h:2", "/k")
    assert options.keys() == {"keyfile", "command"}
    command = Path(options["command"])
    assert command.stat().st_mode & 0o777 == 0o700
    assert command.parent.stat().st_mode & 0o777 == 0o700
    asked = subprocess.run([command, "-G", "far.example"], capture_output=True, text=True, check=True).stdout
    known = dict(line.split(" ", 1) for line in asked.splitlines())
    assert known["userknownhostsfile"] == "/a b;'$x\"%h"
    assert known["stricthostkeychecking"] == strictness
    assert known["batchmode"] == "yes"


def test_no_daemon_is_told_with_the_next_step() -> None:
    with pytest.raises(PluginError, match="does not answer at qemu\\+unix") as told:
        open_connection("qemu+unix:///system?socket=/nonexistent/socket")
    assert "invoke lab.setup" in told.value.hint


def test_without_libvirt_python_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(PluginError, match="libvirt-python is not installed") as told:
        open_connection("qemu:///system")
    assert "invoke lab.setup" in told.value.hint


def test_resources_are_imported_without_libvirt_python() -> None:
    program = (
        "import sys; sys.modules['libvirt'] = None\n"
        "from pairlab.plugin.server import find_resources\n"
        "print(len(find_resources('libvirt')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "5", done.stderr


@pytest.mark.parametrize(
    ("uri", "words", "hint"),
    [
        ("qemu:///system", "Failed to connect socket: Permission denied", "group `libvirt`"),
        ("qemu:///system", "Failed to connect socket: No such file or directory", "invoke lab.setup"),
        ("qemu+ssh://h/system", "Host key verification failed", "known_hosts"),
        ("qemu+ssh://h/system", "Host key verification failed", "virsh -c 'qemu+ssh://h/system' version"),
    ],
)
def test_connect_failures_name_their_remedy(uri: str, words: str, hint: str) -> None:
    told = connect_failure(failure(libvirt.VIR_ERR_SYSTEM_ERROR, words), uri)
    assert hint in told.hint
    assert words in told.message


class Empty:
    """A daemon elsewhere, which has nothing."""

    def getURI(self) -> str:  # noqa: N802
        return "qemu+ssh://h/system"

    def networkLookupByName(self, name: str) -> Any:  # noqa: N802
        raise failure(libvirt.VIR_ERR_NO_NETWORK, f"no network {name}")

    def storagePoolLookupByName(self, name: str) -> Any:  # noqa: N802
        raise failure(libvirt.VIR_ERR_NO_STORAGE_POOL, f"no pool {name}")


def test_what_is_not_there_is_looked_for_where_it_was_missed() -> None:
    with pytest.raises(PluginError, match="there is no network 'lan'") as network:
        network_of(Empty(), {"networkName": "lan"})
    with pytest.raises(PluginError, match="there is no storage pool 'disks'") as pool:
        pool_named(Client("qemu:///x"), Empty(), "disks")
    for told, command in ((network, "net-list"), (pool, "pool-list")):
        assert f"`virsh -c 'qemu+ssh://h/system' {command} --all`" in told.value.hint


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        (libvirt.VIR_ERR_ACCESS_DENIED, "access denied", "group `libvirt`"),
        (libvirt.VIR_ERR_XML_ERROR, "bad value", "correct that property"),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "no emulator with domaintype=kvm", "`type` to `qemu`"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "Network is already in use by interface virbr0", "subnet"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "cannot write: No space left on device", "free some space"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "something else", "libvirt's log"),
    ],
)
def test_refusals_name_the_deed_the_cause_and_the_next_step(code: int, words: str, hint: str) -> None:
    told = operation_failure(failure(code, words), "starting domain 'x'", "qemu:///system")
    assert told.message == f"starting domain 'x' failed: {words}"
    assert hint in told.hint


@pytest.mark.parametrize(
    ("head", "is_one"),
    [(b"QFI\xfb\0\0\0\2", True), (b"QFI\xfb\0\0\0\3", True), (b"QFI\xfb\0\0\0\1", False), (b"QFI", False)],
)
def test_qcow2_is_known_by_its_first_bytes(tmp_path: Path, head: bytes, is_one: bool) -> None:
    path = tmp_path / "disk"
    path.write_bytes(head + bytes(20) * (len(head) > 3))
    with open_source(str(path)) as source:
        assert source.qcow2 is is_one


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/nonexistent", "cannot be read: No such file"),
        ("/", "not|Is a directory"),
        ("ftp://h/x", "unknown scheme"),
        ("http://127.0.0.1:9/x", "cannot be fetched"),
    ],
)
def test_sources_that_cannot_be_opened(source: str, words: str) -> None:
    with pytest.raises(PluginError, match=words), open_source(source):
        pass
