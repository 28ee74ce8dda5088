"""pairlab's commands run as a person runs them, and what is on the host."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairlab.model import Settings, placeholder_spec

ROOT = Path(__file__).resolve().parents[1]
INVOKE = Path(sys.executable).with_name("invoke")
TIMEOUT_S = 600
SHARED_TIMEOUT_S = 1800
"""Of the exercises that share one lab: whichever test comes first waits for them all."""


@dataclass
class Commands:
    """Runs `invoke` with a state directory of the test's own."""

    state: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        *words: str,
        check: bool = True,
        env: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(INVOKE), "--search-root", str(ROOT), *words],
            env=self.environment(env),
            cwd=self.state,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something to it; Ctrl-C reaches it."""
        return subprocess.Popen(
            [str(INVOKE), "--search-root", str(ROOT), *words],
            env=self.environment(None),
            cwd=self.state,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            # A CI runner's background job ignores SIGINT, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def environment(self, more: dict[str, str] | None) -> dict[str, str]:
        return {**os.environ, "PAIRLAB_STATE": str(self.state), "CI": "true", **self.env, **(more or {})}


def write_settings(name: str, **settings: Any) -> Path:
    """A lab's settings file, where pairlab looks for it."""
    path = ROOT / f"Pulumi.{name}.yaml"
    path.write_text(json.dumps({"config": {f"pairlab:{key}": value for key, value in settings.items()}}))
    return path


@contextmanager
def own_lab(commands: Commands, name: str, **settings: Any) -> Iterator[str]:
    """The name of a small lab with settings of its own; down at the end, whatever happened."""
    # What a killed test run left would otherwise fail this one, and all later ones.
    commands.run("lab.down", "--lab", name, "--yes", "--orphans")
    path = write_settings(name, vms=1, replicas=1, **settings)
    try:
        yield name
    finally:
        commands.run("lab.down", "--lab", name, "--yes")
        path.unlink()


def inventory() -> set[str]:
    """Everything on this host that a lab could leave behind, whichever lab it was."""
    lines: set[str] = set()
    for argv in (
        ["virsh", "-c", "qemu:///system", "list", "--all", "--name"],
        ["virsh", "-c", "qemu:///system", "net-list", "--all", "--name"],
        ["virsh", "-c", "qemu:///system", "pool-list", "--all", "--name"],
        ["docker", "ps", "--all", "--format", "{{.Names}}"],
        ["docker", "service", "ls", "--format", "{{.Name}}"],
        ["docker", "network", "ls", "--format", "{{.Name}}"],
        ["docker", "secret", "ls", "--format", "{{.Name}}"],
        ["docker", "config", "ls", "--format", "{{.Name}}"],
        ["docker", "volume", "ls", "--format", "{{.Name}}"],
        # Images that labs start from stay; what is made of their instances does not.
        ["docker", "images", "--filter", "label=org.pairlab.lab", "--format", "{{.Repository}}:{{.Tag}}"],
        ["ip", "-brief", "-4", "address"],
        ["iptables-save"],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        kept = (line for line in done.stdout.splitlines() if line.strip() and not line.startswith(("#", ":")))
        lines |= {f"{argv[0]} {argv[-1]}: {line.split('[')[0].strip()}" for line in kept}
    pools = Path("/var/lib/libvirt/pairlab")
    return lines | {f"file {path}" for path in (pools.rglob("*") if pools.exists() else ())}


def left_of(lab: str) -> set[str]:
    """What is on this host of one lab."""
    bridge = placeholder_spec(lab, Settings(), lambda *_: []).bridge
    return {line for line in inventory() if lab in line or bridge in line}


def doors(commands: Commands, lab: str) -> dict[str, int]:
    found = commands.json("lab.status", "--lab", lab)["doors"]
    return {door["side"]: int(door["url"].rsplit(":", 1)[1]) for door in found}


def get(port: int, path: str = "/") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read().decode()
    finally:
        connection.close()


def until(condition: Any, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.2)
