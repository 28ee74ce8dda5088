"""An instance that never answers: that is the error, whatever its console says or does not say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import SideError
from pairlab.model import Settings, placeholder_spec
from pairlab.session import readiness
from pairlab.session.workbench import Workbench
from stacks import pair

UNWATCHED = SideError(
    "pairlab-dev-vm-1 ran already and was not watched", hint="`invoke lab.console` shows it"
)


def test_consoles_are_told_as_far_as_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise SideError("vm/0 never answered", hint="look", details="503")

    def console_tail(index: int, *, tier: str) -> str:
        if index == 1:
            raise UNWATCHED
        return "kernel panic" if index == 0 else ""

    monkeypatch.setattr(readiness.sides, "await_all", never)
    settings = Settings(vms=3)
    spec = placeholder_spec("dev", settings, pair.tiers)
    tiers = pair.tiers("dev", settings, spec.keys)
    bench, side = SimpleNamespace(progress=print), SimpleNamespace(console_tail=console_tail)
    with pytest.raises(SideError, match="vm/0 never answered") as told:
        readiness.await_ready(cast(Workbench, bench), spec, tiers, cast(Any, side))
    assert told.value.details.splitlines() == [
        "503",
        "the end of vm/0's serial console:",
        "kernel panic",
        f"vm/1's serial console: {UNWATCHED.message}; {UNWATCHED.hint}",
        "vm/2's serial console is empty",
    ]
