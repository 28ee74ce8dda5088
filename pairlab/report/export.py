"""Raw samples as rows, for spreadsheets and statistics programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC

from pairlab.report.comparison import accelerator_of
from pairlab.results import RunResult

COLUMNS = (
    "exercise", "variant", "side", "baseline", "figure", "unit", "repetition", "instance", "value",
    "accelerator", "date", "lab", "complete", "result",
)  # fmt: skip


def rows(named: Sequence[tuple[str, RunResult]]) -> Iterator[dict[str, object]]:
    """One row a sample, in the order of the results and of their samples.

    Args:
        named: Results with the names of their files.

    Yields:
        A value for each of `COLUMNS`. `repetition` counts from 0, `value` is in `unit`, `instance` is empty
        for a side as a whole; `accelerator` is how its VM ran, and empty where there is none; `date` is when
        the run began, in UTC.
    """
    for name, result in named:
        figures = {figure.key: figure for figure in result.figures}
        variants = {variant.key: variant for variant in result.variants}
        for sample in result.samples:
            variant = variants[sample.variant]
            yield {
                "exercise": result.exercise,
                "variant": sample.variant,
                "side": variant.side or "host",
                "baseline": variant.baseline,
                "figure": sample.figure,
                "unit": figures[sample.figure].unit,
                "repetition": sample.repetition,
                "instance": sample.instance,
                "value": sample.value,
                "accelerator": accelerator_of(variant, result.environment),
                "date": result.started.astimezone(UTC).isoformat(timespec="seconds"),
                "lab": result.lab,
                "complete": result.complete,
                "result": name,
            }


def as_csv(named: Sequence[tuple[str, RunResult]]) -> str:
    """All samples as CSV with a head; `true` and `false` as in JSON.

    Source: RFC 4180, but for the ends of lines, which are those of this system's programs.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(named):
        flags = {key: str(value).lower() for key, value in row.items() if isinstance(value, bool)}
        writer.writerow(row | flags)
    return text.getvalue()


def as_json(named: Sequence[tuple[str, RunResult]]) -> str:
    """All samples as a list of objects."""
    return json.dumps(list(rows(named)), indent=1) + "\n"
