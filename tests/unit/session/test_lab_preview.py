"""What is shown of a lab before anything is made, and what that may not get unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import EngineError
from pairlab.model import Accelerator, ContainerImage, LabSpec, Settings, lab_dir, placeholder_spec
from pairlab.session import lab as labs
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory, on a host without a Pulumi CLI."""
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    return tmp_path


class Bench:
    """An engine that keeps what it is shown, beside an image cache that is empty."""

    runner = None

    def engine(self, _: Settings) -> Any:
        return SimpleNamespace(preview=lambda _, program, progress: program())

    def images_for(self, _: Settings) -> Any:
        return SimpleNamespace(planned_front_door=lambda: ContainerImage.unbuilt("front-door"))


@pytest.mark.parametrize(
    ("chosen", "shown"), [("tcg", Accelerator.TCG), ("kvm", Accelerator.KVM), ("auto", Accelerator.KVM)]
)
def test_another_accelerator_is_shown_and_that_of_the_last_time_only_where_none_is_chosen(
    chosen: str, shown: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: list[LabSpec] = []
    stack = SimpleNamespace(tiers=lambda *_: [], declare=declared.append)
    monkeypatch.setattr(labs, "load_stack", lambda _: stack)
    before = placeholder_spec("dev", Settings(), lambda *_: [])
    monkeypatch.setattr(labs, "ensure_keys", lambda *_: before.keys)
    lab_dir("dev").mkdir(parents=True)
    record_spec(replace(before, accelerator=Accelerator.KVM), [])
    labs.preview(cast(Workbench, Bench()), "dev", {"accelerator": chosen})
    assert [spec.accelerator for spec in declared] == [shown]


def test_no_pulumi_cli_is_got_unasked(state: Path) -> None:
    bench = Workbench(lambda _: None, cache=state / "cache")
    commands: list[Callable[[], object]] = [
        lambda: labs.preview(bench, "dev", {}),
        lambda: labs.unlock(bench, "dev", lambda _: True),
        lambda: labs.down(bench, "dev"),
    ]
    for run in commands:
        with pytest.raises(EngineError, match="there is no Pulumi CLI") as refused:
            run()
        assert "lab.setup" in refused.value.hint
    assert not (state / "cache" / "pulumi").exists()


def test_labs_in_files_are_listed_without_a_pulumi_cli(state: Path) -> None:
    bench = Workbench(lambda _: None, cache=state / "cache")
    assert labs.labs(bench) == []
    stacks = state / "pulumi/.pulumi/stacks/pairlab"
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text("{}")
    assert labs.labs(bench) == ["dev"]
