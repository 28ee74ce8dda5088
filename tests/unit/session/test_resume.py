"""Going on with what was interrupted: what is reused, what continues, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from course_worlds import SET, VARIANTS, Script, Trial

from pairlab.circumstances import RunSet
from pairlab.errors import ConflictError, ExerciseError, UsageError
from pairlab.report import comparison
from pairlab.result_files import read_result, result_files, write_result
from pairlab.session import resume
from pairlab.session.resume import Planned, plan

MakeTrial = Callable[[Script], Trial]
ALL = ["one", "two", "three"]


@pytest.fixture
def interrupted(trial: MakeTrial) -> Trial:
    """A trial in which `one` is complete, `two` was interrupted in its third repetition, `three` waits."""
    made = trial(Script({("two", 2): KeyboardInterrupt}))
    with pytest.raises(KeyboardInterrupt):
        made.run([Planned(name) for name in ALL])
    made.script.ran.clear()
    made.stage.done.clear()
    made.told.clear()
    return made


def only(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"*-{name}.json")
    return path


def test_only_what_is_missing_is_run(interrupted: Trial) -> None:
    run_set, planned = plan(interrupted.out, "trial", ALL, None)
    assert run_set == SET
    ran = interrupted.run(planned)
    assert interrupted.script.ran == [("two", 2), ("three", 0), ("three", 1), ("three", 2)]
    assert [(each.name, each.was_complete) for each in ran.ended] == [
        ("one", True), ("two", False), ("three", False)
    ]  # fmt: skip
    assert len(result_files([interrupted.out])) == 3
    assert all(read_result(path).run_set == SET for path in ran.paths)
    told = "\n".join(interrupted.told)
    assert "one: complete since" in told
    assert "not run again" in told
    assert "two: goes on with repetition 3 of 3" in told
    assert "three: not begun yet" in told


def test_an_unfinished_repetition_is_dropped_and_the_others_are_kept(interrupted: Trial) -> None:
    before = read_result(only(interrupted.out, "two"))
    assert [(s.repetition, s.variant) for s in before.samples][-1] == (2, VARIANTS[0].key)
    interrupted.run(plan(interrupted.out, "trial", ["two"], None)[1])
    after = read_result(only(interrupted.out, "two"))
    assert after.complete
    found = [(s.repetition, s.variant) for s in after.samples]
    assert found == [(number, variant.key) for number in range(3) for variant in VARIANTS]
    assert [c.text for c in after.conclusions] == ["6 samples"]
    assert len(after.findings) == 1  # what the preparation told is not told twice
    assert after.started == before.started
    assert [stretch.repetitions for stretch in after.stretches] == [2, 1]
    pause_s = (after.stretches[1].started - after.stretches[0].ended).total_seconds()
    assert "in 2 parts: it was interrupted" in comparison.extent(after)
    assert "parts" not in comparison.extent(read_result(only(interrupted.out, "one")))
    assert after.took_s == pytest.approx((after.ended - after.started).total_seconds() - pause_s)


def test_a_lab_that_stayed_up_is_put_back_before_it_goes_on(interrupted: Trial) -> None:
    interrupted.run(plan(interrupted.out, "trial", ALL, None)[1], ephemeral=False)
    assert interrupted.stage.done[0] == "restore"


def test_where_all_is_complete_nothing_is_run_and_no_lab_is_needed(interrupted: Trial) -> None:
    ran = interrupted.run(plan(interrupted.out, "trial", ["one"], None)[1])
    assert interrupted.stage.done == []
    assert [each.was_complete for each in ran.ended] == [True]
    ran.check()


def test_a_run_that_only_had_to_end_measures_nothing_again(trial: MakeTrial) -> None:
    made = trial(Script())
    (path,) = made.run([Planned("one")]).paths
    write_result(read_result(path).model_copy(update={"complete": False, "conclusions": []}), path)
    made.script.ran.clear()
    made.run(plan(made.out, "trial", ["one"], None)[1])
    assert made.script.ran == []
    assert read_result(path).complete


def test_without_a_finished_repetition_it_begins_anew_in_a_new_file(trial: MakeTrial) -> None:
    made = trial(Script({("one", 0): KeyboardInterrupt}))
    with pytest.raises(KeyboardInterrupt):
        made.run([Planned("one")])
    path = only(made.out, "one")
    path.rename(path.with_name("20200101T000000Z-one.json"))
    _, (planned,) = plan(made.out, "trial", ["one"], None)
    assert (planned.kept, "had not finished a repetition" in planned.told) == (None, True)
    made.run([planned])
    assert [read_result(each).complete for each in result_files([made.out])] == [False, True]


def test_an_exercise_that_measures_something_else_by_now_begins_anew(
    interrupted: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_result(only(interrupted.out, "one"))
    fewer = kept.model_copy(update={"variants": kept.variants[:1], "samples": [], "findings": []})
    write_result(fewer, only(interrupted.out, "one"))
    _, planned = plan(interrupted.out, "trial", ALL, None)
    assert "it measures something else" in planned[0].told
    assert planned[0].kept is None


def test_what_an_exercise_says_of_the_lab_in_its_titles_is_no_other_measurement(trial: MakeTrial) -> None:
    made = trial(Script())
    made.script.titled = "VM (tcg)"
    (path,) = made.run([Planned("one")]).paths
    assert {variant.title for variant in read_result(path).variants} == {"VM (tcg)"}
    _, (planned,) = plan(made.out, "trial", ["one"], None)
    assert planned.is_done


def test_with_nothing_to_resume_the_next_step_is_told(interrupted: Trial) -> None:
    for lab, names in (("trial", ["three"]), ("other", ALL)):
        with pytest.raises(UsageError, match="nothing to resume") as told:
            plan(interrupted.out, lab, names, None)
        assert told.value.hint == "leave --resume out to begin"


def test_the_set_with_most_of_what_is_asked_for_goes_on(interrupted: Trial) -> None:
    single = RunSet(id="20991125T020000Z-trial", exercises=["one"], repeat=None)
    kept = read_result(only(interrupted.out, "one")).model_copy(update={"run_set": single})
    write_result(kept, interrupted.out / "20991125T020000Z-one.json")
    assert plan(interrupted.out, "trial", ALL, None)[0] == SET
    assert plan(interrupted.out, "trial", ["one"], None)[0] == single


def test_other_repetitions_are_refused(interrupted: Trial) -> None:
    with pytest.raises(UsageError, match="--repeat 5 would mix") as told:
        plan(interrupted.out, "trial", ALL, 5)
    assert "leave --repeat out" in told.value.hint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kernel": "9.9"}, "kernel 6.18.44 then, 9.9 now"),
        ({"accelerator": "kvm"}, "accelerator tcg then, kvm now"),
        ({"images": {"web (vm)": "0123456789ab"}}, "web \\(vm\\) \\w+ then, 0123456789ab now"),
        ({"settings": {"vmCpus": "2"}}, "setting vmCpus nothing then, 2 now"),
        ({"cores": 64}, "cores 2 then, 64 now"),
    ],
)
def test_another_environment_is_refused_before_anything_runs(
    interrupted: Trial, changes: dict[str, object], told: str
) -> None:
    interrupted.stage.surroundings = interrupted.stage.surroundings.model_copy(update=changes)
    with pytest.raises(ConflictError, match=told) as refused:
        interrupted.run(plan(interrupted.out, "trial", ALL, None)[1])
    assert "leave --resume out" in refused.value.hint
    assert interrupted.stage.done == ["up", "down"]
    assert interrupted.script.ran == []


def test_another_load_is_no_other_environment(interrupted: Trial) -> None:
    busy = {"load_before": 7.0, "load_after": 8.0}
    interrupted.stage.surroundings = interrupted.stage.surroundings.model_copy(update=busy)
    assert len(interrupted.run(plan(interrupted.out, "trial", ALL, None)[1]).paths) == 3


def test_another_size_of_the_lab_is_refused(interrupted: Trial) -> None:
    _, planned = plan(interrupted.out, "trial", ALL, None)
    with pytest.raises(ConflictError, match="VMs 1 then, 3 now"):
        resume.check_same(planned, interrupted.stage.surroundings, 3, 1)


def test_something_else_to_work_on_is_refused(interrupted: Trial) -> None:
    interrupted.script.worked_on = "a newer update"
    with pytest.raises(ExerciseError, match="go on with something else: a newer update"):
        interrupted.run(plan(interrupted.out, "trial", ["two"], None)[1])
    kept = read_result(only(interrupted.out, "two"))
    assert (kept.finished, kept.subject, len(kept.samples)) == (2, "the same as ever", 4)
