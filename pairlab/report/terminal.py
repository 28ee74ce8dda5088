"""Tables and diffs for the terminal; `--json` prints the same facts as JSON."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pairlab.model import Accelerator, Change, Instance, Outcome, SideName
from pairlab.report import figures

WATCH_S = 2.0
SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
COLOURS = {"+": "green", "~": "yellow", "±": "magenta", "-": "red"}
SECRET = "[secret]"
MAX_VALUE = 60
EMULATED_SIGN = "*"
"""Stands at figures of emulated VMs where there is no room for the word."""


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str), flush=True)


def human_bytes(size: float | None) -> str:
    """1536 -> `1.5 KiB`; an unknown size is a dash."""
    if size is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def human_time(seconds: float | None) -> str:
    """75 -> `1m 15s`; an unknown time is a dash."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    shown = [f"{value}{unit}" for value, unit in parts if value][:2]
    return " ".join(shown) or "0s"


def show_doctor(report: Any, *, as_json: bool) -> None:
    """A line for each component: state, what was found, remedy."""
    if as_json:
        _print_json(report.as_json())
        return
    table = Table("component", "state", "found", "remedy", box=None, pad_edge=False)
    for row in report.rows:
        state = Text("ok", "green") if row.ok else Text("problem", "red")
        table.add_row(row.component, state, row.found, row.remedy)
    Console(highlight=False).print(table)


def preview_lines(outcome: Outcome) -> Iterable[tuple[str, str]]:
    """(sign, text) of each line of a diff."""
    for change in outcome.changed:
        sign = SIGNS.get(change.op, "?")
        yield sign, f"{change.type} {change.name}"
        for path in sorted(change.properties):
            yield " ", f"    {path}: {_value(change.old, path)} -> {_value(change.new, path)}"
    kept = len(outcome.changes) - len(outcome.changed)
    counts = {sign: sum(1 for c in outcome.changed if SIGNS.get(c.op) == sign) for sign in COLOURS}
    yield (
        "",
        ", ".join(
            f"{counts[sign]} to {verb}"
            for sign, verb in (("+", "create"), ("~", "change"), ("±", "replace"), ("-", "delete"))
            if counts[sign]
        )
        + (f"; {kept} unchanged" if outcome.changed else f"no changes; {kept} resources as declared"),
    )


def _value(inputs: Mapping[str, Any], path: str) -> str:
    value: Any = inputs
    for key in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, Mapping) and "4dabf18193072939515e22adb298388d" in value:
            return SECRET
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return "none"
    if isinstance(value, Mapping) and "4dabf18193072939515e22adb298388d" in value:
        return SECRET
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def show_preview(lab: str, outcome: Outcome, *, markdown: bool) -> None:
    """A diff that a reviewer can read."""
    lines = list(preview_lines(outcome))
    if markdown:
        from pairlab.render import render

        print(render("report/preview.md.j2", lab=lab, lines=lines[:-1], summary=lines[-1][1]), end="")
        return
    console = _console()
    for sign, text in lines:
        console.print(Text(f"{sign} {text}".rstrip() if sign else text, COLOURS.get(sign, "")))


def show_up(result: Any) -> None:
    """Addresses of the front doors, and where the seconds went."""
    console = _console()
    spec = result.spec
    console.print(f"lab {spec.name} is up: {_counted(result.outcome.changed)}")
    for side in SideName:
        names = [name for name in result.ready_s if name.startswith(side.value)]
        note = f", {spec.accelerator} accelerator" if side is SideName.VM else ""
        console.print(f"  {side:<10} {result.urls[side]}  {len(names)} instances{note}")
    if spec.accelerator == "tcg":
        console.print(
            "  VMs run by software emulation (tcg): their times say nothing of hardware virtualisation"
        )
    engine = result.outcome
    console.print(
        f"  {result.total_s:.1f} s in all; engine {engine.total_s:.1f} s, of it {engine.engine_s:.1f} s"
        f" its own start; last instance answered {max(result.ready_s.values(), default=0.0):.1f} s later"
    )


def _counted(changes: Sequence[Change]) -> str:
    if not changes:
        return "nothing had to change"
    return f"{len(changes)} resource{'s' if len(changes) > 1 else ''} changed"


def show_status(read: Callable[[], Any], *, as_json: bool, watch: bool) -> Any:
    """Both sides of a lab, which it returns; with `watch`, again and again until interrupted."""
    console = Console(highlight=False)
    if watch and console.is_terminal and not as_json:
        with Live(status_table(read()), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(status_table(read()), refresh=True)
    while True:
        status = read()
        if as_json:
            _print_json(status.as_json())
        else:
            console.print(status_table(status))
        if not watch:
            return status
        time.sleep(WATCH_S)


def status_table(status: Any) -> Table:
    """One grid: instances, then front doors, drift and problems."""
    grid = Table.grid()
    table = Table("instance", "state", "address", "image", "up", "cpu", "memory", box=None, pad_edge=False)
    emulated = {SideName.VM} if status.accelerator == Accelerator.TCG else set[SideName]()
    for instance in status.instances:
        table.add_row(*_instance_cells(instance, EMULATED_SIGN if instance.side in emulated else ""))
    grid.add_row(Text(f"lab {status.lab}, accelerator {status.accelerator}"))
    grid.add_row(table)
    if any(instance.side in emulated for instance in status.instances):
        note = f"{EMULATED_SIGN} of an emulated VM: says nothing of hardware virtualisation"
        grid.add_row(Text(note, "yellow"))
    for door in status.doors:
        grid.add_row(Text(f"{door.side} front door {door.url} answers {door.answer}"))
    for line in status.drift:
        grid.add_row(Text(f"drift: {line}", "yellow"))
    for line in status.problems:
        grid.add_row(Text(f"problem: {line}", "red"))
    if not status.drift and not status.problems:
        grid.add_row(Text("as declared", "green"))
    return grid


def _instance_cells(instance: Instance, mark: str) -> list[str]:
    cpu = "–" if instance.cpu_s is None else f"{instance.cpu_s:.1f} s{mark}"
    return [
        instance.name,
        instance.state,
        instance.address or "–",
        instance.image or "–",
        human_time(instance.uptime_s),
        cpu,
        human_bytes(instance.memory_bytes) + (mark if instance.memory_bytes is not None else ""),
    ]


def show_labs(labs: Sequence[str], *, as_json: bool) -> None:
    """A name a line."""
    if as_json:
        _print_json(list(labs))
    else:
        print("\n".join(labs) or "no labs")


def show_removed(lab: str, removed: Sequence[str]) -> None:
    """What `lab.down` took away."""
    if not removed:
        print(f"lab {lab}: nothing to remove")
        return
    print(f"lab {lab}: removed {len(removed)} things")
    for line in removed:
        print(f"  - {line}")


def show_images(records: Sequence[Any], *, as_json: bool) -> None:
    """Images with digest, size, age, and what uses them."""
    if as_json:
        _print_json(records)
        return
    table = Table("image", "form", "version", "size", "age", "used by", box=None, pad_edge=False)
    for record in records:
        table.add_row(
            record["name"],
            record["form"],
            record["version"],
            human_bytes(record["size_bytes"]),
            human_time(record["age_s"]),
            ", ".join(record["used_by"]) or "–",
        )
    Console(highlight=False).print(table)


def show_exercises(listed: Sequence[Any], *, as_json: bool) -> None:
    """Exercises with the question that each answers, and how long each and all of them take."""
    if as_json:
        _print_json([asdict(entry) for entry in listed])
        return
    table = Table("exercise", "answers", "course section", "takes", box=None, pad_edge=False)
    for entry in listed:
        took = figures.NONE if entry.minutes is None else figures.duration(60 * entry.minutes)
        took += "*" if entry.elsewhere else ""
        table.add_row(entry.name, entry.question, entry.section, took)
    console = Console(highlight=False)
    console.print(table)
    unknown = [entry.name for entry in listed if entry.minutes is None]
    if len(unknown) < len(listed):
        total_s = 60 * sum(entry.minutes_in_all or 0.0 for entry in listed)
        but = f" but {', '.join(unknown)}, which did not run to their end yet" if unknown else ""
        console.print(f"--all takes about {figures.duration(total_s)}, for all{but}")
    if ways := sorted({entry.elsewhere for entry in listed if entry.elsewhere}):
        console.print(f"* as it took on another machine, with VMs by {' or '.join(ways)}; not run here yet")


def show_run(ran: Any, out: str = "", *, as_json: bool) -> None:
    """What the results of a run say; of several exercises, in the end what became of each.

    Args:
        ran: What became of the exercises, as `pairlab.session.exercises.run` tells it.
        out: The folder that was named for the results; empty for the user's, where reports look for them.
        as_json: Print the complete results as JSON.
    """
    from pairlab.report.results_terminal import plain, show_result
    from pairlab.result_files import read_result

    results = {path: read_result(path) for path in ran.paths}
    if as_json:
        _print_json([result.model_dump(mode="json") for result in results.values()])
        return
    for path, result in results.items():
        show_result(result, as_json=False)
        name = shlex.quote(str(path) if out else path.name)
        print(f"saved in {path}; `invoke report.html --result {name}` makes a page of it")
    if len(ran.ended) < 2:
        return
    table = Table("exercise", "state", "took", "result", box=None, pad_edge=False)
    for each in ran.ended:
        took, state = "", Text("complete before, not run again" if each.was_complete else "complete", "green")
        if each.failure:
            state = plain(each.failure.message, "red")
        else:
            took = figures.duration(results[each.path].took_s)
        table.add_row(each.name, state, took, plain(each.path.name if each.path else figures.NONE))
    Console(highlight=False).print(table)
    name = shlex.quote(out) if out else ran.run_set
    print(f"`invoke report.html --set {name}` makes one page of all of them")
