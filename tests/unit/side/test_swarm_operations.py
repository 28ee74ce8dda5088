"""Everyday operations on a container, as Docker's own command takes them, and what they may leave."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import call, create_autospec

import pytest
from docker import APIClient

from pairlab.model import Operation, Settings
from pairlab.side import SideContext
from pairlab.side._swarm_objects import SwarmObjects
from pairlab.side._swarm_operations import read_operations

CONTAINER = "5f3c" * 16
FOUND = {
    "Config": {"Image": "web:1", "Labels": {"com.docker.swarm.service.name": "pairlab-dev-web"}},
    "HostConfig": {"Memory": 134217728},
}


SNAPSHOTS = [
    {"Id": "sha256:1", "RepoTags": ["pairlab/manage:dev"]},
    {"Id": "sha256:2", "RepoTags": ["<none>:<none>"]},
    {"Id": "sha256:3", "RepoTags": None},
]


def operations() -> Mapping[str, Operation]:
    api = SimpleNamespace(inspect_container=lambda _: FOUND)
    objects: Any = SimpleNamespace(mapped=lambda: nullcontext(api), host="unix:///var/run/docker.sock")
    return read_operations(objects, CONTAINER, "dev", Path("/out"))


def test_only_what_happened_to_the_instance_itself_is_read() -> None:
    events = operations()["events"].argv
    assert events[events.index("--filter") + 1] == f"container={CONTAINER}"


def test_a_snapshot_that_an_interrupted_run_left_goes_with_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = operations()["snapshot"].argv
    labels = ["org.pairlab.lab=dev", "org.pairlab.role=snapshot"]
    assert commit[commit.index("--change") + 1] == f"LABEL {' '.join(labels)}"
    api = create_autospec(APIClient, instance=True)
    api.images.return_value = SNAPSHOTS
    api.volumes.return_value = {"Volumes": None}
    for kind in ("services", "tasks", "containers", "networks", "configs", "secrets"):
        getattr(api, kind).return_value = []
    objects = SwarmObjects(SideContext("dev", Settings(), Path("/k"), Path("/h"), "pl-0", "/nowhere"))
    monkeypatch.setattr("pairlab.docker_api.open_api", lambda host: api)
    told = ["image pairlab/manage:dev", "image sha256:2", "image sha256:3"]
    assert objects.leftovers() == told
    assert objects.sweep(lambda line: None) == told
    assert api.images.call_args.kwargs == {"filters": {"label": labels}}
    assert api.remove_image.call_args_list == [call(each["Id"], force=True) for each in SNAPSHOTS]
