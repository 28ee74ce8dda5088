"""Advice for requirements, from what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairlab.report.advice import Advice, advise, parse
from pairlab.session import reports


def advise_on(answers: Mapping[str, Any]) -> Advice:
    """Answer requirements from the newest complete results, and from published rules.

    Args:
        answers: Name of a requirement -> what was typed; what does not matter is left out.

    Raises:
        UsageError: An answer makes no sense.
    """
    return advise(parse(answers), reports.summary())
