"""The text that teaches an exercise: one Markdown template, of which each step is a section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairlab.errors import TemplateError
from pairlab.render import render

STEP = re.compile(r"^## (?P<title>.+?) <!-- step: (?P<key>[a-z-]+) -->$", re.MULTILINE)

LIMITS = "What it cannot show"
"""Heading of the section that each exercise's text ends with."""


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


def limits_apart(exercise: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """The text of an exercise without its last section, and that section's: what it cannot show.

    Raises:
        TemplateError: It does not end with such a section.
    """
    text, found, limits = page(exercise, values).partition(f"\n## {LIMITS}\n")
    if not found:
        raise TemplateError(
            f"exercise/{exercise}.md.j2 does not tell its limits",
            hint=f"end it with a section `## {LIMITS}`",
        )
    return text, limits.strip()


def introduction(text: str) -> str:
    """What an exercise's text says below its title and before its first step."""
    _, _, below = STEP.split(text, maxsplit=1)[0].partition("\n")
    return below.strip()


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
