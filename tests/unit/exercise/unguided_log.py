"""The log of an exercise that nobody steps through."""

from __future__ import annotations

from pairlab.exercise import Log, load
from pairlab.exercise._guide import sections
from pairlab.session.exercises import Unguided


def unguided_log(name: str) -> Log:
    """Of the exercise of that name; its text has the example's value for each that a run does not give."""
    example = load(name).example
    return Log(
        lambda values: sections(name, {**example, **values}), Unguided(), lambda line: None, lambda: None
    )
