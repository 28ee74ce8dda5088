"""Everyday operations on a container, as Docker's own command takes them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pairlab.side._swarm_operations import read_operations

CONTAINER = "5f3c" * 16
FOUND = {
    "Config": {"Image": "web:1", "Labels": {"com.docker.swarm.service.name": "pairlab-dev-web"}},
    "HostConfig": {"Memory": 134217728},
}


def test_only_what_happened_to_the_instance_itself_is_read() -> None:
    api = SimpleNamespace(inspect_container=lambda _: FOUND)
    objects: Any = SimpleNamespace(mapped=lambda: nullcontext(api), host="unix:///var/run/docker.sock")
    events = read_operations(objects, CONTAINER, "dev", Path("/out"))["events"].argv
    assert events[events.index("--filter") + 1] == f"container={CONTAINER}"
