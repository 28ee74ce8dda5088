"""The benchmarks' own means: figures, and what must be there or gone around a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import vagrant
from benchmarks.__main__ import names
from benchmarks._figures import Figure, print_figures
from benchmarks._trial import Trial
from pairlab.errors import CommandError, LabError
from pairlab.image.recipe import vm_recipe
from pairlab.run import Completed
from stacks.pair import WEB
from tests import cloud_image


class Virsh:
    """Answers listings with a host's objects, and removes what it is told to."""

    def __init__(self, **listed: list[str]) -> None:
        self.listed = listed
        self.removed: list[str] = []

    def run(self, argv: Sequence[str], **_: object) -> Completed:
        words = list(argv)[4:]
        kind = {"list": "domains", "net-list": "networks", "pool-list": "pools"}.get(words[0], "")
        if "undefine" in words[0]:
            self.removed.append(words[1])
        return Completed(tuple(argv), 0, "\n".join(self.listed.get(kind, [])), "")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setenv("PAIRLAB_STATE", "")
    monkeypatch.setattr(vagrant, "POOL", tmp_path / "pool")
    return Trial(tmp_path)


def test_each_module_without_an_underscore_is_a_benchmark() -> None:
    folder = Path(vagrant.__file__).parent
    assert names() == sorted(path.stem for path in folder.glob("[a-z]*.py"))


def test_a_figure_without_a_limit_is_shown_and_never_missed(capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure("a stock guest", [30.0, 40.0, 50.0], None, "ours", [10.0])
    assert figure.met
    print_figures([figure, Figure("too slow", [2.0], 1)])
    shown = capsys.readouterr().out.splitlines()
    assert "4.00" in shown[1]
    assert "NO" not in shown[1]
    assert "NO" in shown[2]


def test_the_guest_with_cloud_init_serves_the_same_and_owns_its_kernel() -> None:
    recipe, own = cloud_image.recipe(), vm_recipe(WEB)
    assert recipe.boots_itself
    assert {"cloud-init", *WEB.packages} <= set(recipe.packages)
    assert {path: recipe.files[path] for path in WEB.files} == {path: own.files[path] for path in WEB.files}
    assert not [path for path in recipe.files if "pairlab-seed" in path]


@pytest.mark.parametrize("answer", ["vagrant-share (2.0, global)", None])
def test_without_vagrant_its_packages_are_named(trial: Trial, answer: str | None) -> None:
    class Runner:
        def run(self, argv: Sequence[str], **_: object) -> Completed:
            if answer is None:
                raise CommandError("vagrant is not installed", hint="")
            return Completed(tuple(argv), 0, answer, "")

    trial.runner = Runner()  # type: ignore[assignment]
    with pytest.raises(LabError) as refused:
        next(vagrant.measure(trial))
    assert "vagrant and vagrant-libvirt" in refused.value.hint


def test_only_what_the_benchmark_made_is_cleared(trial: Trial) -> None:
    own = vagrant.NAME
    virsh = Virsh(
        domains=["pairlab-dev-vm-0", f"{own}-vm-0", f"{own}s-vm-0"],
        networks=["default", own],
        pools=["pairlab-dev", own],
    )
    trial.runner = virsh  # type: ignore[assignment]
    vagrant._clear(trial)
    assert virsh.removed == [f"{own}-vm-0", own, own]


def test_vagrants_seed_is_what_the_labs_guests_understand(tmp_path: Path) -> None:
    key, host_key = tmp_path / "key", tmp_path / "host_key"
    for path in (host_key, key.with_suffix(".pub"), host_key.with_suffix(".pub")):
        path.write_text(f"{path.name}\n")
    seed = vagrant._seed(0, key, host_key)
    assert b'name: "lab"' in seed
    assert b'- "key.pub"' in seed
