"""A warm `lab.up` beside the slower of the two raw ways with the same images and counts.

The lab's clock runs from the start of the `invoke` process to its end, when every instance has answered
through its front door. Pulumi's own start is taken off it and shown apart: from the call of the engine
until a provider turns to the first resource, while the CLI, the state, the program and the plugins start.
Raw VMs: QEMU by hand. Raw containers: an overlay network and `docker service create`, until the health
check of each container says 200. A lab starts both at once, so both raw ways at once are beside it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks._figures import Figure
from benchmarks._raw_vms import take_from_lab
from benchmarks._trial import SAMPLES, Trial, await_true, say, seconds

SERVICE = "pairlab-bench-raw"


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields the ratios, and the engine's own start."""
    reference = trial.images.container.reference
    ups, starts, raw_vms, raw_containers, at_once = [], [], [], [], []
    for number in range(SAMPLES):
        say(f"lab_up: run {number + 1} of {SAMPLES}")
        with trial.lab() as run:
            raw = take_from_lab(trial)
        found = re.search(r"of it ([\d.]+) s its own start", run.printed)
        assert found, run.printed
        starts.append(float(found[1]))
        ups.append(run.up_s - starts[-1])
        vms, replicas = raw.spec.settings.vms, raw.spec.settings.replicas
        raw_vms.append(raw.start_s(trial, vms))
        raw_containers.append(_raw_containers_s(trial, reference, replicas))
        with ThreadPoolExecutor() as pool:
            containers_s = pool.submit(_raw_containers_s, trial, reference, replicas)
            at_once.append(max(raw.start_s(trial, vms), containers_s.result()))
    accelerator = raw.spec.accelerator.value
    slower, samples = max(
        [("QEMU by hand", raw_vms), ("docker service create", raw_containers)], key=lambda one: sum(one[1])
    )
    name = "warm lab.up without Pulumi's own start"
    yield Figure(name, ups, 1.15, slower, samples, accelerator)
    yield Figure(name, ups, None, "both raw ways at once", at_once, accelerator)
    yield Figure("Pulumi's own start within it", starts, 4)


def _raw_containers_s(trial: Trial, image: str, replicas: int) -> float:
    def healthy() -> bool:
        argv = ["docker", "ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={SERVICE}"]
        found = trial.runner.run(argv).stdout.split()
        checks = (
            trial.runner.run(["docker", "exec", one, "/usr/local/bin/healthcheck"], check=False)
            for one in found
        )
        return len(found) == replicas and all(check.returncode == 0 for check in checks)

    def start() -> None:
        trial.runner.run(["docker", "network", "create", "--driver", "overlay", SERVICE])
        trial.runner.run(
            [
                *("docker", "service", "create", "--quiet", "--detach", "--name", SERVICE),
                *("--network", SERVICE, "--endpoint-mode", "dnsrr", "--no-resolve-image"),
                *("--hostname", "container-{{.Task.Slot}}", "--replicas", str(replicas), image),
            ]
        )
        await_true(healthy, "HTTP 200 of each container")

    try:
        return seconds(start)
    finally:
        trial.runner.run(["docker", "service", "rm", SERVICE], check=False)
        await_true(lambda: _network_gone(trial), "the end of the raw network")


def _network_gone(trial: Trial) -> bool:
    trial.runner.run(["docker", "network", "rm", SERVICE], check=False)  # refused while tasks are leaving it
    return SERVICE not in trial.runner.run(["docker", "network", "ls", "--format", "{{.Name}}"]).stdout
