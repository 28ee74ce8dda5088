"""What a look into a lab reads of its images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import ImageError
from pairlab.model import Settings, placeholder_spec
from pairlab.session import access
from pairlab.session.workbench import Workbench
from stacks.pair import tiers


def test_the_version_in_an_image_is_looked_up_once_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def manifest(image: str) -> dict[str, str]:
        asked.append(image)
        if image == "pruned":
            raise ImageError("there is no image pruned here", hint="look")
        return {"nginx": "9"}

    def read_status(*given: Any) -> list[str]:
        built_version = given[-1]
        return [built_version(image, "nginx") for image in ("vm", "pruned", "vm", "pruned", "vm")]

    images = SimpleNamespace(manifest=manifest)
    bench = SimpleNamespace(side=lambda *_: None, images_for=lambda _: images)
    monkeypatch.setattr(access, "known_spec", lambda lab: placeholder_spec(lab, Settings(), tiers))
    monkeypatch.setattr(access, "read_status", read_status)
    for _ in range(2):
        found = cast(Any, access.status(cast(Workbench, bench), "dev"))
        assert found == ["9", "", "9", "", "9"]
    assert asked == ["vm", "pruned"] * 2
