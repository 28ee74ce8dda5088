"""A lab's ssh keys and password: made once, kept in its directory, mode 0600."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pairlab.model import LabKeys, SshHostKey
from pairlab.run import Runner

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
HOST_KEYS = "host_keys.json"
PASSWORD = "password"


def ensure_keys(directory: Path, hosts: Iterable[str], runner: Runner) -> LabKeys:
    """The lab's keys; what is missing is made.

    Args:
        directory: The lab's directory; created with mode 0700.
        hosts: Host names of its VMs.
        runner: Runs ssh-keygen.

    Returns:
        Keys for exactly these hosts; keys of other hosts are kept for when they come back.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = directory / KEY
    if not key.is_file():
        _generate(runner, key, comment="pairlab")
    path = directory / HOST_KEYS
    stored: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.is_file() else {}
    wanted = list(hosts)
    missing = [host for host in wanted if host not in stored]
    for host in missing:
        stored[host] = _host_key(runner, directory, host)
    if missing:
        write_private(path, json.dumps(stored, indent=1))
    password = directory / PASSWORD
    if not password.is_file():
        write_private(password, secrets.token_urlsafe(24))
    return LabKeys(
        public=key.with_suffix(".pub").read_text().strip(),
        hosts={host: SshHostKey(**stored[host]) for host in wanted},
        password=password.read_text(),
    )


def write_known_hosts(directory: Path, addresses: Iterable[tuple[str, SshHostKey]]) -> None:
    """Pin the host keys: address and key, a line each, in ssh's known_hosts format."""
    lines = [f"{address} {' '.join(key.public.split()[:2])}\n" for address, key in addresses]
    write_private(directory / KNOWN_HOSTS, "".join(lines))


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, with mode 0600 from its first byte."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _generate(runner: Runner, path: Path, *, comment: str) -> None:
    runner.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def _host_key(runner: Runner, directory: Path, host: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(dir=directory, prefix=".host-") as temporary:
        path = Path(temporary) / "key"
        _generate(runner, path, comment=host)
        return {"public": path.with_suffix(".pub").read_text().strip(), "private": path.read_text()}
