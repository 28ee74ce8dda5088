"""The groups through which an account that is not root reaches the daemons and KVM."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Sequence

from pairlab.errors import CommandError, HostError
from pairlab.run import Runner

DOCKER_GROUPS = ("docker",)
KVM_GROUP = "kvm"
LIBVIRT_GROUPS = ("libvirt", KVM_GROUP)


def account_name() -> str:
    """This account's name; its number if it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def enter_groups(runner: Runner, argv: Sequence[str]) -> None:
    """Go on as a new process if this account has joined groups that this process, begun before, is not in.

    Args:
        runner: Tries whether sudo lets a process into them.
        argv: The command line to run then: this one.

    Raises:
        HostError: It does not.
    """
    lacking = groups_to_enter()
    if not lacking:
        return
    if not set(lacking.values()) <= _groups_through_sudo(runner):
        if not lacking.keys() - {KVM_GROUP}:
            return  # a lab does without: its VMs are libvirt's processes
        raise HostError(
            f"{account_name()} has joined {', '.join(lacking)} since this login began, "
            "and sudo does not let this command in",
            hint="log in anew, then run the command again",
        )
    line = with_new_groups(argv)
    sys.stdout.flush()
    os.execvp(line[0], line)


def groups_to_enter() -> dict[str, int]:
    """Groups whose member this account is, but not yet this process: name -> number."""
    account, inside = account_name(), {*os.getgroups(), os.getegid()}
    found: dict[str, int] = {}
    for name in (*DOCKER_GROUPS, *LIBVIRT_GROUPS):
        try:
            group = grp.getgrnam(name)
        except KeyError:
            continue
        if account in group.gr_mem and group.gr_gid not in inside:
            found[name] = group.gr_gid
    return found


def _groups_through_sudo(runner: Runner) -> set[int]:
    """Numbers of the groups that a process gets from sudo: none where sudo refuses, or is not there."""
    try:
        done = runner.run(with_new_groups(["id", "-G"]), check=False, timeout_s=15)
    except CommandError:
        return set()
    return set(map(int, done.stdout.split()))


def with_new_groups(argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` as this account with the groups that it has joined since its login."""
    path = f"PATH={os.environ.get('PATH', os.defpath)}"  # sudo would put its own
    return ["sudo", "-n", "--preserve-env", "--user", account_name(), "--", "env", path, *argv]
