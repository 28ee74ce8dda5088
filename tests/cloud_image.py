"""A guest with cloud-init, as Debian's cloud images are: udev, D-Bus, netplan, an initramfs for any machine.

The web workload is in it, so that it serves as soon as its seed has been applied.
"""

from __future__ import annotations

from pairlab.image.recipe import File, Recipe, vm_recipe
from pairlab.image.record import ImageRecord
from pairlab.image.store import ImageStore
from pairlab.progress import Progress
from stacks.pair import WEB

PACKAGES = (
    "cloud-init",
    "cloud-guest-utils",
    "dbus",
    "initramfs-tools",
    "libpam-systemd",
    "netplan.io",
    "systemd-resolved",
    "systemd-timesyncd",
    "udev",
)
WHO = """\
[Service]
ExecStartPre=
ExecStartPre=install -d /run/pairlab
ExecStartPre=sh -c 'hostname | tr - / > /run/pairlab/instance'
ExecStartPre=/usr/local/lib/pairlab/prepare
"""
"""Says which instance this is: what the built guest's own program does."""


def build(store: ImageStore, progress: Progress) -> ImageRecord:
    """The image, built if it is missing; its `disk.qcow2` is what a publisher would offer."""
    return store.ensure_recipe(recipe(), progress=progress)


def recipe() -> Recipe:
    """What goes into it."""
    web = vm_recipe(WEB)
    files = {path: web.files[path] for path in WEB.files}
    files["/etc/systemd/system/nginx.service.d/instance.conf"] = File(WHO)
    # Locales are left out of all images here; cloud-init's own choice would have to be generated.
    files["/etc/cloud/cloud.cfg.d/01_image.cfg"] = File("locale: C.UTF-8\n")
    commands = (
        # What is left of the built guest's way; its hooks would run at each kernel's installation.
        ("dpkg", "--purge", "tiny-initramfs", "tiny-initramfs-core"),
        ("systemctl", "--quiet", "enable", "systemd-networkd"),
        ("sh", "-c", "rm -f /etc/ssh/ssh_host_*"),
    )
    return Recipe("cloud", "vm", (*PACKAGES, *WEB.packages), files, commands, boot="disk")
