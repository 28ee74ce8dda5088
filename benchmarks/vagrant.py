"""`vagrant up` of the lab's VMs, beside a warm `lab.up` of the same VMs and as many containers.

Vagrant starts the same disk, kernel, memory and processor through the same libvirt. It is given what it can
use: its box is in the pool already, machines come up in parallel, no folder is synced, no key is replaced, no
guest is guessed. Its clock runs from the start of `vagrant up` to its end, when each machine has taken an ssh
login. The guests get their addresses by DHCP, as Vagrant wants it, once their seeds have been applied.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks._figures import Figure
from benchmarks._trial import SAMPLES, TIMEOUT_S, Trial, say, seconds
from pairlab.errors import CommandError, LabError
from pairlab.model import GUEST_USER, Accelerator, LabSpec
from pairlab.plugin.libvirt._iso import make_iso
from pairlab.render import render

NAME = "pairlab-bench-vagrant"
"""Of the box, the pool and the network; begins the names of the domains."""
POOL = Path("/var/lib/libvirt") / NAME
SUBNET = "10.213.254.0/24"
OWN = Path(__file__).parent / "_vagrant"
LEASE_UNIT = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/usr/bin/perl /usr/local/sbin/lease
"""


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields the ratio."""
    _require_vagrant(trial)
    ups, references = [], []
    with contextlib.ExitStack() as stack:
        vagrant = None
        for number in range(SAMPLES):
            say(f"vagrant: run {number + 1} of {SAMPLES}: the lab")
            with trial.lab() as run:
                spec = trial.spec()
            ups.append(run.up_s)
            if vagrant is None:
                vagrant = stack.enter_context(_vagrant(trial, spec))
                say("vagrant: a first run, which puts the box into the pool")
                vagrant.up_s()
            say(f"vagrant: run {number + 1} of {SAMPLES}: vagrant up")
            references.append(vagrant.up_s())
    yield Figure(
        f"warm lab.up of {spec.settings.vms} VMs and {spec.settings.replicas} containers",
        *(ups, 0.7, f"vagrant up of {spec.settings.vms} VMs", references, spec.accelerator.value),
    )


@dataclass(frozen=True)
class Vagrant:
    """A Vagrant environment of the benchmark's own.

    Attributes:
        trial: The run that it belongs to.
        folder: Holds the Vagrantfile, and all that Vagrant remembers.
    """

    trial: Trial
    folder: Path

    def run(self, *words: str) -> None:
        """Run one of Vagrant's commands.

        Raises:
            CommandError: It failed.
        """
        env = {
            "VAGRANT_HOME": str(self.folder / "home"),
            "VAGRANT_DOTFILE_PATH": str(self.folder / "machines"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }
        self.trial.runner.run(["vagrant", *words], cwd=self.folder, env=env, timeout_s=TIMEOUT_S)

    def up_s(self) -> float:
        """Seconds of `vagrant up`; the machines are gone again afterwards."""
        took_s = seconds(self.run, "up", "--provider", "libvirt", "--parallel")
        self.run("destroy", "--force")  # one by one: side by side they both want to remove the network
        return took_s


def _require_vagrant(trial: Trial) -> None:
    try:
        installed = trial.runner.run(
            ["vagrant", "plugin", "list"], env={"VAGRANT_HOME": str(trial.scratch)}
        ).stdout
    except CommandError as error:
        installed = error.message
    if "vagrant-libvirt" not in installed:
        raise LabError(
            "Vagrant with its libvirt provider is not installed",
            hint="install Debian's packages vagrant and vagrant-libvirt",
        )


@contextlib.contextmanager
def _vagrant(trial: Trial, spec: LabSpec) -> Iterator[Vagrant]:
    """Vagrant with a pool, a box and seeds; at the end nothing is left of them, whatever happened."""
    folder = trial.scratch / "vagrant"
    folder.mkdir()
    vagrant = Vagrant(trial, folder)
    _clear(trial)
    try:
        key = _make_pool(trial, spec)
        shutil.copy(OWN / "Vagrantfile", folder)
        (folder / "given.json").write_text(json.dumps(_given(spec, key)))
        vagrant.run("box", "add", "--name", NAME, str(_make_box(trial, spec)))
        yield vagrant
    finally:
        _clear(trial)


def _given(spec: LabSpec, key: Path) -> dict[str, object]:
    kvm = spec.accelerator is Accelerator.KVM
    return {
        "name": NAME,
        "box": NAME,
        "user": GUEST_USER,
        "key": str(key),
        "subnet": SUBNET,
        "timeout_s": int(TIMEOUT_S),
        "uri": spec.settings.libvirt_uri,
        "driver": "kvm" if kvm else "qemu",
        "cpu_mode": "host-passthrough" if kvm else "maximum",
        "cpu": spec.accelerator.qemu_cpu,
        "count": spec.settings.vms,
        "cpus": spec.settings.vm_cpus,
        "memory_mib": spec.settings.vm_memory_mib,
        "kernel": str(POOL / "vmlinuz"),
        "initrd": str(POOL / "initrd"),
        "cmdline": " ".join(spec.images["web"].vm.cmdline),
    }


def _make_pool(trial: Trial, spec: LabSpec) -> Path:
    """A pool with the kernel's files and a seed for each VM; returns the key that opens them."""
    key, host_key = trial.scratch / "vagrant" / "key", trial.scratch / "vagrant" / "host_key"
    for path in (key, host_key):
        trial.runner.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", NAME, "-f", str(path)])
    POOL.mkdir(mode=0o711)
    image = spec.images["web"].vm
    shutil.copy(image.kernel, POOL / "vmlinuz")
    shutil.copy(image.initrd, POOL / "initrd")
    for index in range(spec.settings.vms):
        (POOL / f"seed-{index}.img").write_bytes(_seed(index, key, host_key))
    _virsh(trial, "pool-define-as", NAME, "dir", "--target", str(POOL))
    _virsh(trial, "pool-start", NAME)
    return key


def _seed(index: int, key: Path, host_key: Path) -> bytes:
    prepare = "/usr/local/lib/pairlab/prepare"
    lease = "#!/bin/sh\nsystemctl --no-block start lease.service\n"
    files = {
        "/usr/local/sbin/lease": (OWN / "lease.pl").read_text(),
        "/etc/systemd/system/lease.service": LEASE_UNIT,
        # What the image runs first of all when its seed has been applied.
        prepare: lease + render("workload/web/prepare.sh.j2", side="vm", port=8080),
    }
    host = f"vm-{index}"
    user_data = render(
        "guest/user-data.j2",
        lab="bench",
        index=index,
        hostname=host,
        user=GUEST_USER,
        ssh_public_key=key.with_suffix(".pub").read_text().strip(),
        host_key_private=host_key.read_text(),
        host_key_public=host_key.with_suffix(".pub").read_text().strip(),
        files=[
            {"path": path, "owner": "root:root", "permissions": "0755", "content": content}
            for path, content in files.items()
        ],
    )
    meta_data = render("guest/meta-data.j2", instance_id=f"{NAME}-{host}", hostname=host)
    return make_iso("cidata", {"user-data": user_data.encode(), "meta-data": meta_data.encode()})


def _make_box(trial: Trial, spec: LabSpec) -> Path:
    """Source: vagrant-libvirt's documentation of its box format, version 1."""
    disk = spec.images["web"].vm.disk
    told = json.loads(trial.runner.run(["qemu-img", "info", "--output", "json", str(disk)]).stdout)
    metadata = trial.scratch / "vagrant" / "metadata.json"
    size_gib = told["virtual-size"] // 2**30
    metadata.write_text(json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": size_gib}))
    box = trial.scratch / "vagrant" / "web.box"
    with tarfile.open(box, "w") as tar:
        tar.add(metadata, "metadata.json")
        tar.add(disk, "box.img")
    return box


def _clear(trial: Trial) -> None:
    """Remove all that has the benchmark's name: what Vagrant made, also when it was cut off, and the pool."""
    for name in _virsh(trial, "list", "--all", "--name"):
        if name.startswith(f"{NAME}-"):
            _virsh(trial, "destroy", name, check=False)
            _virsh(trial, "undefine", name)
    if NAME in _virsh(trial, "net-list", "--all", "--name"):
        _virsh(trial, "net-destroy", NAME, check=False)
        _virsh(trial, "net-undefine", NAME)
    if NAME in _virsh(trial, "pool-list", "--all", "--name"):
        _virsh(trial, "pool-destroy", NAME, check=False)
        _virsh(trial, "pool-undefine", NAME)
    shutil.rmtree(POOL, ignore_errors=True)


def _virsh(trial: Trial, *words: str, check: bool = True) -> list[str]:
    argv = ["virsh", "--quiet", "--connect", "qemu:///system", *words]
    return trial.runner.run(argv, check=check).stdout.split()
