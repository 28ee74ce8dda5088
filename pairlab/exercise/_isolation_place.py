"""Where a probe is made from, how it is made, and what its outcome says of the boundary."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pairlab.errors import ExerciseError
from pairlab.results import Variant, Verdict
from pairlab.run import Runner

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""By their number. Source: linux/capability.h."""
SYSCALLS = {
    "mknod": 133, "clock_gettime": 228, "clock_settime": 227, "keyctl": 250, "mount": 165, "umount2": 166,
    "open_by_handle_at": 304, "finit_module": 313, "reboot": 169, "syslog": 103, "unshare": 272, "bpf": 321,
    "ptrace": 101, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "add_key": 248,
    "pivot_root": 155, "name_to_handle_at": 303, "quotactl": 179, "swapon": 167, "acct": 163,
    "settimeofday": 164, "init_module": 175, "delete_module": 176, "kexec_load": 246,
}  # fmt: skip
"""Name -> number, as x86-64 counts. Source: asm/unistd_64.h."""
MACHINE = "x86_64"
# Each script says `ok` with something it found, or the number of the error.
_TOLD = 'sub told { my $ok = shift; print $ok ? "ok @_" : "error " . ($! + 0); exit } '


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        error: Name of the error, such as `EPERM`; empty where it worked.
        found: What it found, where it worked.
    """

    error: str = ""
    found: str = ""

    @property
    def told(self) -> str:
        """In a word or two."""
        return f"refused ({self.error})" if self.error else "it worked"


@dataclass(frozen=True)
class Tried:
    """One probe, from one place.

    Attributes:
        tried: What it did.
        happened: What came of it.
        verdict: The boundary held (`yes`), did not (`no`), was not tried (`untried`), or nothing was at
            stake (`fact`).
        enforcer: Who holds the boundary; `nobody` where nobody does.
    """

    tried: str
    happened: str
    verdict: Verdict
    enforcer: str = ""

    @property
    def answer(self) -> str:
        """All of it in a line."""
        return f"{self.tried}: {self.happened}" + (f". Held by: {self.enforcer}" if self.enforcer else "")


@dataclass(frozen=True)
class Place:
    """One account inside the first instance of a side, and what a probe from there may need to know.

    Attributes:
        variant: Whose measurements these are.
        name: Of the instance.
        admin: It is the administrator.
        runner: Runs commands as this account.
        host: Runs commands on this host.
        own_kernel: The instance does not run on this host's kernel.
        capabilities: Effective ones, without `CAP_`.
        is_filtered: A filter decides about each system call.
        calls: Risky system call -> the error by which it was refused, made with arguments that none accepts.
    """

    variant: Variant
    name: str
    admin: bool
    runner: Runner
    host: Runner
    own_kernel: bool
    capabilities: frozenset[str]
    is_filtered: bool
    calls: Mapping[str, str]

    def attempt(self, script: str, *words: str | int) -> Outcome:
        """Do something in one Perl process, which the base system of every instance has.

        Args:
            script: Ends with a call of `told`: whether it worked, and what it found. `$!` is the error.
            *words: Its arguments.
        """
        printed = self.runner.run(["perl", "-e", _TOLD + script, *map(str, words)]).stdout
        kind, _, rest = printed.partition(" ")
        if kind not in ("ok", "error"):
            raise ExerciseError(
                f"a probe in {self.name} said nothing that can be understood: {printed[:80]!r}",
                hint="`invoke lab.exec` may show what is wrong with perl there",
            )
        return (
            Outcome(found=rest) if kind == "ok" else Outcome(errno.errorcode.get(int(rest), f"error {rest}"))
        )

    def call(self, name: str, *words: str | int) -> Outcome:
        """Make one system call; whole numbers are numbers, other words are strings."""
        script = (
            "my @words = map { /^-?[0-9]+$/ ? $_ + 0 : $_ } @ARGV; my $number = shift @words;"
            " my $got = syscall($number, @words); told($got != -1, $got);"
        )
        return self.attempt(script, SYSCALLS[name], *words)

    def open_for_writing(self, path: str) -> Outcome:
        """Open a file for writing, without writing anything."""
        return self.attempt("told(sysopen(my $file, $ARGV[0], 1));", path)

    def read_some(self, path: str) -> Outcome:
        """Read the first bytes of a file; finds how many there were."""
        script = (
            "sysopen(my $file, $ARGV[0], 0) or told(0); my $got = sysread($file, my $it, 4);"
            " told(defined $got, $got);"
        )
        return self.attempt(script, path)


@dataclass(frozen=True)
class Probe:
    """One harmless attempt to reach across the boundary.

    Attributes:
        question: What is asked of the boundary; `yes` means that it holds.
        make: Tries it from a place.
    """

    question: str
    make: Callable[[Place], Tried]


def judge(
    place: Place, tried: str, outcome: Outcome, *, harm: str, needs: str = "", passed: Sequence[str] = ()
) -> Tried:
    """What an attempt says that only a kernel can grant or refuse.

    Args:
        place: Where it was made.
        tried: What it was.
        outcome: What became of it.
        harm: What it means that it worked, where it reached this host's kernel.
        needs: The capability that it needs, without `CAP_`.
        passed: Errors that come only after permission was granted.
    """
    went_through = not outcome.error or outcome.error in passed
    happened = f"permitted ({outcome.error}: nothing to do)" if outcome.error in passed else outcome.told
    if place.own_kernel:
        if went_through:
            return Tried(tried, happened, "yes", "the virtual hardware: what it reached is its own kernel")
        return Tried(tried, happened, "yes", f"its own kernel{_why(place, outcome, needs)}")
    if went_through:
        return Tried(tried, f"{happened}: {harm}", "no", "nobody")
    return Tried(tried, happened, "yes", f"this host's kernel{_why(place, outcome, needs)}")


def _why(place: Place, outcome: Outcome, needs: str) -> str:
    reasons = {
        "EROFS": "the file lies on a mount that is read-only",
        "ENOENT": "there is no such file here",
        "EACCES": "the file's owner and mode",
    }
    why = [reasons[outcome.error]] if outcome.error in reasons else []
    if needs and needs not in place.capabilities:
        why.append(f"it has no CAP_{needs}")
    if place.is_filtered and outcome.error == "EPERM":
        why.append("a filter of system calls stands before that")
    return f" ({'; '.join(why)})" if why else ""


def untried(place: Place, needs: str, harm: str) -> Tried | None:
    """Why something is left alone: done on this host's kernel with this right, it would change the host."""
    if place.own_kernel or needs not in place.capabilities:
        return None
    return Tried("not tried", f"it has CAP_{needs}: {harm}", "no", "nobody")


def decode(mask: str) -> frozenset[str]:
    """Capabilities of a hexadecimal mask, without `CAP_`; one without a name has its number."""
    bits = int(mask, 16)
    return frozenset(
        CAPABILITIES[number] if number < len(CAPABILITIES) else str(number)
        for number in range(bits.bit_length())
        if bits >> number & 1
    )


def status_of(runner: Runner) -> dict[str, str]:
    """Name -> value of the status of a process of an account. Source: proc_pid_status(5)."""
    text = runner.run(["cat", "/proc/self/status"]).stdout
    return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))
