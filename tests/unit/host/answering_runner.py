"""A Runner that answers from a table and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pairlab.errors import CommandError
from pairlab.run import Completed

Answer = str | int | Callable[[tuple[str, ...]], "str | int"]


class AnsweringRunner:
    """Answers by the longest known beginning of a command: text (exit 0), or an exit status.

    Args:
        answers: Beginning of a command line, words joined by spaces -> what it prints, its exit status, or a
            function that gives one of them. An unknown command is not installed.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.asked: list[tuple[str, ...]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.asked.append(tuple(argv))
        line = " ".join(argv)
        known = [start for start in self.answers if line.startswith(start)]
        if not known:
            raise CommandError(f"{argv[0]} is not installed", hint="run `invoke lab.setup`")
        answer = self.answers[max(known, key=len)]
        given = answer(tuple(argv)) if callable(answer) else answer
        code, text = (given, "") if isinstance(given, int) else (0, given)
        if on_line is not None:
            for printed in text.splitlines():
                on_line(printed)
        if check and code:
            raise CommandError(f"{argv[0]} failed with exit status {code}", hint="look", details=text)
        return Completed(tuple(argv), code, text, "")

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        self.asked.append(tuple(argv))
        answer = self.answers.get(" ".join(argv), 1)
        return answer if isinstance(answer, int) else 0

    def lines(self) -> list[str]:
        return [" ".join(argv) for argv in self.asked]
