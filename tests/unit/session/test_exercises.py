"""Which exercises a command line means, who may run them, and what the terminal says of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.context import Context

from pairlab import exercise
from pairlab.errors import ConflictError, ExerciseError, UsageError
from pairlab.report import terminal
from pairlab.result_files import write_result
from pairlab.session import host, measured
from pairlab.session.course import Ended, Ran
from pairlab.session.exclusive import removing_images, running_exercises
from pairlab.session.exercises import Listed, check, chosen, list_exercises, run
from pairlab.session.forecast import read_past
from pairlab.session.images import prune_images
from pairlab.session.reports import results_dir
from pairlab.session.workbench import Workbench
from tasks import down, run_exercise
from tests.report_worlds import cut_short, patch_result


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PAIRLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")


def test_names_are_separated_by_commas_and_must_exist() -> None:
    assert chosen("patch, scale", every=False) == ["patch", "scale"]
    assert {"patch", "scale"} < {*chosen("", every=True)}
    for wrong, told in (("", "no exercise was named"), ("patsch", "'patsch'"), ("patch,patch", "twice")):
        with pytest.raises(UsageError, match=told):
            chosen(wrong, every=False)
    with pytest.raises(UsageError, match="patch and --all exclude each other"):
        chosen("patch", every=True)


def test_two_commands_do_not_run_exercises_on_one_lab() -> None:
    bench = Workbench(lambda _: None)
    with running_exercises("trial"):
        with pytest.raises(ConflictError, match=r"process \d+ runs exercises on lab 'trial'"):
            run(bench, ["stack"], "trial")
        with pytest.raises(UsageError, match="there is no lab 'other'"):
            run(bench, ["stack"], "other")
    with pytest.raises(UsageError, match="there is no lab 'trial'"):
        run(bench, ["stack"], "trial")


def test_images_are_not_removed_while_exercises_run_on_any_lab(tmp_path: Path) -> None:
    bench = Workbench(lambda _: None, cache=tmp_path / "cache")
    kept_out = pytest.raises(ConflictError, match=r"process \d+ runs exercises on lab '(one|two)'")
    with running_exercises("one"), running_exercises("two"), kept_out:
        prune_images(bench)
    with removing_images():
        with pytest.raises(ConflictError, match=r"process \d+ removes images"):
            run(bench, ["stack"], "one")
        with pytest.raises(ConflictError, match=r"process \d+ removes images"):
            prune_images(bench)
    assert prune_images(bench) == []


def test_a_process_that_dies_keeps_nobody_out() -> None:
    program = (
        "import os\nfrom pairlab.session.exclusive import running_exercises\n"
        "with running_exercises('trial'):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    with removing_images():
        pass


def test_a_lab_that_cannot_be_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'a/b'"):
        run(Workbench(lambda _: None), ["stack"], "a/b")


def test_every_exercise_is_run_in_the_order_of_the_course() -> None:
    every = chosen("", every=True)
    assert {*every} == {*exercise.names()}
    assert every.index("stack") == 0
    assert every.index("isolation") < every.index("startup") < every.index("patch") < every.index("hybrid")
    assert [each.name for each in list_exercises()] == every
    assert chosen("scale, patch", every=False) == ["scale", "patch"]


def test_with_all_the_short_ones_alone_are_repeated_as_often_as_a_claim_needs() -> None:
    every = exercise.names()
    repeated = [name for name in every if exercise.usual_repetitions(name, every) > 1]
    assert repeated == ["manage", "stack"]
    assert exercise.usual_repetitions("overhead", ["overhead", "stack"]) == 3


def test_nothing_to_resume_is_told_before_a_lab_is_touched() -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        run(Workbench(lambda _: None), ["stack"], "trial", resume=True, ephemeral=True)


def test_what_cannot_be_run_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(host, "setup", lambda *_, **__: pytest.fail("the host is set up"))
    for words, told in (
        ({"lab": "../x"}, "'../x' cannot name a lab"),
        ({"out": f"{tmp_path}/file/results"}, f"{tmp_path}/file is not a directory"),
        ({"repeat": "101"}, "101 repetitions are not possible"),
        ({"names": "patsch"}, "'patsch'"),
    ):
        with pytest.raises(SystemExit) as ended:
            run_exercise.body(Context(), **{"names": "stack", "ephemeral": True, **words})
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="may not be written"):
        check("trial")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lab_name_is_refused_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        down.body(Context(), lab="../x")
    assert "'../x' cannot name a lab" in capsys.readouterr().err


def terminal_words(ran: Ran, capsys: pytest.CaptureFixture[str], out: str = "") -> list[str]:
    capsys.readouterr()
    terminal.show_run(ran, out, as_json=False)
    return capsys.readouterr().out.split()


def test_the_list_tells_what_each_and_all_take(capsys: pytest.CaptureFixture[str]) -> None:
    write_result(patch_result(), results_dir() / "20261124T211500Z-patch.json")
    write_result(cut_short(patch_result()), results_dir() / "20261125T211500Z-patch.json")
    listed = {each.name: each for each in list_exercises()}
    patch = listed.pop("patch")
    assert patch.minutes is not None
    assert patch.minutes_in_all == pytest.approx(patch.minutes / exercise.load("patch").repeat)
    assert patch.elsewhere == ""
    kept = {past.exercise: past for past in read_past([measured.FOLDER])}
    for name, other in listed.items():
        assert other.elsewhere == kept[name].accelerator
        each_s = kept[name].took_s / kept[name].repetitions
        assert other.minutes == pytest.approx(each_s * exercise.load(name).repeat / 60)
    terminal.show_exercises(
        [Listed("patch", "How?", "Updates", 21.25, 7.25), Listed("scale", "How fast?", "Scaling", 0.5, 0.5)],
        as_json=False,
    )
    text = capsys.readouterr().out
    assert re.search(r"patch +How\? +Updates +21\smin\s15\ss", text)
    assert re.search(r"--all takes about 7\smin\s45\ss, for all\n$", text)
    far = Listed("scale", "How fast?", "Scaling", 0.5, 0.5, elsewhere="kvm")
    terminal.show_exercises([far], as_json=False)
    assert re.search(
        r"30\ss\*\n.*\* as it took on another machine, with VMs by kvm; ", capsys.readouterr().out, re.S
    )
    new = Listed("scale", "How fast?", "Scaling", None, None)
    terminal.show_exercises([Listed("patch", "How?", "Updates", 21.25, 7.25), new], as_json=False)
    assert "for all but scale, which did not run to their end yet" in capsys.readouterr().out
    terminal.show_exercises([new], as_json=False)
    assert "--all" not in capsys.readouterr().out


def test_in_the_end_it_is_told_what_became_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, failed = tmp_path / "20261124T211500Z-patch.json", tmp_path / "20261124T221500Z-scale.json"
    write_result(patch_result(), done)
    write_result(cut_short(patch_result()), failed)
    cause = ExerciseError("vm/1 never answered", hint="look at its console")
    became = [Ended("patch", done, was_complete=True), Ended("scale", failed, failure=cause),
              Ended("stack", None, failure=cause)]  # fmt: skip
    ran = Ran("20261124T211500Z-dev", became)
    terminal.show_run(ran, as_json=False)
    lines = [re.sub(r"\s+", " ", line) for line in capsys.readouterr().out.splitlines()[-5:]]
    assert lines[0].strip() == "exercise state took result"
    assert lines[1].startswith("patch complete before, not run again 21 min 14 s 20261124T211500Z-patch.json")
    assert lines[2].startswith("scale vm/1 never answered 20261124T221500Z-scale.json")
    assert lines[3].startswith("stack vm/1 never answered –")
    assert "report.html --set 20261124T211500Z-dev" in lines[4]
    assert f"--result {done.name}`" in " ".join(terminal_words(ran, capsys))
    elsewhere = terminal_words(ran, capsys, f"{tmp_path} 2")
    assert f"report.html --set '{tmp_path} 2'`" in " ".join(elsewhere)
    assert f"report.html --result {done}`" in " ".join(elsewhere)
    terminal.show_run(ran, as_json=True)
    assert [each["exercise"] for each in json.loads(capsys.readouterr().out)] == ["patch"]
    terminal.show_run(Ran("x", [Ended("patch", done)]), as_json=False)
    assert "state" not in capsys.readouterr().out.splitlines()[-1]
