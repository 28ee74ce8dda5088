"""Decides how VMs run, by really booting a guest kernel: `/dev/kvm` that opens proves nothing."""

from __future__ import annotations

import json
import os
import platform
import secrets
import tempfile
import time
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from pairlab.errors import CommandError, HostError
from pairlab.files import replace_at_once
from pairlab.host.tiny_guest import READY_LINE, initramfs
from pairlab.libvirt_api import dialled, is_elsewhere
from pairlab.model import PROJECT, Accelerator
from pairlab.progress import Progress
from pairlab.run import Runner

Wanted = Literal["auto", "kvm", "tcg"]

QEMU = "qemu-system-x86_64"
KVM_DEVICE = Path("/dev/kvm")
PROBE_TIMEOUT_S = 10.0
ASK_TIMEOUT_S = 15.0
BEGIN_TIMEOUT_S = 30.0
FAILURE_COUNTS_S = 24 * 3600.0
"""A busy machine may fail a probe that it passes later."""
AS_SET = "the setting `accelerator` says so"
NOT_PROBED = "not probed yet: no guest kernel has been built"


def _silent(_: str) -> None:
    """For callers that show nothing."""


def accelerator(
    cache: Path,
    runner: Runner,
    wanted: Wanted,
    *,
    kernel: Path | None,
    libvirt_uri: str = "qemu:///system",
    device: Path = KVM_DEVICE,
    retry: bool = False,
    progress: Progress = _silent,
) -> tuple[Accelerator, str]:
    """Choose how VMs run.

    Args:
        cache: pairlab's cache directory: remembers the answer for this host, kernel and QEMU; that KVM
            does not work is remembered for `FAILURE_COUNTS_S` only.
        runner: Runs QEMU.
        wanted: The lab's setting; `auto` takes KVM where it works.
        kernel: A Linux kernel image to boot; None if none has been built yet.
        libvirt_uri: Where libvirt answers. Where that is another machine, no kernel of ours is there to be
            booted: a VM that never runs is started there for a moment.
        device: KVM's device.
        retry: Probe again where the remembered answer is that KVM does not work.
        progress: Told before a probe, which takes up to `PROBE_TIMEOUT_S` seconds.

    Returns:
        The accelerator, and in one clause why it is that one.

    Raises:
        HostError: The machine cannot run the guests at all, or KVM was asked for and does not work.
    """
    if is_elsewhere(libvirt_uri):
        return _elsewhere(runner, wanted, libvirt_uri)
    _check_machine(platform.machine())
    if wanted == "tcg":
        return Accelerator.TCG, AS_SET
    obstacle = _obstacle(device) or (None if kernel else NOT_PROBED)
    if obstacle is None and kernel is not None:
        works, reason = _probe_once(cache, runner, kernel, progress, retry=retry)
        if works:
            return Accelerator.KVM, reason
        obstacle = reason
    if wanted == "kvm":
        raise _no_kvm(f"does not work here: {obstacle}")
    return Accelerator.TCG, obstacle or ""


def _elsewhere(runner: Runner, wanted: Wanted, uri: str) -> tuple[Accelerator, str]:
    """What another machine's libvirt offers, and can also begin: it offers KVM wherever the device is there.

    Source: https://libvirt.org/formatdomaincaps.html: by itself it describes the best kind of domain.
    """
    virsh = ["virsh", "-c", dialled(uri)]
    told = ElementTree.fromstring(runner.run([*virsh, "domcapabilities"], timeout_s=ASK_TIMEOUT_S).stdout)
    _check_machine(told.findtext("arch", ""))
    if wanted == "tcg":
        return Accelerator.TCG, AS_SET
    if told.findtext("domain") != Accelerator.KVM:
        obstacle = "offers no KVM"
    else:
        # --autodestroy: it ends with this connection, however that ends.
        begin = [*virsh, "create", "--paused", "--autodestroy", "/dev/stdin"]
        try:
            runner.run(begin, input_text=_paused_domain(), timeout_s=BEGIN_TIMEOUT_S)
        except CommandError as error:
            complaints = [line for line in error.details.splitlines() if line.startswith("error: ")]
            said = complaints[-1].removeprefix("error: ") if complaints else error.message
            obstacle = f"offers KVM, and could not start a VM with it ({said.strip()[:200]})"
        else:
            return Accelerator.KVM, f"libvirt at {uri} started a VM with it; no guest was booted to see more"
    if wanted == "kvm":
        raise _no_kvm(f"libvirt at {uri} {obstacle}")
    return Accelerator.TCG, f"libvirt at {uri} {obstacle}"


def _paused_domain() -> str:
    """The smallest domain that needs what a lab's VM needs of KVM."""
    domain = ElementTree.Element("domain", type=Accelerator.KVM)
    ElementTree.SubElement(domain, "name").text = f"{PROJECT}-probe-{secrets.token_hex(4)}"
    ElementTree.SubElement(domain, "memory", unit="MiB").text = "64"
    system = ElementTree.SubElement(domain, "os")
    ElementTree.SubElement(system, "type", arch="x86_64").text = "hvm"
    ElementTree.SubElement(domain, "cpu", mode="host-passthrough")
    return ElementTree.tostring(domain, encoding="unicode")


def _check_machine(machine: str) -> None:
    if machine != "x86_64":
        raise HostError(
            f"VMs on {machine} machines are not supported",
            hint="run the lab on an x86_64 machine, or point libvirtUri at one",
        )


def _no_kvm(why: str) -> HostError:
    return HostError(
        f"KVM was asked for and {why}",
        hint="set `accelerator` to auto or tcg, or enable virtualisation for the machine",
    )


def _obstacle(device: Path) -> str | None:
    if not device.exists():
        return f"this machine has no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this account"
    return None


def _probe_once(
    cache: Path, runner: Runner, kernel: Path, progress: Progress, *, retry: bool
) -> tuple[bool, str]:
    """The remembered answer, else a new one."""
    memory = cache / "accelerator.json"
    key = _host_key(runner)
    try:
        known = json.loads(memory.read_text())
        if known["key"] == key and (known["works"] or (not retry and _recent(known["probed"]))):
            return bool(known["works"]), str(known["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or not whole: the probe says it again
    progress("booting a guest kernel to see whether KVM works")
    works, reason = _probe(runner, kernel)
    answer = {"key": key, "works": works, "reason": reason, "probed": time.time()}
    replace_at_once(memory, json.dumps(answer))
    return works, reason


def _recent(probed: float) -> bool:
    return 0 <= time.time() - probed < FAILURE_COUNTS_S


def _host_key(runner: Runner) -> str:
    """Changes when the answer may: machine, processor, kernel or QEMU."""
    version = runner.run([QEMU, "--version"], timeout_s=10).stdout.splitlines()[0]
    machine_id = Path("/etc/machine-id")
    host = machine_id.read_text().strip() if machine_id.exists() else platform.node()
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return "|".join([host, "".join(models[:1]), platform.release(), platform.version(), version])


def _probe(runner: Runner, kernel: Path) -> tuple[bool, str]:
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pairlab-probe-") as folder:
        initrd = Path(folder) / "initramfs"
        initrd.write_bytes(initramfs())
        argv = [QEMU, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none"]
        argv += ["-no-reboot", "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initrd)]
        argv += ["-append", "console=ttyS0 panic=-1 quiet"]
        try:
            runner.run(argv, timeout_s=PROBE_TIMEOUT_S, on_line=lines.append)
        except CommandError as error:
            failure = error.message
        else:
            failure = "the guest ended without its line"
    if any(READY_LINE in line for line in lines):
        return True, "a guest kernel was booted under KVM"
    # QEMU's own first complaint says most; else where the guest's console stopped.
    complaints = [line.removeprefix(f"{QEMU}: ") for line in lines if line.startswith(QEMU)]
    said = next(iter(complaints or [line for line in reversed(lines) if line.strip()]), "it printed nothing")
    return False, f"a guest kernel did not run under KVM ({failure}: {said.strip()[:120]})"
