"""A lab's ssh keys and password: made once, kept in its directory, mode 0600."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pairlab.errors import LabError
from pairlab.files import replace_at_once
from pairlab.model import LabKeys, SshHostKey
from pairlab.run import Runner

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
HOST_KEYS = "host_keys.json"
PASSWORD = "password"
HOST_KEYS_JSON = TypeAdapter(dict[str, SshHostKey])


def ensure_keys(directory: Path, hosts: Iterable[str], runner: Runner) -> LabKeys:
    """The lab's keys; what is missing is made.

    Args:
        directory: The lab's directory; created with mode 0700.
        hosts: Host names of its VMs.
        runner: Runs ssh-keygen.

    Returns:
        Keys for exactly these hosts; keys of other hosts are kept for when they come back.

    Raises:
        LabError: Those that were made before cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = directory / KEY
    if not key.is_file():
        _generate(runner, key, comment="pairlab")
    path = directory / HOST_KEYS
    stored = _read(path) if path.is_file() else {}
    wanted = list(hosts)
    missing = [host for host in wanted if host not in stored]
    for host in missing:
        stored[host] = _host_key(runner, directory, host)
    if missing:
        replace_at_once(path, HOST_KEYS_JSON.dump_json(stored, indent=1).decode())
    password = directory / PASSWORD
    if not password.is_file():
        replace_at_once(password, secrets.token_urlsafe(24))
    return LabKeys(
        public=key.with_suffix(".pub").read_text().strip(),
        hosts={host: stored[host] for host in wanted},
        password=password.read_text(),
    )


def write_known_hosts(directory: Path, addresses: Iterable[tuple[str, SshHostKey]]) -> None:
    """Pin the host keys: address and key, a line each, in ssh's known_hosts format."""
    lines = [f"{address} {' '.join(key.public.split()[:2])}\n" for address, key in addresses]
    replace_at_once(directory / KNOWN_HOSTS, "".join(lines))


def _generate(runner: Runner, path: Path, *, comment: str) -> None:
    runner.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def _read(path: Path) -> dict[str, SshHostKey]:
    try:
        return HOST_KEYS_JSON.validate_json(path.read_bytes())
    except ValidationError as error:
        raise LabError(
            f"the VMs' host keys in {path} are damaged, or another version's",
            hint="remove that file, then run `invoke lab.up`: it makes other keys, and VMs that have them",
        ) from error


def _host_key(runner: Runner, directory: Path, host: str) -> SshHostKey:
    with tempfile.TemporaryDirectory(dir=directory, prefix=".host-") as temporary:
        path = Path(temporary) / "key"
        _generate(runner, path, comment=host)
        return SshHostKey(path.with_suffix(".pub").read_text().strip(), path.read_text())
