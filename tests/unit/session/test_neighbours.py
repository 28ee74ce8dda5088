"""Where other labs are found, from sides that answer from a table."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import SideError
from pairlab.model import Settings, SideName, check_lab_name, lab_dir, placeholder_spec
from pairlab.session import neighbours as found
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench
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
    with found.neighbours(bench, "dev", pytest.fail) as others:
        assert others == {
            "10.2.0.11:80": "vm/0 of three",
            "10.9.9.9:20901": "the front door of three's vm side",
        }
    assert bench.closed == ["three", "three"]


@pytest.mark.parametrize("lab", ["three", "a-lab-whose-name-is-the-longest"[:30]])
@pytest.mark.parametrize("failure", [None, SideError("it never answered", hint="wait")])
def test_where_no_other_lab_is_up_a_small_one_is_for_as_long_as_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lab: str, failure: SideError | None
) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    base = Settings(vms=3, replicas=3, vm_port=8081, subnet="10.99.0.0/24", vm_memory_mib=512)
    monkeypatch.setattr(found, "known_spec", lambda _: SimpleNamespace(settings=base))
    there, awaited = list[str](), list[str]()
    made: list[tuple[str, Settings]] = []

    def bring_up(_: Any, name: str, settings: Settings) -> None:
        there.append(name)
        made.append((name, settings))
        if failure:
            raise failure

    monkeypatch.setattr(found, "known_labs", lambda: [lab, *there])
    monkeypatch.setattr(found, "load_spec", lambda name: None)
    monkeypatch.setattr(found, "bring_up", bring_up)
    monkeypatch.setattr(found, "take_down", lambda _, name: there.remove(name))
    bench: Any = SimpleNamespace(progress=lambda _: None)
    with found.neighbours(bench, lab, awaited.append) as others:
        assert others == {}
        assert awaited == ([] if failure else there)
    assert there == []
    ((name, settings),) = made
    assert check_lab_name(name) != lab
    assert settings == Settings(vms=1, replicas=1, vm_memory_mib=512)


def test_a_lab_of_that_name_that_does_not_answer_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    lab_dir("dev-beside").mkdir(parents=True)
    record_spec(placeholder_spec("dev-beside", Settings(), lambda *_: []), [])
    monkeypatch.setattr(found, "others_up", lambda *_: {})
    monkeypatch.setattr(found, "take_down", pytest.fail)
    told: list[str] = []
    with found.neighbours(
        cast(Workbench, SimpleNamespace(progress=told.append)), "dev", pytest.fail
    ) as others:
        assert others == {}
    assert "invoke lab.down --lab dev-beside" in told[0]
