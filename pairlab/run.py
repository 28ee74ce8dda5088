"""The only place that starts processes: the Runner protocol, and the runner for this machine."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import selectors
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pairlab.errors import CommandError

TAIL_LINES = 30
CHUNK_BYTES = 65536
OnLine = Callable[[str], None] | None
GRACE_S = 5.0  # that a command gets to clean up when it is ended early
ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
"""For commands whose output is read by programs; `LANGUAGE` would win over `LC_ALL`."""
_under_way: set[subprocess.Popen[bytes]] = set()
_under_way_lock = threading.Lock()


@dataclass(frozen=True)
class Completed:
    """What a finished command left.

    Attributes:
        argv: The command as it was run.
        returncode: Its exit status; negative for a signal.
        stdout: Its standard output, decoded as UTF-8 with replacement.
        stderr: Its standard error, likewise.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Runs commands given as argument lists, never as shell strings."""

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a command to its end.

        Args:
            argv: Program and arguments.
            check: Raise when the exit status is not 0.
            input_text: Given to the command's standard input; none means an empty one.
            env: Variables added to this process's own, whose language is English there.
            cwd: Where it runs.
            timeout_s: Seconds after which it is killed.
            on_line: Called with each line as it is printed, both streams together;
                `stdout` then holds both.

        Raises:
            CommandError: It is not installed, failed, or ran out of time.
        """
        ...

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """Run a command on this terminal and return its exit status."""
        ...


def checked(done: Completed) -> Completed:
    """Return what a command left if it succeeded.

    Raises:
        CommandError: It did not.
    """
    if done.returncode != 0:
        raise CommandError(
            f"{done.argv[0]} failed with exit status {done.returncode}",
            hint="run it by hand to see more: " + shlex.join(done.argv),
            details=tail(done.stderr or done.stdout),
        )
    return done


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


@dataclass(frozen=True)
class LocalRunner:
    """Runs commands on this machine."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See `Runner.run`."""
        merged = {**os.environ, **ENGLISH, **self.env, **(env or {})}
        try:
            done = _execute(argv, merged, cwd, input_text or "", timeout_s, on_line)
        except FileNotFoundError as error:
            if cwd is not None and not cwd.is_dir():
                raise CommandError(f"{cwd} is not a directory", hint="create it, or run elsewhere") from error
            raise CommandError(
                f"{argv[0]} is not installed",
                hint="run `invoke lab.setup`, or install it with your package manager",
            ) from error
        except PermissionError as error:
            raise CommandError(f"{argv[0]} cannot start: {error.strerror}", hint="check its mode") from error
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"{argv[0]} did not end within {timeout_s:g} s",
                hint="run it by hand to see what it waits for: " + shlex.join(argv),
            ) from error
        return checked(done) if check else done

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """See `Runner.interactive`."""
        try:
            return subprocess.call(list(argv), env={**os.environ, **self.env, **(env or {})})
        except FileNotFoundError as error:
            raise CommandError(f"{argv[0]} is not installed", hint="run `invoke lab.setup`") from error

    def relay(self, argv: Sequence[str], connection: socket.socket) -> str:
        """Run a command whose standard input and output are a connection, until it ends.

        Returns:
            What it said on its standard error.
        """
        # A session of its own: a Ctrl-C is for this process, which then closes the connection.
        done = subprocess.run(
            list(argv),
            env={**os.environ, **self.env},
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=subprocess.PIPE,
            start_new_session=True,
            check=False,
        )
        return done.stderr.decode(errors="replace")


def _execute(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    input_text: str,
    timeout_s: float | None,
    on_line: OnLine,
) -> Completed:
    with subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if on_line is None else subprocess.STDOUT,
    ) as process:
        with _under_way_lock:
            _under_way.add(process)
        try:
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            stdout, stderr = _exchange(process, memoryview(input_text.encode()), deadline, on_line)
            process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except BaseException:
            _end(process)
            raise
        finally:
            with _under_way_lock:
                _under_way.discard(process)
        return Completed(tuple(argv), process.returncode, stdout, stderr)


def _exchange(
    process: subprocess.Popen[bytes], given: memoryview, deadline: float | None, on_line: OnLine
) -> tuple[str, str]:
    """Write a command's input and read its output, both as it is ready, until its outputs end.

    Unlike `Popen.communicate` it keeps its deadline also where a grandchild holds a pipe open.
    """
    outputs = {process.stdout: _Text(on_line), process.stderr: _Text(None)}
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)  # type: ignore[arg-type]
        for stream in filter(None, outputs):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in selector.select(left_s):
                if key.fileobj is process.stdin:
                    given = _write_some(key.fd, given)
                    ended = not given
                else:
                    data = os.read(key.fd, CHUNK_BYTES)
                    outputs[key.fileobj].add(data)  # type: ignore[index]
                    ended = not data
                if ended:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return outputs[process.stdout].text, outputs[process.stderr].text


def _write_some(descriptor: int, given: memoryview) -> memoryview:
    """Write what a pipe surely takes without blocking; returns the rest, which is not copied."""
    try:
        return given[os.write(descriptor, given[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return memoryview(b"")  # it does not read its input: its own affair


class _Text:
    """Output so far, decoded as it comes; whole lines are passed on, with any kind of line end."""

    def __init__(self, on_line: OnLine) -> None:
        self.text = self._rest = ""
        self._on_line = on_line
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), True)

    def add(self, data: bytes) -> None:
        """Take the next bytes; none means the end."""
        new = self._decoder.decode(data, final=not data)
        self.text += new
        if self._on_line is None:
            return
        *lines, self._rest = (self._rest + new).split("\n")
        if not data and self._rest:
            lines.append(self._rest)
        for line in lines:
            self._on_line(line)


def end_commands() -> None:
    """Ask each command that a thread of this process runs to end: who waits for it sees it fail."""
    with _under_way_lock:
        for process in _under_way:
            _signal(process, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command early: first politely, so that it can clean up."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a command and all below it, as a terminal does: mmdebstrap only waits for what it started."""
    below = _descendants(process.pid)
    try:
        process.send_signal(number)
    except PermissionError:
        # It is sudo, as root, which passes on no signal of its own process group.
        pids = map(str, [process.pid, *below])
        subprocess.run(["sudo", "-n", "kill", f"-{number:d}", *pids], capture_output=True, check=False)
        return
    for pid in below:
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another account's
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    return [each for child in children_of(pid) for each in (child, *_descendants(child))]


def running(pid: int) -> tuple[str, list[str]] | None:
    """A process's name, and what is told of it from its state on; None if it has ended, reaped or not.

    Source: proc_pid_stat(5): the fields 2, and 3 and more; readable by all.
    """
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    return None if fields[0] in ("Z", "X") else (head.partition("(")[2], fields)


def children_of(pid: int) -> list[int]:
    """Numbers of a process's children; of one that ended, none.

    Source: proc_tid_children(5).
    """
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found
