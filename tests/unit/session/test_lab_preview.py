"""What is shown of a lab before anything is made, and what that may not get unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import EngineError, UsageError
from pairlab.model import (
    Accelerator,
    ContainerImage,
    LabSpec,
    Settings,
    SshHostKey,
    VmImage,
    WorkloadImages,
    lab_dir,
    placeholder_spec,
)
from pairlab.session import host
from pairlab.session import lab as labs
from pairlab.session.exclusive import changing
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench
from stacks.pair import tiers


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
        return SimpleNamespace(
            planned_front_door=lambda: ContainerImage.unbuilt("front-door"),
            planned=lambda workload, boot: WorkloadImages(
                VmImage.unbuilt(owns_kernel=False), ContainerImage.unbuilt(workload.name)
            ),
        )


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
    lab_dir("dev").mkdir(parents=True)
    record_spec(replace(before, accelerator=Accelerator.KVM), [])
    labs.preview(cast(Workbench, Bench()), "dev", {"accelerator": chosen})
    assert [spec.accelerator for spec in declared] == [shown]


def test_a_host_that_is_new_is_shown_without_a_key_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[LabSpec] = []
    monkeypatch.setattr(labs, "load_stack", lambda _: SimpleNamespace(tiers=tiers, declare=declared.append))
    known = SshHostKey("ssh-ed25519 known", "private")
    before = placeholder_spec("dev", Settings(vms=1), tiers)
    lab_dir("dev").mkdir(parents=True)
    record_spec(replace(before, keys=replace(before.keys, hosts={"vm-0": known})), [])
    kept = {path: path.read_bytes() for path in lab_dir("dev").iterdir()}
    with changing("dev", "lab.up"):
        labs.preview(cast(Workbench, Bench()), "dev", {"vms": 2})
    assert declared[0].keys.hosts["vm-0"] == known
    assert "not-made-yet" in declared[0].keys.hosts["vm-1"].public
    assert {path: path.read_bytes() for path in lab_dir("dev").iterdir()} == kept


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


def test_the_pulumi_cli_alone_is_got_after_asking(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bool] = []
    monkeypatch.setattr(
        "pairlab.engine.cli.pulumi_cli", lambda *_, allow_install, **__: got.append(allow_install)
    )
    told: list[str] = []
    bench = Workbench(told.append, cache=state / "cache")
    with pytest.raises(UsageError, match="there is no Pulumi CLI"):
        host.get_cli(bench, lambda _: False)
    assert got == []
    assert "get the Pulumi CLI into" in told[-1]
    host.get_cli(bench, lambda _: True)
    assert got == [True]
    monkeypatch.setattr("pairlab.engine.cli.find_cli", lambda *_: "there")
    host.get_cli(bench, lambda _: pytest.fail("asked needlessly"))


def test_labs_in_files_are_listed_without_a_pulumi_cli(state: Path) -> None:
    bench = Workbench(lambda _: None, cache=state / "cache")
    assert labs.labs(bench) == []
    stacks = state / "pulumi/.pulumi/stacks/pairlab"
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text("{}")
    assert labs.labs(bench) == ["dev"]
