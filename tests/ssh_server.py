"""A private ssh server on loopback, which runs commands as this account, for tests of what goes over ssh."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class FarSide:
    """An ssh server.

    Attributes:
        port: Where it listens on loopback.
        user_key: Private key of who may log in.
        known_hosts: File that pins the server's key.
        wrong_hosts: File that pins another key for it.
    """

    port: int
    user_key: Path
    known_hosts: Path
    wrong_hosts: Path

    def libvirt_uri(self, known_hosts: Path) -> str:
        """Address of this machine's libvirt through the server, whose host key a file pins."""
        where = f"qemu+ssh://{getpass.getuser()}@127.0.0.1:{self.port}/system"
        return f"{where}?keyfile={self.user_key}&known_hosts={known_hosts}"


class _Passage(asyncssh.SSHServer):
    """Lets who may log in go on to machines behind it, as sshd does unless it is told not to."""

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


@contextmanager
def far_side(folder: Path) -> Iterator[FarSide]:
    """Serve with keys that are made in a folder."""
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with ssh_server(folder / "host", folder / "user.pub") as port:
        far = FarSide(port, folder / "user", folder / "known_hosts", folder / "wrong_hosts")
        for file, key in ((far.known_hosts, "host"), (far.wrong_hosts, "stranger")):
            file.write_text(f"[127.0.0.1]:{port} {(folder / f'{key}.pub').read_text()}")
        yield far


@contextmanager
def ssh_server(host_key: Path, authorized_key: Path) -> Iterator[int]:
    """Serve in a thread of its own; yields the port.

    Args:
        host_key: The server's private key.
        authorized_key: Public key of who may log in.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ssh-server", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=30)

    clients = list[asyncssh.SSHServerConnection]()
    server = run(_listen(host_key, authorized_key, clients))
    try:
        yield server.get_port()
    finally:
        run(_end(server, clients))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(
    host_key: Path, authorized_key: Path, clients: list[asyncssh.SSHServerConnection]
) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=_Passage,
        server_host_keys=[str(host_key)],
        authorized_client_keys=str(authorized_key),
        process_factory=_run,
        acceptor=clients.append,
        encoding=None,
    )


async def _end(server: asyncssh.SSHAcceptor, clients: list[asyncssh.SSHServerConnection]) -> None:
    server.close()
    for client in clients:  # also those that went away without a word
        client.abort()
        await client.wait_closed()
    await server.wait_closed()
    commands = asyncio.all_tasks() - {asyncio.current_task()}
    for command in commands:
        command.cancel()
    await asyncio.gather(*commands, return_exceptions=True)


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    pipe = asyncio.subprocess.PIPE
    command = process.command
    assert command is not None, "only commands are served"
    child = await asyncio.create_subprocess_shell(
        command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    given_to, out, err = child.stdin, child.stdout, child.stderr
    assert given_to is not None
    assert out is not None
    assert err is not None
    given = asyncio.ensure_future(_pass_on(process.stdin, given_to))
    given.add_done_callback(lambda _: given_to.close())
    try:
        await asyncio.gather(_pass_on(out, process.stdout), _pass_on(err, process.stderr))
        process.exit(await child.wait())
    finally:
        given.cancel()
        with contextlib.suppress(ProcessLookupError):  # the usual case: all of it has ended
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.gather(child.wait(), out.read(), err.read())


async def _pass_on(source: Any, target: Any) -> None:
    while data := await source.read(CHUNK_BYTES):
        target.write(data)
        await target.drain()
