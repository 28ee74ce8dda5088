"""libvirt's API by an address: this machine's, or another one's by ssh with a pinned host key."""

from __future__ import annotations

import re
import shlex
import tempfile
import urllib.parse
from functools import cache
from pathlib import Path

from pairlab.ssh import way_to

STRICTNESS = {"normal": "yes", "auto": "accept-new", "ignore": "no"}
"""libvirt's `known_hosts_verify` -> ssh's StrictHostKeyChecking."""
GROUP_HINT = "add this account to the group `libvirt` and log in again, or use sudo"


def is_elsewhere(uri: str) -> bool:
    """Whether libvirt's address is another machine's."""
    return bool(urllib.parse.urlsplit(uri).hostname)


def remedy(uri: str, said: str) -> str:
    """The next step where libvirt does not answer.

    Args:
        uri: Its address.
        said: What was said of the failure.
    """
    if "+ssh" in uri:
        keys = "the key (keyfile=) and the host key (known_hosts=) must fit"
        return f"does `virsh -c '{uri}' version` work? {keys}"
    if "Permission denied" in said or "authentication" in said.lower():
        return GROUP_HINT
    return "start it with `invoke lab.setup`"


def dialled(uri: str) -> str:
    """The address that is given to libvirt.

    libvirt's `ssh` transport runs the ssh command and ignores `known_hosts`. Its `libssh` transport heeds it,
    but hangs or crashes in a process that serves libvirt's events, as keepalive needs. So an address with a
    pinned host key has a command of its own: ssh with that file, which never asks.
    Source: https://libvirt.org/uri.html#transport-configuration
    """
    address = urllib.parse.urlsplit(uri)
    options = dict(urllib.parse.parse_qsl(address.query))
    if not address.scheme.endswith("+ssh") or "known_hosts" not in options:
        return uri
    known_hosts = options.pop("known_hosts")
    verify = options.pop("known_hosts_verify", "normal")
    options.setdefault("command", str(_command(known_hosts, STRICTNESS.get(verify, "yes"))))
    query = urllib.parse.urlencode(options, safe="/", quote_via=urllib.parse.quote)
    return address._replace(query=query).geturl()


def passage(uri: str, address: str, port: int = 22) -> tuple[str, ...]:
    """The ssh command whose input and output lead through libvirt's machine to one that only it reaches.

    It is this account's own ssh, with its settings and keys, as libvirt's is: what reaches the daemon reaches
    its VMs. Empty where libvirt is on this machine, or is not reached by ssh.

    Args:
        uri: libvirt's address.
        address: Where the machine behind it answers.
        port: TCP port there.
    """
    way = urllib.parse.urlsplit(dialled(uri))
    if not way.scheme.endswith("+ssh") or not way.hostname:
        return ()
    options = dict(urllib.parse.parse_qsl(way.query))
    words = [options.get("command", "ssh"), "-o", "BatchMode=yes"]
    words += ["-i", options["keyfile"]] if "keyfile" in options else []
    return (*words, "-W", f"{address}:{port}", *way_to(uri))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pairlab-ssh-")  # mode 0700, gone with this process


@cache
def _command(known_hosts: str, strictness: str) -> Path:
    """Write the program that libvirt runs as ssh. Of an option given twice, ssh takes the first."""
    folder = Path(_folder().name)
    path = folder / f"ssh-{len(list(folder.iterdir()))}"
    quoted = re.sub(r'(["\\])', r"\\\1", known_hosts).replace("%", "%%")  # ssh expands %h and the like
    options = (
        "BatchMode=yes",
        f"StrictHostKeyChecking={strictness}",
        f'UserKnownHostsFile="{quoted}"',
        "GlobalKnownHostsFile=none",
    )
    words = ["exec", "ssh", *(word for option in options for word in ("-o", option))]
    path.write_text(f'#!/bin/sh\n{shlex.join(words)} "$@"\n')
    path.chmod(0o700)
    return path
