"""A place where the same programs run: this host, a container, a VM; and who else used CPUs meanwhile."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pairlab.errors import ExerciseError
from pairlab.exercise._fleet import at_once
from pairlab.exercise._overhead_tasks import Chain, Task
from pairlab.model import Tools
from pairlab.results import Variant
from pairlab.run import Runner, tail

SCRATCH = "/var/tmp"
"""A folder on disk everywhere; /tmp may be memory."""
NAME = "pairlab-tools."
RUN_TIMEOUT_S = 120.0
TICKS_HZ = 100
"""Of /proc/stat, on every amd64 kernel. Source: proc_stat(5), sysconf(_SC_CLK_TCK)."""
ENVIRONMENT = {"LC_ALL": "C", "OPENSSL_CONF": "/dev/null", "OPENSSL_ia32cap": "0:0"}
"""Equal everywhere. Source of the last: OPENSSL_ia32cap(3), both vectors of CPU capabilities masked."""


@dataclass(frozen=True)
class CpuTime:
    """CPU time of a whole kernel, in seconds.

    Attributes:
        busy: Used.
        idle: Not used.
        stolen: Wanted, but kept back by the machine below.
    """

    busy: float
    idle: float
    stolen: float

    @classmethod
    def read(cls, text: str) -> CpuTime:
        """The first line of /proc/stat. Source: proc_stat(5); time of guests is in `user` already."""
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, text.split()[1:9])
        busy = user + nice + system + irq + softirq
        return cls(busy / TICKS_HZ, (idle + iowait) / TICKS_HZ, steal / TICKS_HZ)

    def __sub__(self, before: CpuTime) -> CpuTime:
        """What passed since."""
        return CpuTime(self.busy - before.busy, self.idle - before.idle, self.stolen - before.stolen)

    def percent(self, part_s: float) -> float:
        """A part of all of it."""
        return 100 * part_s / ((self.busy + self.idle + self.stolen) or 1)


@dataclass(frozen=True)
class Ran:
    """One run of a program.

    Attributes:
        value: What it measured.
        others_percent: Of all CPU time of this host: used by anything else meanwhile.
        stolen_percent: Of the same: kept back from this host.
        stolen_inside_percent: Of a guest's CPU time: kept back from it; None for what is no guest.
    """

    value: float
    others_percent: float
    stolen_percent: float
    stolen_inside_percent: float | None


@dataclass(frozen=True)
class Place:
    """Where programs run.

    Attributes:
        variant: Which place it is.
        runner: Runs commands there.
        folder: With the programs in it, and the test file.
        cpus: Numbers of the CPUs that it may use.
        host: Runs commands on this host.
        spent_s: For what has a kernel of its own: host CPU seconds that it used so far.
    """

    variant: Variant
    runner: Runner
    folder: str
    cpus: tuple[int, ...]
    host: Runner
    spent_s: Callable[[], float] | None = None

    def command(self, chain: Chain) -> list[str]:
        """The command line of programs of the tree, each of which starts the next, all by its own loader."""
        library = f"{self.folder}/lib"
        loader = [f"{library}/ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", library]
        return [word for name, *rest in chain for word in (*loader, f"{self.folder}/bin/{name}", *rest)]

    def do(self, chain: Chain) -> None:
        """Run programs that measure nothing."""
        self.runner.run(self.command(chain), cwd=Path(self.folder), env=ENVIRONMENT, timeout_s=RUN_TIMEOUT_S)

    def can_bypass_cache(self) -> bool:
        """Whether files of this place can be opened with O_DIRECT."""
        argv = self.command([["dd", "if=/dev/zero", "of=probe", "bs=4096", "count=1", "oflag=direct"]])
        return not self.runner.run(argv, cwd=Path(self.folder), check=False).returncode

    def measure(self, task: Task, cores: int) -> Ran:
        """Do a task once.

        Args:
            task: What.
            cores: CPUs to use if it is one for all.

        Raises:
            ExerciseError: It failed, or told no speed.
        """
        cpus = self.cpus[:cores] if task.all_cores else self.cpus[-1:]
        pinned = ["taskset", "-c", ",".join(map(str, cpus))]
        argv = ["sh", "-c", _WATCHED, "sh", *self.command([pinned, *task.chain(len(cpus))])]
        spent, before = (self.spent_s(), self._host_time()) if self.spent_s else (0.0, None)
        done = self.runner.run(
            argv, cwd=Path(self.folder), env=ENVIRONMENT, check=False, timeout_s=RUN_TIMEOUT_S
        )
        first, *printed, last, _, children = done.stdout.splitlines() or [""] * 4
        if done.returncode != task.ends:
            raise ExerciseError(
                f"{task.chain(1)[-1][0]} failed in {self.variant.title} with exit status {done.returncode}",
                hint="the details are the end of what it printed",
                details=tail(done.stdout + done.stderr),
            )
        inside, own_s = CpuTime.read(last) - CpuTime.read(first), _seconds(children)
        if self.spent_s and before:
            outside, own_s = self._host_time() - before, self.spent_s() - spent
        else:
            outside = inside
        return Ran(
            task.read("\n".join(printed)),
            outside.percent(max(0.0, outside.busy - own_s)),
            outside.percent(outside.stolen),
            inside.percent(inside.stolen) if self.spent_s else None,
        )

    def _host_time(self) -> CpuTime:
        return CpuTime.read(self.host.run(["head", "-n", "1", "/proc/stat"]).stdout)


# CPU time of the kernel before and after a command, and at the end what the command used.
_WATCHED = """
look() { read -r line < /proc/stat; echo "$line"; }
look
"$@" 2>&1
status=$?
look
times
exit $status
"""


def _seconds(text: str) -> float:
    """User and system time of ended children, as a POSIX shell's `times` tells: `0m1.02s 0m0.01s`."""
    return sum(
        60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", text)
    )


def usable_cpus(runner: Runner) -> tuple[int, ...]:
    """Numbers of the CPUs that a place may use. Source: proc_pid_status(5), Cpus_allowed_list: `0-3,8`."""
    status = runner.run(["cat", "/proc/self/status"]).stdout
    (listed,) = re.findall(r"^Cpus_allowed_list:\s*([\d,-]+)$", status, re.MULTILINE)
    ends = [part.partition("-")[::2] for part in listed.split(",")]
    return tuple(cpu for first, last in ends for cpu in range(int(first), int(last or first) + 1))


def unpack(runner: Runner, tools: Tools, scratch: str = SCRATCH) -> str:
    """Bring the programs into an instance; returns the folder in which they then are."""
    folder = runner.run(["mktemp", "--directory", f"{scratch}/{NAME}XXXXXX"]).stdout.strip()
    packed = base64.b64encode(tools.archive.read_bytes()).decode()
    script = 'base64 --decode | tar --extract --gzip --directory "$1"'
    runner.run(["sh", "-c", script, "sh", folder], input_text=packed, timeout_s=RUN_TIMEOUT_S)
    return folder


@contextmanager
def unpacked_here(host: Runner, tools: Tools) -> Iterator[str]:
    """The programs in a folder of this host, which is gone afterwards, with all that was laid into it."""
    with TemporaryDirectory(prefix=NAME, dir=SCRATCH) as folder:
        host.run(["tar", "--extract", "--gzip", "--directory", folder, "--file", str(tools.archive)])
        yield folder


def digest(runner: Runner, folder: str) -> str:
    """SHA-256 of the list of all files' digests, after each file was held against it.

    Raises:
        ExerciseError: A file is not what it was when it was packed.
    """
    script = 'cd "$1" && sha256sum --check --quiet SHA256SUMS && sha256sum SHA256SUMS'
    done = runner.run(["sh", "-c", script, "sh", folder], check=False, timeout_s=RUN_TIMEOUT_S)
    if done.returncode:
        raise ExerciseError(
            "the programs to measure with did not arrive whole",
            hint="look for space on the instance's disk",
            details=tail(done.stdout + done.stderr),
        )
    return done.stdout.split()[0]


def check_same(places: Sequence[Place]) -> dict[str, str]:
    """Title of each place -> digest of the programs in it, which is the same for all.

    Raises:
        ExerciseError: They differ, or did not arrive whole.
    """
    found = at_once(lambda place: digest(place.runner, place.folder), places)
    digests = {place.variant.title: each for place, each in zip(places, found, strict=True)}
    if len({*digests.values()}) > 1:
        raise ExerciseError(
            "the programs are not the same files in every place",
            hint="run it again: they are brought anew",
            details="\n".join(f"{name}: {value}" for name, value in digests.items()),
        )
    return digests
