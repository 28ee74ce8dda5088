"""Where other labs are found, from sides that answer from a table."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.errors import SideError
from pairlab.model import SideName
from pairlab.session import neighbours as found
from tests.unit.host.answering_runner import AnsweringRunner

INSIDE = "|-- 10.2.0.11\n   /32 host LOCAL\n|-- 10.0.1.5\n   /32 host LOCAL\n"


def route(argv: tuple[str, ...]) -> str:
    far = {"gateway": "192.0.2.1"} if argv[-1] == "10.0.1.5" else {}
    return json.dumps([{"dst": argv[-1], **far}])


HOST = AnsweringRunner(
    {"ip -json -4 address": '[{"addr_info": [{"local": "10.9.9.9"}]}]', "ip -json route get": route}
)


class Bench:
    """Gives halves of labs, of which only one is up."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def side(self, lab: str, half: SideName) -> Any:
        def runner(index: int) -> AnsweringRunner:
            if (lab, half) == ("three", SideName.VM):
                return AnsweringRunner({"cat /proc/net/fib_trie": INSIDE})
            raise SideError("it does not run", hint="start it")

        return SimpleNamespace(host=lambda: HOST, runner=runner, close=lambda: self.closed.append(lab))


def test_only_what_of_other_labs_is_up_and_near_is_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(settings=SimpleNamespace(stack="web"), keys=None, port=lambda half: 20901)
    tier = SimpleNamespace(front=True, workload=SimpleNamespace(port=80))
    monkeypatch.setattr(found, "known_labs", lambda: ["dev", "gone", "three"])
    monkeypatch.setattr(found, "load_spec", lambda name: None if name == "gone" else spec)
    monkeypatch.setattr(found, "load_stack", lambda name: None)
    monkeypatch.setattr(found, "tiers_of", lambda *_: [tier])
    bench: Any = Bench()
    assert found.neighbours(bench, "dev") == {
        "10.2.0.11:80": "vm/0 of three",
        "10.9.9.9:20901": "the front door of three's vm side",
    }
    assert bench.closed == ["three", "three"]
    assert found.neighbours(bench, "three") == {}
