"""A result in which every text tries to get out of where it is shown."""

from __future__ import annotations

import json
from typing import Any

from pairlab.results import RunResult
from tests.report_worlds import cut_short, patch_result, with_layers

HTML = "</title></style><script>alert(1)</script>\"' onload=x <img src=x onerror=alert(2)> &lt; {{ 7*7 }} "
TERMINAL = "\x1b[2J\x1b]0;gone\x07 [red]not red[/red] "
CHOSEN_FROM_A_LIST = {
    *("unit", "scope", "better", "verdict", "side", "accelerator", "started", "ended", "row", "need"),
}
NEVER_SHOWN = {"key", "figure", "variant", "variants", "instance", "label", "costs"}
"""Labels are of the table of key differences only."""


def hostile(attack: str) -> tuple[RunResult, set[str]]:
    """A result with an attack at the head of each text, and those texts that a reader is to see.

    Texts that were equal stay equal, so that keys still name what they named.
    """
    shown: set[str] = set()

    def changed(value: Any, name: str) -> Any:
        if name in CHOSEN_FROM_A_LIST:
            return value
        if isinstance(value, dict):
            if name in ("versions", "plugins", "images"):
                return {changed(key, "name"): changed(each, "text") for key, each in value.items()}
            return {key: changed(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [changed(each, name) for each in value]
        if not isinstance(value, str) or not value:
            return value
        if name not in NEVER_SHOWN:
            shown.add(attack + value)
        return attack + value

    document = changed(json.loads(cut_short(with_layers(patch_result())).model_dump_json()), "")
    document["conclusions"] = changed(json.loads(patch_result().model_dump_json())["conclusions"], "")
    return RunResult.model_validate(document), shown
