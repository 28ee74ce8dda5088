"""Results on disk: written at once or not at all, read with care."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from pairlab.errors import ResultError
from pairlab.files import replace_at_once
from pairlab.results import FORMAT, RunResult

SHOWN_BY_LIST = "`invoke report.list` shows the results there are"


def write_result(result: RunResult, path: Path) -> None:
    """Write a result, at once or not at all."""
    replace_at_once(path, result.model_dump_json(indent=1))


def read_result(path: Path) -> RunResult:
    """Read a result.

    Raises:
        ResultError: It is not there, is not one, or was written by a newer version of pairlab.
    """
    try:
        text = path.read_text(encoding="utf-8")
        written = json.loads(text)["format"]
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}", hint=SHOWN_BY_LIST) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ResultError(f"{path} holds no result", hint=SHOWN_BY_LIST) from error
    if isinstance(written, int) and written > FORMAT:
        raise ResultError(
            f"{path} has format {written}, written by a newer pairlab; this one reads up to {FORMAT}",
            hint="update pairlab, then read it again",
        )
    try:
        return RunResult.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "as a whole"
        raise ResultError(
            f"{path} holds no result: {where}: {first['msg']}", hint="it may have been edited by hand"
        ) from error


def result_files(folders: Iterable[Path]) -> list[Path]:
    """Result files in some folders, oldest first."""
    return sorted((path for folder in folders for path in folder.glob("*.json")), key=lambda path: path.name)
