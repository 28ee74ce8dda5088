"""What the overhead exercise has programs do, in one place or another, and how what they print is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pairlab.errors import ExerciseError
from pairlab.exercise import _overhead_figures as plan
from pairlab.results import Figure
from pairlab.run import tail

SECONDS, STREAM_SECONDS = "1", "2"
"""How long each program runs; STREAM longer, as it fills its arrays first, which takes emulation long."""
MIB = 1024**2
TIMED_OUT = 124
"""Exit status of `timeout` when it had to end its command."""

Chain = Sequence[Sequence[str]]
"""Programs with their arguments, each of which starts the next."""


@dataclass(frozen=True)
class Task:
    """One thing to do with one program.

    Attributes:
        figure: What it measures.
        chain: Number of CPUs -> programs.
        read: What they printed -> the measurement, in the figure's unit.
        all_cores: It runs on as many CPUs as every place has, and not on one.
        ends: The exit status of success.
    """

    figure: Figure
    chain: Callable[[int], Chain]
    read: Callable[[str], float]
    all_cores: bool = False
    ends: int = 0


def openssl_rate(text: str) -> float:
    """Bytes a second that `openssl speed -mr` hashed.

    Source: OpenSSL 3.0, apps/speed.c: `+F:number:name:bytes a second for each size`.
    """
    return _number(r"^\+F:\d+:[^:]+:([\d.]+)$", text, "openssl speed")


def stress_rate(text: str) -> float:
    """Operations a second of one kind of stress-ng's workers, all together, in real time.

    Source: stress-ng(1), `--metrics`: name, operations, seconds (real, user, system), operations a second.
    """
    if "successful run completed" not in text:
        raise _unreadable("stress-ng", text)
    seconds = r"\d+\.\d+"
    line = rf"^stress-ng: metrc: \[\d+\] [a-z]\S* +\d+ +{seconds} +{seconds} +{seconds} +({seconds}) "
    return _number(line, text, "stress-ng")


def stream_rate(text: str) -> float:
    """Bytes a second that stress-ng's STREAM read and wrote.

    Each operation of a worker goes through its three arrays of `plan.ARRAY_BYTES`: copy and scale read one
    and write one, add and triad read two and write one.
    Source: stress-ng 0.15, stress-stream.c; McCalpin, STREAM, `Counting Bytes and FLOPS`.
    """
    return stress_rate(text) * (2 + 2 + 3 + 3) * plan.ARRAY_BYTES


def call_rate(text: str) -> float:
    """System calls a second of a `dd` that reads and writes single bytes.

    Source: dd(1): `123 bytes (123 B) copied, 1.00003 s, 123 B/s`, the part in brackets only of larger ones.
    """
    copied = _number(r"^(\d+) bytes\b.* copied, [\d.e+-]+ s,", text, "dd")
    return 2 * copied / _number(r"^\d+ bytes\b.* copied, ([\d.e+-]+) s,", text, "dd")


def reads_per_second(text: str) -> float:
    """Reads a second of `sysbench fileio`."""
    return _number(r"^ +reads/s: +([\d.]+)$", text, "sysbench")


def writes_per_second(text: str) -> float:
    """Writes a second of `sysbench fileio`."""
    return _number(r"^ +writes/s: +([\d.]+)$", text, "sysbench")


def written_rate(text: str) -> float:
    """Bytes a second that `sysbench fileio` wrote."""
    return MIB * _number(r"^ +written, MiB/s: +([\d.]+)$", text, "sysbench")


def read_rate(text: str) -> float:
    """Bytes a second that `sysbench fileio` read."""
    return MIB * _number(r"^ +read, MiB/s: +([\d.]+)$", text, "sysbench")


def _number(pattern: str, text: str, program: str) -> float:
    found = re.findall(pattern, text, re.MULTILINE)
    if len(found) != 1 or float(found[0]) <= 0:
        raise _unreadable(program, text)
    return float(found[0])


def _unreadable(program: str, text: str) -> ExerciseError:
    return ExerciseError(
        f"{program} told no speed", hint="the details are what it printed", details=tail(text)
    )


def _stress(*words: str, seconds: str = SECONDS) -> Chain:
    return [["stress-ng", "--metrics", "--timeout", seconds, "--temp-path", ".", *words]]


def file_task(*words: str, direct: bool) -> Chain:
    """`sysbench fileio` on the one test file of the working directory."""
    options = ["--file-num=1", f"--file-total-size={plan.FILE_BYTES}", "--file-io-mode=sync", "--threads=1"]
    options += ["--file-extra-flags=direct"] if direct else []
    return [["sysbench", "fileio", f"--time={SECONDS}", *options, *words]]


def disk_tasks(*, direct: bool) -> Sequence[Task]:
    """What is done with the test file; `direct` bypasses the page cache of the kernel that is asked."""
    write = ["--file-test-mode=seqwr", "--file-block-size=1M", "--file-fsync-freq=16", "run"]
    read = ["--file-test-mode=seqrd", "--file-block-size=1M", "--file-fsync-freq=0", "run"]
    fetch = ["--file-test-mode=rndrd", "--file-block-size=4K", "--file-fsync-freq=0", "run"]
    commit = ["--file-test-mode=rndwr", "--file-block-size=4K", "--file-fsync-all=on", "run"]
    return (
        Task(plan.WRITE, lambda _: file_task(*write, direct=direct), written_rate),
        Task(plan.READ, lambda _: file_task(*read, direct=direct), read_rate),
        Task(plan.FETCH, lambda _: file_task(*fetch, direct=direct), reads_per_second),
        Task(plan.COMMIT, lambda _: file_task(*commit, direct=direct), writes_per_second),
    )


def _matrix(count: int) -> Chain:
    return _stress("--matrix", str(count), "--matrix-method", "prod", "--matrix-size", "128")


def _stream(count: int) -> Chain:
    # An array is four times the cache that it is told of, and what all workers have is divided among them.
    cache_bytes = count * plan.ARRAY_BYTES // 4
    return _stress("--stream", str(count), "--stream-l3-size", str(cache_bytes), seconds=STREAM_SECONDS)


HASH = ["openssl", "speed", "-seconds", SECONDS, "-bytes", "16384", "-mr", "-evp", "sha256"]
COMPUTE = (
    Task(plan.INTEGER, lambda _: [HASH], openssl_rate),
    Task(plan.FLOAT, _matrix, stress_rate),
    Task(plan.MEMORY, _stream, stream_rate),
)
CORES = (
    Task(plan.FLOAT_ALL, _matrix, stress_rate, all_cores=True),
    Task(plan.MEMORY_ALL, _stream, stream_rate, all_cores=True),
)
CALLS = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1"]
KERNEL = (
    Task(plan.CALLS, lambda _: [["timeout", "-s", "INT", SECONDS], CALLS], call_rate, ends=TIMED_OUT),
    Task(plan.SWITCHES, lambda _: _stress("--switch", "1", "--switch-method", "pipe"), stress_rate),
    Task(plan.FORKS, lambda _: _stress("--fork", "1"), stress_rate),
)
