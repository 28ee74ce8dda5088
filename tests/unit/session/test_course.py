"""Exercises one after the other: one that fails does not stop the rest, an interruption stops all."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from course_worlds import SET, Script, Trial

from pairlab import exercise
from pairlab.circumstances import RunSet
from pairlab.errors import ConflictError, EngineError, ExerciseError, LabError
from pairlab.result_files import read_result, result_files
from pairlab.session.resume import Planned

MakeTrial = Callable[[Script], Trial]
ALL = [Planned("one"), Planned("two"), Planned("three")]


def failure() -> LabError:
    return ExerciseError("the page was not served", hint="look at the log", details="502")


def test_one_that_fails_does_not_stop_the_rest_and_the_lab_is_put_back_between(trial: MakeTrial) -> None:
    made = trial(Script({("two", 1): failure}))
    ran = made.run(ALL)
    assert [each.name for each in ran.ended if each.failure] == ["two"]
    assert made.stage.done == ["up", "put back", "restore", "put back", "down"]
    assert [read_result(path).exercise for path in ran.paths] == ["one", "three"]
    (failed,) = [read_result(each.path) for each in ran.ended if each.failure and each.path]
    assert (failed.complete, failed.incomplete_reason) == (False, "the page was not served")
    assert (failed.finished, len(failed.samples)) == (1, 3)
    with pytest.raises(ExerciseError, match="1 of 3 exercises are not complete: two") as told:
        ran.check()
    assert "two: the page was not served" in told.value.details
    assert "502" in told.value.details
    assert "next: look at the log" in told.value.details
    assert "--resume" in told.value.hint


def test_a_long_one_is_done_once_where_every_exercise_is_run(
    trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [each.name for each in ALL]
    monkeypatch.setattr(exercise, "names", lambda: known)
    assert counts(trial(Script()), SET) == {"one": 3, "two": 1, "three": 3}
    assert counts(trial(Script()), SET.model_copy(update={"repeat": 2})) == {"one": 2, "two": 2, "three": 2}
    known.append("four")
    assert counts(trial(Script()), SET) == {"one": 3, "two": 3, "three": 3}


def counts(made: Trial, run_set: RunSet) -> dict[str, int]:
    made.run(ALL, run_set=run_set)
    return {each.name: sum(name == each.name for name, _ in made.script.ran) for each in ALL}


def test_after_the_last_one_nothing_needs_to_be_put_back(trial: MakeTrial) -> None:
    made = trial(Script({("three", 0): failure}))
    assert made.run(ALL).ended[2].failure is not None
    assert "restore" not in made.stage.done


def test_where_the_lab_cannot_be_put_back_the_rest_is_told_not_run(trial: MakeTrial) -> None:
    made = trial(Script({("one", 0): failure}))
    made.stage.broken = EngineError("the state is locked", hint="invoke lab.unlock")
    ran = made.run(ALL)
    assert made.script.ran == [("one", 0)]
    assert made.stage.done == ["up", "restore", "down"]
    assert [each.path is None for each in ran.ended] == [False, True, True]
    with pytest.raises(ExerciseError, match="3 of 3") as told:
        ran.check()
    assert told.value.details.count("could not be put back after one: the state is locked") == 2
    assert "invoke lab.unlock" in told.value.details


def test_a_fault_of_pairlab_itself_does_not_stop_the_rest_and_keeps_its_traceback(trial: MakeTrial) -> None:
    made = trial(Script({("one", 0): lambda: KeyError("lost")}))
    ran = made.run(ALL)
    assert [read_result(path).exercise for path in ran.paths] == ["two", "three"]
    with pytest.raises(ExerciseError) as told:
        ran.check()
    assert "KeyError: 'lost'" in told.value.details
    assert "course_worlds.py" in told.value.details


def test_a_single_one_fails_as_it_does_by_itself(trial: MakeTrial) -> None:
    made = trial(Script({("one", 0): failure}))
    with pytest.raises(ExerciseError, match="the page was not served") as told:
        made.run([Planned("one")])
    assert "what was measured is kept in" in told.value.details
    assert made.stage.done == ["up", "down"]


def test_an_interruption_stops_all_at_once_and_takes_an_ephemeral_lab_down(trial: MakeTrial) -> None:
    made = trial(Script({("two", 1): KeyboardInterrupt}))
    with pytest.raises(KeyboardInterrupt):
        made.run(ALL)
    assert made.stage.done == ["up", "put back", "down"]
    assert {name for name, _ in made.script.ran} == {"one", "two"}
    (kept,) = [read for path in result_files([made.out]) if not (read := read_result(path)).complete]
    assert (kept.exercise, kept.incomplete_reason, kept.finished) == ("two", "it was interrupted", 1)
    assert any("--resume goes on" in line for line in made.told)


def test_only_a_lab_that_this_run_made_is_taken_down(trial: MakeTrial) -> None:
    made = trial(Script())
    made.stage.taken = ConflictError("lab 'trial' is there already", hint="wait")
    with pytest.raises(ConflictError):
        made.run(ALL)
    assert made.stage.done == []
    made.stage.taken, made.stage.broken_up = None, failure()
    with pytest.raises(ExerciseError):
        made.run(ALL)
    assert made.stage.done == ["up", "down"]


def test_a_lab_that_was_up_before_stays_up(trial: MakeTrial) -> None:
    made = trial(Script())
    made.run(ALL, ephemeral=False)
    assert made.stage.done == ["put back"] * 3


def test_results_carry_their_set_and_how_long_they_were_at_work(trial: MakeTrial) -> None:
    made = trial(Script())
    results = [read_result(path) for path in made.run(ALL).paths]
    assert {result.run_set.id for result in results if result.run_set} == {"20261125T020000Z-trial"}
    for result in results:
        (stretch,) = result.stretches
        assert (stretch.repetitions, result.finished, result.repetitions) == (3, 3, 3)
        assert (stretch.started, stretch.ended) == (result.started, result.ended)


def test_a_result_from_before_sets_still_reads(trial: MakeTrial) -> None:
    made = trial(Script())
    (path,) = made.run([Planned("one")]).paths
    document = json.loads(path.read_text())
    for field in ("run_set", "stretches"):
        del document[field]
    del document["environment"]["settings"]
    path.write_text(json.dumps(document))
    old = read_result(path)
    assert (old.run_set, old.stretches, old.finished) == (None, [], 0)
    assert old.took_s == (old.ended - old.started).total_seconds()


def test_what_is_left_is_told_at_each_repetition(trial: MakeTrial) -> None:
    made = trial(Script())
    made.run([Planned("one"), Planned("two")])
    told = [line for line in made.told if line.startswith("one: ")]
    assert "one: 0 s so far, time left unknown: it has not run here to its end yet" in told
    assert "one: 0 s so far, about 0 s left: as its finished repetitions took" in told
    assert "one: repetition 3 of 3" in told
    assert "exercise 1 of 2; time left for all of them unknown" in made.told
    made.run([Planned("one")])  # by now it has run here to its end
    assert not [line for line in made.told[-6:] if "not run here" in line]


def test_where_an_exercise_never_ran_another_machines_runs_tell(trial: MakeTrial) -> None:
    there, here = trial(Script()), trial(Script())
    (path,) = there.run([Planned("one")]).paths
    here.elsewhere.mkdir()
    path.rename(here.elsewhere / path.name)
    here.told.clear()
    here.run([Planned("one")])
    assert [line for line in here.told if line.endswith("as runs on another machine took")]
