"""Risky system calls, made so that they do nothing: which reach a kernel, and whose."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from pairlab.errors import ExerciseError
from pairlab.exercise._isolation_place import SYSCALLS, Place, Tried
from pairlab.run import Runner

BAD = -1
"""No address, no file, no process, no operation, or flags of which some do not exist."""
RISKY = {
    "ptrace": (BAD, BAD, BAD, BAD),
    "perf_event_open": (BAD, BAD, BAD, BAD, BAD),
    "userfaultfd": (BAD,),
    "io_uring_setup": (BAD, BAD),
    "bpf": (BAD, BAD, BAD),
    "add_key": (BAD, BAD, BAD, BAD, BAD),
    "keyctl": (BAD, BAD, BAD, BAD, BAD),
    "unshare": (1,),
    "mount": (BAD, BAD, BAD, 0, BAD),
    "umount2": (BAD, BAD),
    "pivot_root": (BAD, BAD),
    "name_to_handle_at": (BAD, BAD, BAD, BAD, BAD),
    "open_by_handle_at": (BAD, BAD, 0),
    "quotactl": (BAD, BAD, BAD, BAD),
    "swapon": (BAD, BAD),
    "acct": (BAD,),
    "settimeofday": (BAD, BAD),
    "init_module": (BAD, 0, BAD),
    "delete_module": (BAD, BAD),
    "kexec_load": (BAD, BAD, BAD, BAD),
    "reboot": (0, 0, 0, 0),
}
"""Name -> arguments that every kernel refuses, whoever makes the call."""
NOT_LOOKED_AT = ("EPERM", "ENOSYS")
"""Errors of a call that is refused for who makes it, or is not there, whatever its arguments."""
_MAKE_ALL = (
    "for (@ARGV) { my ($number, @words) = map { $_ + 0 } split /,/;"
    ' my $got = syscall($number, @words); print $got == -1 ? $! + 0 : 0, "\\n" }'
)
"""Arguments: of each call its number and its words, joined by commas. Prints the number of each error."""


def make_calls(runner: Runner) -> dict[str, str]:
    """Make all risky calls in one process, with arguments by which they do nothing.

    Args:
        runner: Runs commands as the account that makes them, on x86-64.

    Returns:
        Name of each -> name of its error; empty if it had none.

    Raises:
        ExerciseError: Not all of them were made.
    """
    calls = [",".join(map(str, (SYSCALLS[name], *words))) for name, words in RISKY.items()]
    told = runner.run(["perl", "-e", _MAKE_ALL, *calls]).stdout.split()
    if len(told) != len(RISKY):
        raise ExerciseError(
            f"of {len(RISKY)} system calls {len(told)} told how they ended",
            hint="`invoke lab.exec` may show what is wrong with perl there",
        )
    errors = [errno.errorcode.get(int(number), "") for number in told]
    return dict(zip(RISKY, errors, strict=True))


def reaching(calls: Mapping[str, str]) -> list[str]:
    """Those of which a kernel looked at the arguments."""
    return [name for name, error in calls.items() if error not in NOT_LOOKED_AT]


def system_calls(place: Place) -> Tried:
    """How many risky calls come so far that a kernel looks at their arguments, and whose kernel that is."""
    whose = "its own kernel" if place.own_kernel else "this host's kernel"
    through = reaching(place.calls)
    refused = [name for name in place.calls if name not in through]
    filtered = "; a filter decides about each first" if place.is_filtered else "; no filter decides before"
    told = (
        f"{len(through)} reached {whose} ({', '.join(through) or 'none'}), {len(refused)} were refused"
        f" whatever their arguments ({', '.join(refused) or 'none'}){filtered}"
    )
    tried = f"made {len(place.calls)} system calls with arguments by which they do nothing"
    if place.own_kernel:
        return Tried(tried, told, "yes", "the virtual hardware: what they reach is its own kernel")
    if through:
        return Tried(tried, told, "no", "nobody: a flaw in one of those would open this host's kernel")
    return Tried(tried, told, "yes", f"{whose} (its filter and its checks of rights)")
