"""Who may use KVM and the daemons on this host."""

from __future__ import annotations

import grp
import stat
from pathlib import Path

from pairlab.errors import CommandError
from pairlab.host.accelerator import KVM_DEVICE
from pairlab.host.groups import DOCKER_GROUPS, KVM_GROUP, LIBVIRT_GROUPS
from pairlab.host.steps import Host, Step
from pairlab.progress import Progress


def kvm_device_step(host: Host, *, device: Path = KVM_DEVICE) -> Step:
    """Opens `/dev/kvm` to the group that libvirt's guests run in, as udev does where it runs.

    Without it libvirt cannot use KVM, and sees its knowledge of QEMU as outdated at each use: probing
    QEMU again costs seconds for every domain, even for emulated ones.
    """

    def done() -> bool:
        if not device.exists():
            return True
        mode = stat.S_IMODE(device.stat().st_mode)
        return mode & 0o006 == 0o006 or (mode & 0o060 == 0o060 and device.stat().st_gid != 0)

    def apply(progress: Progress) -> None:
        if done():
            return
        progress(f"giving {device} to the group {KVM_GROUP}")
        before = device.stat()
        host.ledger.record("kvm", {"mode": f"{stat.S_IMODE(before.st_mode):o}", "group": str(before.st_gid)})
        host.admin.run(["chgrp", KVM_GROUP, str(device)])
        host.admin.run(["chmod", "660", str(device)])

    return Step("KVM's device", f"give {device} to the group {KVM_GROUP}, mode 660", done=done, apply=apply)


def restore_kvm_device(host: Host, entry: dict[str, str], *, device: Path = KVM_DEVICE) -> None:
    """Undo `kvm_device_step`."""
    if device.exists():
        host.admin.run(["chmod", entry["mode"], str(device)])
        host.admin.run(["chgrp", entry["group"], str(device)])


def account_groups(host: Host) -> list[str]:
    """Groups through which an account that is not root reaches the daemons and KVM."""
    if not host.account:
        return []
    return [
        *(DOCKER_GROUPS if host.local_docker else ()),
        *(LIBVIRT_GROUPS if host.local_libvirt else ()),
    ]


def groups_step(host: Host) -> Step:
    """Makes the account a member of the daemons' groups."""
    groups = account_groups(host)

    def lacking() -> list[str]:
        members = {group.gr_name: group.gr_mem for group in grp.getgrall() if group.gr_name in groups}
        return [name for name in groups if host.account not in members.get(name, [])]

    def apply(progress: Progress) -> None:
        joining = lacking()
        progress(f"adding {host.account} to the groups {', '.join(joining)}")
        host.ledger.record("groups", [*host.ledger.entries().get("groups", []), *joining])
        for name in joining:
            host.admin.run(["usermod", "--append", "--groups", name, host.account])

    return Step(
        "groups",
        f"make {host.account} a member of {', '.join(groups)} (other logins see it when they begin anew)",
        done=lambda: not lacking(),
        apply=apply,
    )


def leave_groups(host: Host, groups: list[str]) -> None:
    """Undo `groups_step`."""
    for name in groups:
        try:
            host.admin.run(["gpasswd", "--delete", host.account, name])
        except CommandError as error:
            if "not a member" not in error.details:
                raise
