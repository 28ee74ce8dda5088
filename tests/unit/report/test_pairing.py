"""Two results of one exercise side by side: what may be said of them, and what may not be compared."""

from __future__ import annotations

import io
import json
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from pairlab.differences import Row, SummaryCell
from pairlab.errors import UsageError
from pairlab.model import SideName
from pairlab.report.pairing import Pair, Pairing, pair, pair_sets
from pairlab.report.pairing_terminal import show_comparison, show_pairing
from pairlab.results import Figure, Finding, RunResult
from tests.hostile_texts import TERMINAL, hostile
from tests.report_worlds import cut_short, patch_result, small_result

VM, CONTAINER = SideName.VM, SideName.CONTAINER
READY = Figure(key="ready", title="ready to serve", unit="s", method="From the command to the first answer.")
START = SummaryCell(row=Row.START, figure="ready")


def startup(
    vm: list[float], container: list[float], accelerator: str = "kvm", figure: Figure = READY
) -> RunResult:
    return small_result("startup", START, figure, {VM: vm, CONTAINER: container}, accelerator=accelerator)


def pairs(a: RunResult, b: RunResult) -> dict[str, Pair]:
    return {each.variant: each for each in pair(a, b).pairs}


def terminal(pairing: Pairing, width: int = 100) -> str:
    file = io.StringIO()
    show_pairing(pairing, console=Console(file=file, width=width, highlight=False))
    return file.getvalue()


def markdown(pairing: Pairing, capsys: pytest.CaptureFixture[str]) -> str:
    show_pairing(pairing, markdown=True)
    return capsys.readouterr().out


def test_different_exercises_are_not_compared() -> None:
    with pytest.raises(UsageError, match="A is a result of patch, B of startup") as caught:
        pair(patch_result(), startup([1], [1]))
    assert "--exercise patch" in caught.value.hint


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ([1.0, 2, 3], [4.0, 5, 6], "2.50 times; less in A: the ranges are apart"),
        ([4.0, 5, 6], [1.0, 2, 3], "0.400 times; less in B: the ranges are apart"),
        ([1.0, 2, 3], [3.0, 4, 5], "2.00 times; no claim: the ranges overlap"),
        ([1.0, 2], [4.0, 5], "3.00 times; no claim: too few repetitions"),
        ([2.0, 2, 2], [2.0, 2], "equal"),
        ([0.0, 0, 0], [1.0, 1, 1], "less in A: the ranges are apart"),
        ([1.0], [], "only in A"),
        ([], [1.0], "only in B"),
    ],
)
def test_what_became_of_a_figure_is_claimed_only_where_samples_carry_it(
    a: list[float], b: list[float], told: str
) -> None:
    found = pairs(startup(a, a), startup(b, b))
    assert {each.change for each in found.values()} == {told}


def test_figures_of_vms_are_not_compared_across_accelerators() -> None:
    pairing = pair(startup([1, 2, 3], [1, 2, 3]), startup([7, 8, 9], [7, 8, 9], "tcg"))
    changes = {each.variant: each.change for each in pairing.pairs}
    assert changes["the vm"] == "not comparable: kvm in A, tcg in B"
    assert "less in A" in changes["the container"]
    assert [cell.mark for cell in pairing.pairs[0].cells] == ["kvm", "emulated"]
    assert pairing.notes[0] == "VMs ran by kvm in A and by tcg in B: their figures can not be compared."
    assert "say nothing of hardware virtualisation" in pairing.notes[1]


def test_two_runs_by_one_accelerator_are_compared_and_marked() -> None:
    emulated = startup([1, 2, 3], [1, 2, 3], "tcg")
    assert len(pair(emulated, emulated).notes) == 1
    assert pair(startup([1], [1]), startup([1], [1])).notes == ()


def test_what_has_another_unit_is_not_compared() -> None:
    other = startup([1000, 2000, 3000], [1, 2, 3], figure=READY.model_copy(update={"unit": "ms"}))
    found = pairs(startup([1, 2, 3], [1, 2, 3]), other)
    assert found["the vm"].change == "not comparable: the units differ"
    assert [cell.median.split("\u00a0")[1] for cell in found["the vm"].cells] == ["s", "ms"]


def test_what_only_one_of_them_measured_is_kept() -> None:
    a, b = patch_result(), patch_result()
    fewer = b.model_copy(
        update={"figures": b.figures[1:], "samples": [s for s in b.samples if s.figure != "patched-first"]}
    )
    for one, other, told in ((a, fewer, "only in A"), (fewer, a, "only in B")):
        changes = {each.change for each in pair(one, other).pairs if each.figure == "First instance patched"}
        assert changes == {told}


def test_other_verdicts_are_shown_and_equal_ones_counted() -> None:
    a = patch_result()
    changed = [
        f.model_copy(update={"verdict": "no", "answer": "it is lost"})
        if (f.question, f.variant) == ("Killed: which version comes back?", "vm-in-place")
        else f
        for f in a.findings
    ]
    new = Finding(
        variant="vm-rebuild", repetition=0, question="a new one?", answer="so it is", verdict="fact"
    )
    pairing = pair(a, a.model_copy(update={"findings": [*changed, new]}))
    assert [(each.question, each.variant) for each in pairing.disagreements] == [
        ("Killed: which version comes back?", "VM, package upgraded in place"),
        ("a new one?", "VM, rebuilt from a new image"),
    ]
    assert [[a.verdict for a in found] for found in pairing.disagreements[0].answers] == [["yes"], ["no"]]
    assert pairing.disagreements[1].answers[0] == ()
    assert pairing.agreed == len({(f.question, f.variant) for f in a.findings}) - 1


def test_what_differs_of_the_hosts_is_listed() -> None:
    a = patch_result()
    other = a.environment.model_copy(
        update={"cores": 8, "versions": {**a.environment.versions, "QEMU": "8.0", "Go": "1"}}
    )
    pairing = pair(a, a.model_copy(update={"environment": other}))
    assert pairing.surroundings == (
        ("logical CPUs", "2", "8"), ("program QEMU", "7.2.22", "8.0"), ("program Go", "–", "1")
    )  # fmt: skip
    assert pair(a, a).surroundings == ()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_is_cut_off_on_the_terminal(width: int) -> None:
    a, b = patch_result(), cut_short(patch_result(seed=9, accelerator="kvm"))
    text = terminal(pair(a, b), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = re.sub(r"\s+", " ", text)
    assert "INCOMPLETE: vm/1 never answered after its rebuild" in words
    for title in (*(f.title for f in a.figures), *(v.title for v in a.variants if "kernel" not in v.key)):
        assert {*title.split()} <= {*words.split(" ")} | {word.rstrip(",") for word in words.split(" ")}
    assert "All instances patched, lower is better" in words
    assert "(baseline)" in words
    assert "answers of the same verdict in both" in words


def test_markdown_has_whole_tables_whatever_the_texts(capsys: pytest.CaptureFixture[str]) -> None:
    attack = "| pipe | `code` <b>bold</b> "
    result, _ = hostile(attack)
    host = result.environment.model_copy(update={"cores": 8, "accelerator": "kvm"})
    findings = [finding.model_copy(update={"verdict": "fact"}) for finding in result.findings]
    other = result.model_copy(update={"environment": host, "findings": findings})
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(pair(result, other), capsys))
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 3
    assert kinds.count("th_open") == 5 + 4 + 3
    rows = kinds.count("tr_open") - 3
    pairing = pair(result, other)
    assert rows == len(pairing.pairs) + len(pairing.disagreements) + len(pairing.surroundings)
    assert not [token for token in tokens if token.type == "html_block"]


def test_no_text_of_a_result_steers_the_terminal() -> None:
    result, _ = hostile(TERMINAL)
    assert "\x1b" not in terminal(
        pair(result, patch_result().model_copy(update={"exercise": result.exercise})), 200
    )


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_pairing(pair(patch_result(), patch_result(seed=9)), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["exercise"] == "patch"
    assert len(document["pairs"]) == 6 * len(patch_result().figures)


def test_two_sets_are_compared_exercise_by_exercise(capsys: pytest.CaptureFixture[str]) -> None:
    def named(exercise: str) -> RunResult:
        return startup([1, 2, 3], [1, 2, 3]).model_copy(update={"exercise": exercise})

    found = pair_sets([named("scale"), named("patch"), named("stack")], [named("stack"), named("scale")])
    assert [pairing.exercise for pairing in found.pairings] == ["scale", "stack"]
    assert found.only == (("patch",), ())
    file = io.StringIO()
    show_comparison(found, console=Console(file=file, width=100, highlight=False))
    assert [file.getvalue().count(f"{name}: Startup") for name in ("scale", "stack", "patch")] == [1, 1, 0]
    assert file.getvalue().splitlines()[-1] == "only in A: patch"
    other_way = pair_sets([named("stack")], [named("*new*"), named("stack")])
    show_comparison(other_way, markdown=True)
    text = capsys.readouterr().out
    assert MarkdownIt("commonmark").enable("table").render(text).count("<table>") == 1
    assert text.rstrip().splitlines()[-1] == r"Only in B: \*new\*"
    show_comparison(found, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [pairing["exercise"] for pairing in document["pairings"]] == ["scale", "stack"]
    assert document["only"] == [["patch"], []]
    show_comparison(pair(named("scale"), named("scale")), as_json=True)
    assert json.loads(capsys.readouterr().out)["exercise"] == "scale"
    with pytest.raises(UsageError, match="A has results of scale, B of stack: none of the same exercise"):
        pair_sets([named("scale")], [named("stack")])
