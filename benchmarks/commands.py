"""Whole commands, from the start of their process to its end, on a settled lab of 2 VMs and 2 containers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks._figures import Figure
from benchmarks._trial import LAB, ROOT, SAMPLES, Trial, say, seconds


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields the seconds of each."""
    say("commands: inv --list")
    times: dict[str, list[float]] = {"list": [], "added": []}
    for _ in range(5):
        times["list"].append(seconds(trial.invoke, "--list"))
        times["added"].append(seconds(trial.runner.run, [str(ROOT / "inv"), "--list"]) - times["list"][-1])
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
    yield Figure("invoke --list", times["list"], 0.4)
    yield Figure("what ./inv adds to it", times["added"], 0.05)
    yield Figure("lab.preview", times["lab.preview"], 6)
    yield Figure("lab.status", times["lab.status"], 2)
    yield Figure("lab.down", times["lab.down"], 12)
