"""The text that teaches an exercise: one Markdown template, of which each step is a section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairlab.errors import TemplateError
from pairlab.render import render

STEP = re.compile(r"^## (?P<title>.+?) <!-- step: (?P<key>[a-z-]+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """The text of one step.

    Attributes:
        key: The name by which the exercise calls it.
        title: Its heading.
        text: What will happen and why, with the command that a person could type; Markdown.
    """

    key: str
    title: str
    text: str


def page(exercise: str, values: Mapping[str, Any]) -> str:
    """The whole text of an exercise."""
    return render(f"exercise/{exercise}.md.j2", **values)


def sections(exercise: str, values: Mapping[str, Any]) -> dict[str, Section]:
    """Step key -> its section; a section ends where the next heading of its level begins.

    Raises:
        TemplateError: Two sections have the same key.
    """
    text = page(exercise, values)
    found: dict[str, Section] = {}
    for match in STEP.finditer(text):
        rest = text[match.end() :]
        end = re.search(r"^##? ", rest, re.MULTILINE)
        body = rest[: end.start()] if end else rest
        if match["key"] in found:
            raise TemplateError(
                f"exercise/{exercise}.md.j2 has two steps {match['key']!r}", hint="rename one of them"
            )
        found[match["key"]] = Section(match["key"], match["title"], body.strip())
    return found
