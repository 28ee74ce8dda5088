"""Every command of the README, run as it stands there, in its order, on a lab of the test's own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pairlab.engine.cli import find_cli
from pairlab.run import LocalRunner
from pairlab.session.workbench import cache_dir
from stacks import pair

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LAB, PORTS = "t-readme", {"8081": "20081", "8082": "20082"}
LEAVE = {"lab.shell": b"exit\r", "lab.console": b"\x1d"}
"""Commands that take over the terminal -> the keys with which the README says one leaves them."""
TIMEOUT_S = 600
LEAVE_TIMEOUT_S = 60
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^\$ (.+)$", "\n".join(BLOCKS), re.MULTILINE)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """State and images of the test's own: the last commands remove all labs and unused images."""
    base = tmp_path_factory.mktemp("readme")
    cli = find_cli(cache_dir(), LocalRunner())
    assert cli is not None, "the Pulumi CLI is missing: run ./inv lab.setup"
    settings = ROOT / f"Pulumi.{LAB}.yaml"
    ports = f"  pairlab:vmPort: {PORTS['8081']}\n  pairlab:containerPort: {PORTS['8082']}\n"
    settings.write_text(f"config:\n{ports}")
    environment = {
        **os.environ,
        "PAIRLAB_LAB": LAB,
        "PAIRLAB_STATE": str(base / "state"),
        "PAIRLAB_DATA": str(base / "data"),
        "PAIRLAB_CACHE": str(base / "cache"),
        "PATH": f"{cli.path.parent}:{os.environ['PATH']}",
    }
    try:
        yield environment
    finally:
        subprocess.run(
            ["./inv", "lab.down", "--yes"], cwd=ROOT, env=environment, timeout=TIMEOUT_S, check=False
        )
        settings.unlink()


def test_every_command_of_the_readme_does_what_it_says(environment: dict[str, str]) -> None:
    printed: dict[str, str] = {}
    for command in COMMANDS:
        own = re.sub("|".join(PORTS), lambda port: PORTS[port[0]], command)
        task = own.split()[1]
        if task in LEAVE:
            printed[command] = _on_a_terminal(own, environment, LEAVE[task])
        else:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", own],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            printed[command] = done.stdout
    # What the page shows is what the commands print, but for figures, versions and who happened to answer.
    for block in BLOCKS:
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).+\n)*)", block, re.MULTILINE):
            for line in shown.splitlines():
                assert _shape(line) in _shape(printed[command]), f"{command} no longer prints: {line}"


def test_the_readme_names_every_command() -> None:
    listed = subprocess.run(["./inv", "--list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tasks = re.findall(r"^  ([a-z.]+)  ", listed, re.MULTILINE)
    assert len(tasks) > 15
    missing = [task for task in tasks if not re.search(rf"(?:inv |invoke |`){re.escape(task)}\b", README)]
    assert missing == ["check"]  # for those who change pairlab: CONTRIBUTING.md has it


def test_the_lab_of_ones_own_declares_a_lab() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 15
    module: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), module)
    assert module["PairedLab"] is pair.PairedLab
    from pairlab.model import LabKeys, Settings

    (tier,) = module["tiers"]("own", Settings(vms=3), LabKeys("", {}, ""))  # type: ignore[operator]
    assert (tier.vms, tier.workload) == (3, pair.WEB)


def _shape(text: str) -> str:
    """A text without what differs from run to run and from host to host."""
    text = text.replace(LAB, "dev")
    for published, own in PORTS.items():
        text = text.replace(f"127.0.0.1:{own}", f"127.0.0.1:{published}")
    for accelerated in ("tcg accelerator", "kvm accelerator", "accelerator tcg", "accelerator kvm"):
        text = text.replace(accelerated, "accelerator")
    text = re.sub(r"  VMs run by software emulation.*\n?|\* of an emulated VM.*\n?", "", text)
    text = re.sub(r"(?<=[sB])\*", " ", text)  # the mark of such a VM's figures
    text = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", text)
    text = re.sub(r"\d[\w.+~-]*", "N", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def _on_a_terminal(command: str, environment: dict[str, str], leave: bytes) -> str:
    """Run a command on a terminal of its own, wait until it printed something, and leave it."""
    terminal, other = pty.openpty()
    child = subprocess.Popen(
        command.split(),
        cwd=ROOT,
        env=environment,
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    printed, sent, deadline = b"", False, time.monotonic() + LEAVE_TIMEOUT_S
    while child.poll() is None:
        assert time.monotonic() < deadline, f"{command} did not end: {printed!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                printed += os.read(terminal, 65536)
            except OSError:  # Linux's word for: the other end was closed
                break
        elif printed and not sent:
            os.write(terminal, leave)
            sent = True
    assert child.wait(LEAVE_TIMEOUT_S) == 0, printed
    os.close(terminal)
    return printed.decode(errors="replace")
