"""Advice: each rule for itself, the answer that reasons add up to, and what emulated VMs may not decide."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from pairlab.differences import Need, Row, SummaryCell
from pairlab.errors import UsageError
from pairlab.model import SideName
from pairlab.report.advice import FIELDS, Requirements, Weight, advise, ask, parse, rules
from pairlab.report.advice.reasons import Reason, Ruling
from pairlab.report.advice_terminal import show_advice
from pairlab.report.summary import Summary, Yield, summarise
from pairlab.results import Figure, Finding, RunResult, Variant
from tests.hostile_texts import TERMINAL, hostile
from tests.report_worlds import patch_result, small_result

VM, CONTAINER = SideName.VM, SideName.CONTAINER
MIB = 1024.0**2
NOTHING = summarise([])
UNITS: dict[str, Figure] = {
    unit: Figure(
        key="x", title=f"amount in {unit}", unit=unit, method="As the test says it is.", better=better
    )
    for unit, better in (("s", "lower"), ("ms", "lower"), ("B", "lower"), ("%", "higher"))
}  # type: ignore[arg-type]


def figures_of(
    need: Need, vm: list[float], container: list[float], *, unit: str = "s", accelerator: str = "kvm"
) -> Summary:
    """What was measured: one figure that bears on a requirement."""
    cell = SummaryCell(row=Row.START, figure="x", need=need)
    sides = {VM: vm, CONTAINER: container}
    result = small_result("measure", cell, UNITS[unit], sides, accelerator=accelerator)
    return summarise([Yield("measure", [cell], result)])


def findings_of(need: Need, vm: str, container: str, *, accelerator: str = "kvm") -> Summary:
    """What was found: a verdict for each side."""
    cell = SummaryCell(row=Row.ISOLATION, question="and?", need=need)
    found = [
        Finding(variant=side, repetition=0, question="and?", answer="it was seen", verdict=verdict)  # type: ignore[arg-type]
        for side, verdict in ((VM, vm), (CONTAINER, container))
    ]
    variants = [Variant(key=side, title=f"the {side}", side=side) for side in SideName]
    empty = {"samples": [], "timelines": [], "conclusions": [], "figures": []}
    update: dict[str, Any] = {**empty, "findings": found, "variants": variants, "summary": [cell]}
    result = patch_result(accelerator=accelerator).model_copy(update={**update, "exercise": "look"})
    return summarise([Yield("look", [cell], result)])


def only(ruling: Ruling) -> Reason:
    (reason,) = ruling.reasons
    assert reason.bases
    assert reason.changed_by
    return reason


# Rules


@pytest.mark.parametrize(
    ("topic", "rule", "source"),
    [
        ("kernel", rules.kernel, "NIST SP 800-190"),
        ("tenants", rules.tenants, "NIST SP 800-190"),
        ("modules", rules.modules, "capabilities(7)"),
    ],
)
def test_what_needs_a_kernel_of_its_own_needs_a_vm(
    topic: Need, rule: Callable[[Requirements, Summary], Ruling], source: str
) -> None:
    ruling = rule(Requirements(), NOTHING)
    reason = only(ruling)
    assert (reason.topic, reason.towards, reason.weight) == (topic, VM, Weight.MUST)
    assert [basis.kind for basis in reason.bases] == ["cited"]
    assert source in reason.bases[0].source
    assert "nothing was measured here" in ruling.gaps[0].text
    measured = rule(Requirements(), findings_of(topic, "yes", "cannot"))
    assert [basis.kind for basis in only(measured).bases] == ["cited", "measured", "measured"]
    assert only(measured).bases[1].accelerator == "kvm"
    assert only(measured).bases[2].text == "and?, the container: ⊘ cannot: it was seen"
    assert measured.gaps == ()


@pytest.mark.parametrize(
    ("vm", "container", "towards", "weight", "told"),
    [
        ([3, 4, 5], [0.1, 0.2, 0.3], CONTAINER, Weight.MUST, "VMs do not in any"),
        ([0.1, 0.2, 0.3], [3, 4, 5], VM, Weight.MUST, "containers do not in any"),
        ([1, 1, 2], [0.1, 0.2, 0.3], None, Weight.PREFER, "VMs manage it in every sample"),
        ([3, 4, 5], [3, 4, 5], None, Weight.PREFER, "VMs do not in any; containers do not in any"),
        ([1, 2, 3], [0.1, 0.2, 0.3], CONTAINER, Weight.PREFER, "of VMs it is not known"),
        ([3, 4, 5], [1, 2, 3], CONTAINER, Weight.PREFER, "VMs do not in any; of containers it is not known"),
        ([1, 2], [0.1, 0.2, 0.3], CONTAINER, Weight.PREFER, "of VMs it is not known"),
    ],
)  # fmt: skip
def test_a_limit_is_held_against_every_sample(
    vm: list[float], container: list[float], towards: SideName | None, weight: Weight, told: str
) -> None:
    for rule, required in (
        (rules.start, Requirements(start_within_s=2)),
        (rules.patch, Requirements(patch_within_s=2)),
    ):
        ruling = rule(required, figures_of(rule.__name__, vm, container))  # type: ignore[arg-type]
        reason = only(ruling)
        assert (reason.towards, reason.weight) == (towards, weight)
        assert told in reason.text
        assert all(basis.kind == "measured" for basis in reason.bases)
        assert len(ruling.gaps) == told.count("not known")


def test_a_limit_of_which_nothing_is_known_gives_no_reason() -> None:
    for summary in (NOTHING, figures_of("start", [1, 2, 3], [1, 2, 3])):
        ruling = rules.start(Requirements(start_within_s=2), summary)
        assert ruling.reasons == ()
        assert len(ruling.gaps) == 2


def test_a_limit_says_which_other_one_would_do() -> None:
    ruling = rules.start(Requirements(start_within_s=2), figures_of("start", [3, 4, 5], [0.1, 0.2, 0.3]))
    assert only(ruling).changed_by == "5.00\u00a0s or more for VMs, which is what they took here at best"
    assert [basis.text for basis in only(ruling).bases] == [
        "amount in s, the container: 0.200\u00a0s [0.100–0.300], n 3",
        "amount in s, the vm: 4.00\u00a0s [3.00–5.00], n 3",
    ]


def test_a_limit_is_held_against_what_its_exercise_measures_today() -> None:
    result = patch_result()
    later = [SummaryCell(row=Row.PATCHING, figure="patched-in-all", need="patch")]
    ruling = rules.patch(Requirements(patch_within_s=30), summarise([Yield("patch", later, result)]))
    assert ruling.reasons == ()
    assert [gap.text for gap in ruling.gaps] == [
        "nothing was measured of VMs",
        "nothing was measured of containers",
    ]
    assert {gap.next_step for gap in ruling.gaps} == {"`invoke exercise.run patch`"}


def test_milliseconds_are_compared_with_seconds_and_other_units_with_nothing() -> None:
    required = Requirements(start_within_s=2)
    assert only(rules.start(required, figures_of("start", [900] * 3, [1900] * 3, unit="ms"))).towards is None
    assert rules.start(required, figures_of("start", [1] * 3, [1] * 3, unit="%")).reasons == ()


def test_memory_counts_every_instance() -> None:
    summary = figures_of("memory", [100 * MIB] * 3, [5 * MIB] * 3, unit="B")
    ruling = rules.memory(Requirements(instances=20, memory_mib=1024), summary)
    assert only(ruling).towards is CONTAINER
    assert only(ruling).changed_by.startswith("1.95\u00a0GiB or more for VMs")
    assert only(rules.memory(Requirements(instances=10, memory_mib=1024), summary)).towards is None


@pytest.mark.parametrize("vm", [[3.0, 4, 5], [0.1, 0.2, 0.3]])
def test_no_limit_is_held_against_emulated_vms(vm: list[float]) -> None:
    for rule, required in (
        (rules.start, Requirements(start_within_s=2)),
        (rules.patch, Requirements(patch_within_s=2)),
    ):
        summary = figures_of(rule.__name__, vm, [0.1, 0.2, 0.3], accelerator="tcg")  # type: ignore[arg-type]
        ruling = rule(required, summary)
        assert only(ruling).towards is CONTAINER
        assert only(ruling).weight is Weight.PREFER
        assert all("container" in basis.text for basis in only(ruling).bases)
        (gap,) = ruling.gaps
        assert "says nothing of hardware virtualisation" in gap.text
        assert gap.text.endswith(" emulated")
        assert gap.next_step == "`invoke exercise.run measure` on a host where VMs run by kvm"


def test_an_unknown_start_of_vms_is_told_beside_a_published_figure_that_decides_nothing() -> None:
    gaps = rules.start(Requirements(start_within_s=2), NOTHING).gaps
    assert [[basis.source for basis in gap.bases] for gap in gaps] == [["Firecracker, SPECIFICATION.md"], []]


def test_a_gpu_is_shared_by_containers() -> None:
    reason = only(rules.compute(Requirements(compute="gpu"), NOTHING))
    assert (reason.towards, reason.weight) == (CONTAINER, Weight.PREFER)
    assert {basis.kind for basis in reason.bases} == {"cited"}


def test_hpc_rests_on_the_overhead_measured_here_and_else_on_a_publication() -> None:
    hpc = Requirements(compute="hpc")
    cited = rules.compute(hpc, NOTHING)
    assert only(cited).towards is CONTAINER
    assert "Felter et al." in only(cited).bases[0].source
    assert len(cited.gaps) == 1
    for vm, container, towards in (
        ([90.0, 91, 92], [98.0, 99, 100], CONTAINER),  # of a figure of which more is better
        ([98.0, 99, 100], [90.0, 91, 92], VM),
        ([90.0, 95, 99], [94.0, 96, 98], None),
    ):
        ruling = rules.compute(hpc, figures_of("compute", vm, container, unit="%"))
        assert only(ruling).towards is towards
        assert {basis.kind for basis in only(ruling).bases} == {"measured"}
        assert ruling.gaps == ()
    assert only(rules.compute(hpc, figures_of("compute", [2, 2, 2], [1, 1, 1]))).towards is CONTAINER


def test_the_overhead_of_emulated_vms_decides_nothing() -> None:
    summary = figures_of("compute", [1, 1, 1], [2, 2, 2], accelerator="tcg")
    ruling = rules.compute(Requirements(compute="hpc"), summary)
    assert only(ruling).towards is CONTAINER
    assert {basis.kind for basis in only(ruling).bases} == {"cited"}
    assert "says nothing of hardware virtualisation" in ruling.gaps[0].text


def test_state_inside_speaks_for_vms_unless_found_otherwise_here() -> None:
    cited = rules.state(Requirements(), NOTHING)
    assert (only(cited).towards, only(cited).weight, len(cited.gaps)) == (VM, Weight.PREFER, 1)
    found = rules.state(Requirements(), findings_of("state", "yes", "no", accelerator="tcg"))
    assert only(found).towards is VM
    assert [basis.accelerator for basis in only(found).bases] == ["", "", "emulated", ""]
    assert found.gaps == ()
    assert only(rules.state(Requirements(), findings_of("state", "no", "yes"))).towards is None


def test_skills_decide_only_where_nothing_else_does() -> None:
    assert only(rules.skills(Requirements(skills="vm"), NOTHING)).towards is VM
    assert only(rules.skills(Requirements(skills="container"), NOTHING)).weight is Weight.HABIT
    assert rules.skills(Requirements(skills="both"), NOTHING) == Ruling()
    assert advise(Requirements(skills="vm"), NOTHING).answer == "vm"
    assert advise(Requirements(skills="vm", compute="gpu"), NOTHING).answer == "container"


# The answer


@pytest.mark.parametrize(
    ("required", "answer"),
    [
        ({}, "undecided"),
        ({"other_kernel": True}, "vm"),
        ({"compute": "gpu"}, "container"),
        ({"untrusted_tenants": True, "compute": "hpc"}, "hybrid"),
        ({"own_state": True, "compute": "gpu"}, "hybrid"),
        ({"start_within_s": 1}, "undecided"),
        ({"skills": "both"}, "undecided"),
    ],
)
def test_reasons_add_up_to_an_answer(required: dict[str, Any], answer: str) -> None:
    advice = advise(Requirements(**required), NOTHING)
    assert advice.answer == answer
    assert advice.how


def test_both_says_what_goes_where() -> None:
    def how(**required: Any) -> str:
        return advise(Requirements(**required), NOTHING).how

    assert how(untrusted_tenants=True, compute="hpc", skills="container") == (
        "Containers inside VMs: VMs for tenants who do not trust each other;"
        " containers for high performance computing."
    )
    assert how(own_state=True, compute="gpu") == (
        "Containers and VMs side by side: VMs for state that instances keep inside; containers for a GPU."
    )


@pytest.mark.parametrize(
    ("seconds", "accelerator", "reason", "gap"),
    [
        ([0.5, 0.6, 0.7], "kvm", "Containers in VMs that run manage it in every sample.", ""),
        ([3, 4, 5], "kvm", "Containers in VMs that run do not in any.", ""),
        ([0.5, 0.6, 0.7], "tcg", "", "containers in VMs that run were measured by software emulation only"),
        ([0.5], "kvm", "", "the samples of containers in VMs that run are of too few repetitions"),
        ([], "kvm", "", "nothing was measured of containers in VMs that run"),
    ],
)
def test_containers_inside_vms_are_held_against_a_limit_by_what_was_measured_of_them(
    seconds: list[float], accelerator: str, reason: str, gap: str
) -> None:
    required = Requirements(untrusted_tenants=True, compute="gpu", start_within_s=2)
    other = SummaryCell(row=Row.HYBRID, figure="x", variants=["container"])
    cells = [other, SummaryCell(row=Row.HYBRID, figure="x", variants=["vm"], need="start-inside")]
    sides = {VM: seconds, CONTAINER: [9, 9, 9]}
    result = small_result("nest", other, UNITS["s"], sides, accelerator=accelerator)
    result = result.model_copy(update={"summary": cells})
    advice = advise(required, summarise([Yield("nest", cells, result)]))
    assert advice.how.startswith("Containers inside VMs")
    told = [each for each in advice.reasons if each.topic == "start"]
    assert [(each.text, each.towards) for each in told] == ([(reason, None)] if reason else [])
    assert all("the vm" in basis.text for each in told for basis in each.bases)
    (*_, unknown) = [each for each in advice.gaps if each.topic == "start"]
    assert unknown.text.startswith(gap or "nothing was measured of containers")
    assert unknown.next_step.startswith("`invoke exercise.run nest`") is bool(gap)
    fitting = advise(Requirements(untrusted_tenants=True, compute="gpu", instances=9, memory_mib=9), NOTHING)
    assert "containers with a VM each" in fitting.gaps[-1].text
    apart = advise(required.model_copy(update={"compute": ""}), summarise([Yield("nest", cells, result)]))
    assert not [each for each in apart.reasons if each.topic == "start"]


def test_what_would_change_the_answer_is_told() -> None:
    advice = advise(Requirements(untrusted_tenants=True, own_state=True, compute="gpu"), NOTHING)
    assert advice.answer == "hybrid"
    assert {what_if.topic: what_if.answer for what_if in advice.what_ifs} == {"compute": "vm"}
    alone = advise(Requirements(compute="gpu"), NOTHING)
    assert [(what_if.told, what_if.answer) for what_if in alone.what_ifs] == [("a GPU", "undecided")]


def test_reasons_that_decide_come_first() -> None:
    summary = figures_of("start", [1, 1, 1], [1, 1, 1])
    required = Requirements(start_within_s=2, skills="vm", own_state=True, kernel_modules=True)
    assert [reason.topic for reason in advise(required, summary).reasons] == [
        "modules", "state", "skills", "start"
    ]  # fmt: skip


def test_every_reason_of_a_real_result_is_measured_or_cited() -> None:
    everything = Requirements(
        other_kernel=True, untrusted_tenants=True, start_within_s=1, instances=5, memory_mib=100,
        kernel_modules=True, compute="gpu", patch_within_s=30, own_state=True, skills="container",
    )  # fmt: skip
    assert everything.given() == list(FIELDS) == list(rules.RULES)
    result = patch_result()
    advice = advise(everything, summarise([Yield("patch", result.summary, result)]))
    assert {reason.topic for reason in advice.reasons} == set(FIELDS) - {"start", "memory"}
    assert all(basis.source for reason in advice.reasons for basis in reason.bases)
    assert any(basis.source == "patch, 24 Nov 2026, 21:15 UTC" for r in advice.reasons for basis in r.bases)
    assert all(
        basis.accelerator != "emulated" for r in advice.reasons if r.topic == "patch" for basis in r.bases
    )


# Requirements


def test_what_was_typed_is_read() -> None:
    required = parse({"other_kernel": "y", "start_within_s": "2.5", "instances": "50", "memory_mib": "1024"})
    assert required == Requirements(other_kernel=True, start_within_s=2.5, instances=50, memory_mib=1024)
    assert required.given() == ["kernel", "start", "memory"]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"start_within_s": "soon"}, "--start-within-s cannot be 'soon'"),
        ({"start_within_s": "-1"}, "greater than 0"),
        ({"start_within_s": "inf"}, "finite"),
        ({"instances": "1.5", "memory_mib": "1"}, "--instances cannot be '1.5'"),
        ({"compute": "fpga"}, "'gpu' or 'hpc'"),
        ({"instances": "5"}, "belong together"),
        ({"memory_mib": "5"}, "belong together"),
    ],
)
def test_what_makes_no_sense_is_refused(answers: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        parse(answers)


def asked(*typed: str) -> tuple[dict[str, str], list[str], list[str]]:
    words: Iterator[str] = iter(typed)
    prompts: list[str] = []
    told: list[str] = []

    def read(prompt: str) -> str:
        prompts.append(prompt)
        return next(words) + "\n"

    answers = ask(read, told.append)
    assert next(words, None) is None
    return answers, prompts, told


def test_every_question_is_asked_and_enter_means_no_matter() -> None:
    answers, prompts, _ = asked(*[""] * 9)
    assert answers == {}
    assert len({*prompts}) == len(Requirements.model_fields) - 1  # memory only where instances were told
    assert all("?" in prompt for prompt in prompts)


def test_a_wrong_answer_is_asked_for_again() -> None:
    answers, prompts, told = asked("maybe", "y", "", "2", "50", "", "1024", "", "", "", "", "vm")
    assert answers == {
        "other_kernel": "y", "start_within_s": "2", "instances": "50", "memory_mib": "1024", "skills": "vm"
    }  # fmt: skip
    assert prompts[0] == prompts[1]
    assert "valid boolean" in told[1]
    assert parse(answers).instances == 50


def test_the_end_of_what_is_typed_ends_the_questions() -> None:
    with pytest.raises(UsageError, match="the questions were not answered"):
        ask(lambda _: "", lambda _: None)


# Showing


def shown(result: RunResult, required: Requirements, width: int = 100) -> str:
    file = io.StringIO()
    advice = advise(required, summarise([Yield(result.exercise, result.summary, result)]))
    show_advice(advice, console=Console(file=file, width=width, highlight=False))
    return file.getvalue()


def test_the_terminal_tells_all_of_it() -> None:
    required = Requirements(patch_within_s=30, own_state=True, untrusted_tenants=True)
    text = shown(patch_result(), required)
    assert text.startswith("advice: both")
    assert max(map(len, text.splitlines())) <= 100
    words = re.sub(r"\s+", " ", text)
    for told in (
        "for VMs, the other side cannot (tenants who do not trust each other): ",
        "(NIST SP 800-190, Application Container Security Guide, 2017, section 3.5.2)",
        "emulated (patch, 24 Nov 2026, 21:15 UTC)",
        "changed by: state in volumes",
        "next: `invoke exercise.run patch` on a host where VMs run by kvm",
        "without an update that is everywhere within 30 s: virtual machines",
        "say nothing of hardware virtualisation",
    ):
        assert told in words


def test_no_text_of_a_result_steers_the_terminal() -> None:
    result, _ = hostile(TERMINAL)
    assert "\x1b" not in shown(result, Requirements(patch_within_s=30, own_state=True))


def test_json_has_the_reasons_and_the_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    show_advice(advise(Requirements(compute="gpu"), NOTHING), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["answer"] == "container"
    assert document["required"]["compute"] == "gpu"
    assert document["reasons"][0]["bases"][0]["kind"] == "cited"
