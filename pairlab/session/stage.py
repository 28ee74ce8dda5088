"""The lab that exercises run on: brought up, put back after a failure, taken down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from pairlab.circumstances import Environment
from pairlab.errors import SideError
from pairlab.session import access, teardown
from pairlab.session import lab as labs
from pairlab.session.environment import look_around
from pairlab.session.live_lab import LiveLab
from pairlab.session.one_run import Live
from pairlab.session.workbench import Workbench, known_spec

ANSWER_TIMEOUT_S = 60
"""Of instances after a failed exercise: those that hang inside are replaced then."""


class Stage(Protocol):
    """A lab, as a course of exercises handles it.

    Attributes:
        name: Its name.
    """

    name: str

    def up(self, on_created: Callable[[], None]) -> None:
        """Make it and bring it up.

        Args:
            on_created: Called once the lab is this run's own.

        Raises:
            ConflictError: Another run made it.
        """

    def down(self) -> None:
        """Take it down."""

    def live(self) -> Live:
        """The lab, for one exercise.

        Raises:
            UsageError: It is not up.
        """

    def environment(self) -> Environment:
        """This host and the programs that it stands on, as they are now."""

    def restore(self) -> None:
        """Make it what its last `lab.up` declared, whatever a failed exercise left of it.

        Raises:
            LabError: It could not be done.
        """


class LabStage:
    """See `Stage`. Whoever has it is the only one at work on the lab, by `running_exercises`.

    Args:
        bench: The tools of this run.
        lab: Its name.
    """

    def __init__(self, bench: Workbench, lab: str) -> None:
        self.name = lab
        self._bench = bench

    def up(self, on_created: Callable[[], None]) -> None:
        """See `Stage.up`."""
        labs.bring_up(self._bench, self.name, labs.check(self.name, {}), on_created=on_created)

    def down(self) -> None:
        """See `Stage.down`."""
        teardown.take_down(self._bench, self.name)

    def live(self) -> Live:
        """See `Stage.live`."""
        return LiveLab(self._bench, self.name)

    def environment(self) -> Environment:
        """See `Stage.environment`."""
        return look_around(self._bench, known_spec(self.name))

    def restore(self) -> None:
        """See `Stage.restore`."""
        self._bench.progress(f"putting lab {self.name} back to what is declared")
        live = LiveLab(self._bench, self.name)
        teardown.recover(self._bench, self._bench.engine(live.base.settings), self.name)
        try:
            live.put_back(ready_timeout_s=ANSWER_TIMEOUT_S)
            found = access.status(self._bench, self.name)
            left = [*found.drift, *found.problems]
        except SideError as error:
            left = [error.message]
        if left:
            # Something inside an instance, which no declaration holds: fresh ones do not have it.
            self._bench.progress(f"replacing every instance: {'; '.join(left)}")
            live.declare(replace(live.configured, fresh_vms=1, fresh_containers=1))
            live.put_back()
