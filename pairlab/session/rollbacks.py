"""What an orchestrator takes back by itself is told as such, whichever plugin asked it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pairlab.errors import EngineError, HostError, RolledBackError
from pairlab.side import Side


@contextmanager
def telling_rollbacks(side: Side, lab: str) -> Iterator[None]:
    """Say so where the engine fails meanwhile because the orchestrator took a release back by itself.

    The plugins say it in words of their own; who did it is asked here.

    Args:
        side: The side with an orchestrator.
        lab: The lab's name.

    Raises:
        RolledBackError: It did. The plugin's words are in its details.
    """
    before = side.rollbacks()
    try:
        yield
    except EngineError as error:
        taken = list[str]()
        with suppress(HostError):  # then the engine's own error says more
            taken = [each for each in side.rollbacks() if each not in before]
        if not taken:
            raise
        raise RolledBackError(
            f"lab {lab!r}: {side.supervisor} took the release back, and runs what ran before: "
            + "; ".join(taken),
            hint=f"mend the release, then run `invoke lab.up --lab {lab}` again",
            details="\n".join(part for part in (error.message, error.details) if part),
        ) from error
