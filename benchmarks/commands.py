"""Whole commands, from the start of their process to its end, on a settled lab of 2 VMs and 2 containers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks._figures import Figure
from benchmarks._trial import LAB, SAMPLES, Trial, say, seconds


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields the seconds of each."""
    say("commands: inv --list")
    times: dict[str, list[float]] = {"list": [seconds(trial.invoke, "--list") for _ in range(5)]}
    for sample in range(SAMPLES):
        say(f"commands: lab {sample + 1} of {SAMPLES}")
        with trial.lab() as run:
            for number in range(trial.spec().settings.vms):  # they answer before all has started
                done = "sudo systemctl is-system-running --wait"
                trial.invoke("lab.exec", "--lab", LAB, "--instance", f"vm/{number}", "--command", done)
            for task in ("lab.preview", "lab.status"):
                took_s = seconds(trial.invoke, task, "--lab", LAB)
                times.setdefault(task, []).append(took_s)
        times.setdefault("lab.down", []).append(run.down_s)
    yield Figure("inv --list", times["list"], 0.4)
    yield Figure("lab.preview", times["lab.preview"], 6)
    yield Figure("lab.status", times["lab.status"], 2)
    yield Figure("lab.down", times["lab.down"], 12)
