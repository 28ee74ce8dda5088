"""Building images, beside `mmdebstrap` of the VM's package list alone.

Cold: both forms of the web workload, into an empty cache, and the container's loaded into Docker.
Rebuild: both forms with the workload's update, from a local repository, on the bases that are kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks._figures import Figure
from benchmarks._trial import Trial, say, seconds
from pairlab.image.recipe import BASE_PACKAGES, VM_PACKAGES
from pairlab.image.rootfs import SUITE, debian_sources
from pairlab.image.store import ImageStore
from pairlab.image.updates import Updates
from stacks.pair import WEB

SAMPLES = 2  # each takes more than a minute


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields both ratios."""
    packages = ",".join((*BASE_PACKAGES, *VM_PACKAGES, *WEB.packages))
    raw = ["unshare", "--mount", "--propagation=private", "mmdebstrap", "--variant=essential"]
    raw += [f"--include={packages}", "--format=tar", SUITE]
    cold, rebuilt, bare = [], [], []
    for number in range(SAMPLES):
        with tempfile.TemporaryDirectory(dir=trial.scratch) as folder:
            cache = Path(folder) / "images"
            store, updates = ImageStore(cache, trial.runner), Updates(cache, trial.runner)
            say(f"image_build: run {number + 1} of {SAMPLES}: cold")
            cold.append(seconds(store.ensure, WEB, progress=say))
            update = updates.find(WEB, [record.packages for record in store.records()], progress=say)
            repository = updates.repository([update], progress=say)
            say(f"image_build: run {number + 1} of {SAMPLES}: with the workload's update")
            rebuilt.append(seconds(store.ensure, WEB, updates=repository, progress=say))
            store.prune((), progress=say)
            say(f"image_build: run {number + 1} of {SAMPLES}: mmdebstrap alone")
            argv = [*raw, f"{folder}/raw.tar", *debian_sources(trial.runner, "release")]
            bare.append(seconds(trial.runner.run, argv, timeout_s=1800))
    yield Figure("cold build of both forms", cold, 1.2, "mmdebstrap", bare)
    yield Figure("rebuild of both forms for one package", rebuilt, 0.4, "mmdebstrap", bare)
