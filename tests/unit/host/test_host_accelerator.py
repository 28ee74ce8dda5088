"""The choice between KVM and emulation, and the guest that the probe boots."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from answering_runner import AnsweringRunner

from pairlab.errors import CommandError, HostError
from pairlab.host import accelerator as module
from pairlab.host.accelerator import NOT_PROBED, Wanted, accelerator
from pairlab.host.tiny_guest import READY_LINE, initramfs
from pairlab.model import Accelerator
from pairlab.run import Completed

VERSION = "qemu-system-x86_64 --version"
BOOT = "qemu-system-x86_64 -accel kvm"


@pytest.fixture(autouse=True)
def _x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"kernel")
    return path


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


def works() -> AnsweringRunner:
    return AnsweringRunner({VERSION: "QEMU emulator version 7.2\n", BOOT: f"[ 0.1] init\n{READY_LINE}\n"})


def test_kvm_is_taken_where_a_guest_really_ran(tmp_path: Path, kernel: Path, device: Path) -> None:
    found = accelerator(tmp_path, works(), "auto", kernel=kernel, device=device)
    assert found == (Accelerator.KVM, "a guest kernel was booted under KVM")


def test_the_answer_is_remembered_until_qemu_changes(tmp_path: Path, kernel: Path, device: Path) -> None:
    runner = works()
    for _ in range(2):
        accelerator(tmp_path, runner, "auto", kernel=kernel, device=device)
    assert sum(line.startswith(BOOT) for line in runner.lines()) == 1
    runner.answers[VERSION] = "QEMU emulator version 8\n"
    accelerator(tmp_path, runner, "auto", kernel=kernel, device=device)
    assert sum(line.startswith(BOOT) for line in runner.lines()) == 2


def test_a_failed_probe_counts_for_a_day_and_a_retry_does_not_wait_for_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernel: Path, device: Path
) -> None:
    runner = works()
    runner.answers[BOOT] = 124
    now_s = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now_s)

    def probes(**more: bool) -> int:
        runner.asked.clear()
        accelerator(tmp_path, runner, "auto", kernel=kernel, device=device, **more)
        return sum(line.startswith(BOOT) for line in runner.lines())

    assert [probes(), probes(), probes(retry=True)] == [1, 0, 1]
    now_s += module.FAILURE_COUNTS_S
    assert probes() == 1
    now_s -= 10  # a clock that was put right
    runner.answers[BOOT] = READY_LINE
    assert [probes(), probes(retry=True)] == [1, 0]


def test_an_answer_that_cannot_be_kept_leaves_no_half(tmp_path: Path, kernel: Path, device: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "accelerator.json").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        accelerator(cache, works(), "auto", kernel=kernel, device=device)
    assert [path.name for path in cache.iterdir()] == ["accelerator.json"]


@pytest.mark.parametrize("damage", ["", "{", '{"key": 1}', "[]"])
def test_a_damaged_memory_is_made_again(tmp_path: Path, kernel: Path, device: Path, damage: str) -> None:
    (tmp_path / "accelerator.json").write_text(damage)
    assert accelerator(tmp_path, works(), "auto", kernel=kernel, device=device)[0] is Accelerator.KVM


def test_a_kvm_that_opens_but_runs_no_guest_is_not_taken(tmp_path: Path, kernel: Path, device: Path) -> None:
    runner = AnsweringRunner({VERSION: "QEMU 7\n", BOOT: "Probing EDD... ok\n"})
    found, reason = accelerator(tmp_path, runner, "auto", kernel=kernel, device=device)
    assert found is Accelerator.TCG
    assert "Probing EDD" in reason


def test_qemus_own_complaint_is_the_reason(tmp_path: Path, kernel: Path, device: Path) -> None:
    said = "qemu-system-x86_64: error: failed to set MSR 0x10a\nqemu-system-x86_64: Assertion failed\n"
    runner = AnsweringRunner({VERSION: "QEMU 7\n", BOOT: said})
    assert "failed to set MSR 0x10a" in accelerator(tmp_path, runner, "auto", kernel=kernel, device=device)[1]


def test_kvm_that_was_asked_for_and_fails_is_an_error(tmp_path: Path, kernel: Path) -> None:
    with pytest.raises(HostError, match="this machine has no") as caught:
        accelerator(tmp_path, works(), "kvm", kernel=kernel, device=tmp_path / "none")
    assert "tcg" in caught.value.hint


def test_without_a_kernel_nothing_is_claimed(tmp_path: Path, device: Path) -> None:
    runner = AnsweringRunner()
    assert accelerator(tmp_path, runner, "auto", kernel=None, device=device) == (Accelerator.TCG, NOT_PROBED)
    assert runner.asked == []


def test_the_setting_tcg_probes_nothing(tmp_path: Path, kernel: Path, device: Path) -> None:
    runner = AnsweringRunner()
    assert accelerator(tmp_path, runner, "tcg", kernel=kernel, device=device)[0] is Accelerator.TCG
    assert runner.asked == []


def test_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(HostError, match="aarch64 machines are not supported"):
        accelerator(tmp_path, AnsweringRunner(), "auto", kernel=None)


def test_the_probes_time_box_is_in_the_reason(tmp_path: Path, kernel: Path, device: Path) -> None:
    runner = AnsweringRunner({VERSION: "QEMU 7\n", BOOT: 124})
    assert "124" in accelerator(tmp_path, runner, "auto", kernel=kernel, device=device)[1]
    assert module.PROBE_TIMEOUT_S <= 10


def test_the_initramfs_holds_an_executable_that_begins_inside_itself() -> None:
    archive = initramfs()
    start = archive.index(b"\x7fELF")
    entry, header_at = struct.unpack_from("<QQ", archive, start + 24)
    kind, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", archive, start + header_at)
    assert (kind, flags, offset) == (1, 5, 0)
    assert address <= entry < address + size
    # lea rsi, [rip + n]: what it prints is the line.
    code = start + entry - address
    displacement = struct.unpack_from("<i", archive, code + 13)[0]
    line = archive[code + 17 + displacement :]
    assert line.startswith(f"\n{READY_LINE}\n".encode())
    assert archive.endswith(b"TRAILER!!!\0\0\0\0")
    assert len(archive) % 4 == 0


def test_a_probe_is_told_beforehand_and_only_when_there_is_one(
    tmp_path: Path, kernel: Path, device: Path
) -> None:
    told: list[str] = []
    for _ in range(2):
        accelerator(tmp_path, works(), "auto", kernel=kernel, device=device, progress=told.append)
    assert told == ["booting a guest kernel to see whether KVM works"]


# -- another machine's libvirt -------------------------------------------------------------------

FAR = "qemu+ssh://far/system"
KVM_BEGAN = f"libvirt at {FAR} started a VM with it; no guest was booted to see more"
REFUSAL = (
    "error: Failed to create domain from /dev/stdin\n"
    "error: internal error: Could not access KVM kernel module: Permission denied\n"
    "qemu-system-x86_64: failed to initialize kvm\n"
)
NOT_BEGUN = (
    f"libvirt at {FAR} offers KVM, and could not start a VM with it "
    "(internal error: Could not access KVM kernel module: Permission denied)"
)


class FarLibvirt(AnsweringRunner):
    """Another machine's libvirt; `given`: the domains that it was to start."""

    def __init__(self, domain: str, machine: str = "x86_64", *, refuses: bool = False) -> None:
        told = f"<domainCapabilities><domain>{domain}</domain><arch>{machine}</arch></domainCapabilities>"
        super().__init__({f"virsh -c {FAR} domcapabilities": told})
        self.given: list[str] = []
        self._refuses = refuses

    def run(self, argv: Sequence[str], *, input_text: str | None = None, **options: Any) -> Completed:
        if list(argv) != ["virsh", "-c", FAR, "create", "--paused", "--autodestroy", "/dev/stdin"]:
            return super().run(argv, input_text=input_text, **options)
        self.given.append(input_text or "")
        if self._refuses:
            raise CommandError("virsh failed with exit status 1", hint="look", details=REFUSAL)
        return Completed(tuple(argv), 0, "Domain created", "")


@pytest.mark.parametrize(
    ("domain", "wanted", "refuses", "found", "begun"),
    [
        ("kvm", "auto", False, (Accelerator.KVM, KVM_BEGAN), 1),
        ("kvm", "kvm", False, (Accelerator.KVM, KVM_BEGAN), 1),
        ("kvm", "auto", True, (Accelerator.TCG, NOT_BEGUN), 1),
        ("kvm", "tcg", False, (Accelerator.TCG, "the setting `accelerator` says so"), 0),
        ("qemu", "auto", False, (Accelerator.TCG, f"libvirt at {FAR} offers no KVM"), 0),
    ],
)
def test_another_machines_libvirt_is_asked_and_nothing_is_probed_here(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kernel: Path,
    domain: str,
    wanted: Wanted,
    refuses: bool,
    found: tuple[Accelerator, str],
    begun: int,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    runner = FarLibvirt(domain, refuses=refuses)
    assert accelerator(tmp_path, runner, wanted, kernel=kernel, libvirt_uri=FAR) == found
    assert [argv[0] for argv in runner.asked] == ["virsh"]
    assert len(runner.given) == begun
    for given in runner.given:
        asked = ElementTree.fromstring(given)
        assert (asked.get("type"), asked.findtext("os/type")) == ("kvm", "hvm")
        assert asked.findtext("name", "").startswith("pairlab-probe-")


def test_kvm_that_another_machine_only_offers_is_an_error_where_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        HostError, match=r"asked for and libvirt at .* could not start a VM with it"
    ) as failed:
        accelerator(tmp_path, FarLibvirt("kvm", refuses=True), "kvm", kernel=None, libvirt_uri=FAR)
    assert "`accelerator` to auto or tcg" in failed.value.hint


@pytest.mark.parametrize(
    ("machine", "told"), [("x86_64", "libvirt at .* offers no KVM"), ("aarch64", "aarch64 machines")]
)
def test_what_another_machine_cannot_do_is_an_error(tmp_path: Path, machine: str, told: str) -> None:
    with pytest.raises(HostError, match=told):
        accelerator(tmp_path, FarLibvirt("qemu", machine), "kvm", kernel=None, libvirt_uri=FAR)
