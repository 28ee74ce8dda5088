"""Attacks from inside an instance, each bounded in size and time: by itself, from inside and from outside."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from pairlab.errors import CommandError, ExerciseError, LabError
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._isolation_kernel import LIMITS
from pairlab.model import Instance
from pairlab.results import Variant
from pairlab.run import OnLine, Runner, checked
from pairlab.side import Side, pick

GRACE_S = 20.0
"""What a command in an instance gets beyond its attack's life, before it is ended from outside."""
COME_TO_ITSELF_S = 90.0
"""How long a guest that was out of memory may answer nobody when the attack is over."""
KILLED, ALARMED = 128 + 9, 128 + 14
"""Exit statuses that a shell tells of a command that was ended by SIGKILL, or by its alarm."""
TIMED_OUT = 124
"""Exit status of `timeout` when it ended its command."""
BY_WATCHDOG = (TIMED_OUT, KILLED, ALARMED)
"""Exit statuses of an attack that took too long."""
MEMINFO = "/proc/meminfo"
PROCESS_LIMITS = ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")
"""The limit of an instance's processes, in either version of control groups."""
NO_LIMIT = "max"
KIB = 1024
# The shell outlives what it starts, and tells how that ended.
_WATCHED = 'life=$1; shift; timeout --kill-after=2 "$life" "$@"; echo "ended $?"'
# It has nothing to do with the session that began it, which may not survive it.
_DETACHED = (
    'out=$1; watched=$2; shift 2; setsid sh -c "$watched" sh "$@" > "$out" 2>&1 < /dev/null &'
    ' until [ -s "$out" ]; do sleep 0.1; done'
)
POLL_S = 1.0
ASK_TIMEOUT_S = 10.0
"""As long as a connection may take that is made anew under emulation."""

# Each block is a string of its own: Perl would share equal ones.
# An alarm is the kernel's: it needs no memory, and no program that runs beside.
EXHAUST = (
    '$| = 1; my ($most, $life) = @ARGV; alarm $life; my $block = "x" x 1048576; my @held;'
    ' for my $mib (1 .. $most) { push @held, $block . $mib; print "$mib\\n"; sleep 1 if $mib == 1 }'
)
"""Takes so many MiB, and says each; rests after the first, to be seen. Arguments: the most, seconds."""
FORK = (
    "$| = 1; my ($most, $hold, $life) = @ARGV; my @made; my $error = 0; my $first = $$;"
    ' my $tell = sub { print scalar(@made), " $error\\n" };'
    ' $SIG{ALRM} = $SIG{TERM} = sub { exit if $$ != $first; $tell->(); kill "KILL", @made;'
    ' $SIG{$_[0]} = "DEFAULT"; kill $_[0], $$ };'
    " alarm $life; while (@made < $most) {"
    " my $pid = fork; unless (defined $pid) { $error = $! + 0; last }"
    " unless ($pid) { sleep $hold; exit } push @made, $pid }"
    ' $tell->(); sleep $hold; kill "KILL", @made;'
)
"""Makes children that sleep, and says how many and which error ended it, also where it is ended early.

Arguments: the most, seconds that they sleep, seconds after which it ends by an alarm.
"""
BURN = (
    '$| = 1; my ($count, $life) = @ARGV; print getpgrp, "\\n";'
    " for (2 .. $count) { last unless fork } alarm $life; 1 while 1;"
)
"""Keeps processors busy, and says the process group, by which all of it can be ended; each process ends by
an alarm of its own. Arguments: processes, seconds."""
_END = 'kill -s TERM -- "-$1"'


@dataclass(frozen=True)
class Target:
    """The first instance of a side, which is attacked from inside.

    Attributes:
        variant: Whose measurements these are.
        side: Its half of the lab.
        fleet: All of that side's instances.
        own_kernel: It does not run on this host's kernel.
    """

    variant: Variant
    side: Side
    fleet: Fleet
    own_kernel: bool

    @property
    def name(self) -> str:
        """Of the instance."""
        return self.fleet.name(0)

    @property
    def usual(self) -> Runner:
        """Runs commands in it as its usual account, from which all but one attack are made."""
        return self.fleet.usual(0)

    def found(self) -> Instance:
        """The instance as its stack sees it now."""
        return pick(self.side.instances(), self.side.name, "", 0)


@dataclass(frozen=True)
class Ended:
    """How an attack ended.

    Attributes:
        status: Its exit status, as a shell tells it.
        said: The lines that it printed.
    """

    status: int
    said: tuple[str, ...]


class Attack:
    """One command in an instance that goes on while the block is open; leaving it waits for its end.

    Args:
        runner: Runs commands in the instance.
        argv: What to run; ends by itself.
        life_s: Seconds after which it is ended inside.
    """

    def __init__(self, runner: Runner, argv: Sequence[str], life_s: float) -> None:
        self._runner, self._argv, self._life_s = runner, argv, life_s
        self._said = threading.Event()
        self._lines: list[str] = []

    def __enter__(self) -> Attack:
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[Ended] = self._pool.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            self._future.result()

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended yet."""
        return not self._future.done()

    @property
    def ended(self) -> Ended:
        """How it ended; waits for that."""
        return self._future.result()

    def first_line(self) -> str:
        """What it says first; waits for that.

        Raises:
            ExerciseError: It ended without a word.
        """
        self._said.wait()
        if not self._lines or _told(self._lines[0]):
            ended = self._future.result()
            raise ExerciseError(
                f"an attack said nothing until it ended with status {ended.status}",
                hint="`invoke lab.exec` may show what is wrong there",
            )
        return self._lines[0]

    def end_group(self, group: str) -> None:
        """End it before its time.

        Args:
            group: Number of its process group, as it said itself.
        """
        self._runner.run(["sh", "-c", _END, "sh", group], timeout_s=ASK_TIMEOUT_S)

    def _run(self) -> Ended:
        try:
            return bounded(self._runner, self._argv, self._life_s, self._hear)
        finally:
            self._said.set()

    def _hear(self, line: str) -> None:
        self._lines.append(line)
        self._said.set()


def bounded(runner: Runner, argv: Sequence[str], life_s: float, on_line: OnLine = None) -> Ended:
    """Run a command in an instance that is ended after a time, from inside, and from outside if need be.

    Raises:
        CommandError: It had to be ended from outside, or the way in broke.
        ExerciseError: Nobody inside told how it ended.
    """
    watched = ["sh", "-c", _WATCHED, "sh", f"{life_s:g}", *argv]
    done = runner.run(watched, check=False, timeout_s=life_s + GRACE_S, on_line=on_line)
    if (ended := _told(done.stdout)) is None:
        checked(done)
        raise _unseen()
    return ended


def detached(runner: Runner, argv: Sequence[str], life_s: float) -> Ended:
    """The same for a command under which its instance may answer nobody for a while.

    Raises:
        CommandError: It answers nobody any more.
        ExerciseError: The attack did not begin, or nobody inside told how it ended.
    """
    out = f"/tmp/pairlab-attack-{secrets.token_hex(6)}"
    start = ["sh", "-c", _DETACHED, "sh", out, _WATCHED, f"{life_s:g}", *argv]
    try:
        runner.run(start, timeout_s=GRACE_S)
    except CommandError as error:
        raise ExerciseError("an attack did not begin", hint=error.hint, details=error.message) from error
    deadline = time.monotonic() + life_s + COME_TO_ITSELF_S
    failure: LabError = _unseen()
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        try:
            ended = _told(runner.run(["cat", out], timeout_s=ASK_TIMEOUT_S).stdout)
        except LabError as error:
            failure = error  # it answers nobody now
            continue
        if ended is not None:
            with suppress(LabError):
                runner.run(["rm", out], timeout_s=ASK_TIMEOUT_S)
            return ended
        failure = _unseen()
    raise failure


def answers(target: Target, timeout_s: float) -> bool:
    """Whether commands can be run in it, now or within a time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            target.usual.run(["true"], timeout_s=ASK_TIMEOUT_S)
        except LabError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def switch_off_and_on(target: Target) -> None:
    """From power off, on the disk that it has; where a supervisor brings it back, that is another one."""
    if target.found().is_running:
        target.side.kill(0)
    if not target.side.supervisor:
        target.side.start(0)


def _told(printed: str) -> Ended | None:
    told = re.findall(r"^ended (\d+)$", printed, re.MULTILINE)
    return Ended(int(told[-1]), tuple(printed.splitlines())) if told else None


def _unseen() -> ExerciseError:
    return ExerciseError(
        "nobody inside told how an attack ended: the shell that watched it is gone",
        hint="`invoke lab.status` shows what else is",
    )


def perl(script: str, *words: float) -> list[str]:
    """The command line of a Perl script with numbers."""
    return ["perl", "-e", script, *(f"{word:g}" for word in words)]


def available_bytes(runner: Runner) -> int:
    """Memory that a kernel could give to somebody new. Source: proc_meminfo(5)."""
    return _meminfo(runner, "MemAvailable")


def memory_limit_bytes(target: Target) -> int:
    """The memory that holds an instance, as the kernel that keeps the limit tells it.

    Raises:
        ExerciseError: None is in force.
    """
    if target.own_kernel:
        return _meminfo(target.usual, "MemTotal")
    told = _first_of(target.usual, LIMITS)
    if not told.isdigit() or int(told) >= _meminfo(target.side.host(), "MemTotal"):
        raise _not_limited(target, "memory")
    return int(told)


def process_limit(runner: Runner) -> str:
    """The limit of a container's processes; `max` for none."""
    return _first_of(runner, PROCESS_LIMITS)


def check_process_limit(target: Target, limit: int) -> None:
    """See that a limit of processes is in force.

    Raises:
        ExerciseError: It is not.
    """
    if process_limit(target.usual) != str(limit):
        raise _not_limited(target, "processes")


def oom_kills(runner: Runner) -> int:
    """How many processes a kernel has ended for want of memory. Source: vmstat's field `oom_kill`."""
    text = runner.run(["cat", "/proc/vmstat"]).stdout
    return int(re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE)[0])


def _not_limited(target: Target, what: str) -> ExerciseError:
    return ExerciseError(
        f"no limit of {what} is in force for {target.name}: an attack would reach this host",
        hint="`invoke lab.up` declares limits anew; `invoke lab.doctor` looks at the engine",
    )


def _first_of(runner: Runner, paths: Sequence[str]) -> str:
    """What the first of some files holds that is there; empty if none is."""
    return runner.run(["sh", "-c", 'cat "$@" 2>/dev/null; :', "sh", *paths]).stdout.partition("\n")[0].strip()


def _meminfo(runner: Runner, field: str) -> int:
    text = runner.run(["cat", MEMINFO]).stdout
    return int(re.findall(rf"^{field}: +(\d+) kB$", text, re.MULTILINE)[0]) * KIB
