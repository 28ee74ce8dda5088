"""What benchmarks share: a scratch folder, pairlab's commands, images, and QEMU started by hand."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ParamSpec

from pairlab import side as sides
from pairlab.errors import LabError, SideError
from pairlab.image.store import ImageStore
from pairlab.model import LabSpec, Settings, VmImage, WorkloadImages, load_spec
from pairlab.run import LocalRunner
from pairlab.session.workbench import Workbench
from stacks.pair import WEB

ROOT = Path(__file__).resolve().parent.parent
LAB = "bench"
SAMPLES = 3
TIMEOUT_S = 600.0
POLL_S = 0.02
ANSWER_S = 0.3
"""QEMU's user network takes connections before the guest listens, and lets them hang: they are made anew."""


P = ParamSpec("P")


def say(line: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {line}", file=sys.stderr, flush=True)


def seconds(action: Callable[P, object], *args: P.args, **options: P.kwargs) -> float:
    """Wall-clock seconds that an action takes."""
    start = time.monotonic()
    action(*args, **options)
    return time.monotonic() - start


@dataclass
class LabRun:
    """A lab's way up and down.

    Attributes:
        printed: What `lab.up` printed.
        up_s: Seconds that it took.
        down_s: Seconds that `lab.down` took; 0 while the lab is up.
    """

    printed: str = ""
    up_s: float = 0.0
    down_s: float = 0.0


@dataclass
class Trial:
    """One run of the benchmarks.

    Attributes:
        scratch: A folder that goes at the end. The labs' state is in it, so that no other lab is met.
        runner: Runs raw tools.
    """

    scratch: Path
    runner: LocalRunner = field(default_factory=LocalRunner)

    def __post_init__(self) -> None:
        os.environ["PAIRLAB_STATE"] = str(self.scratch / "state")

    @cached_property
    def store(self) -> ImageStore:
        """The image cache."""
        return Workbench(say).images_for(Settings())

    @cached_property
    def images(self) -> WorkloadImages:
        """The web workload's images, from the cache or built into it: not part of any figure."""
        self.store.ensure_front_door(progress=say)
        return self.store.ensure(WEB, progress=say)

    @cached_property
    def boot_disk_image(self) -> VmImage:
        """The web workload's VM with a boot loader on its disk."""
        return self.store.ensure(WEB, progress=say, boot="disk").vm

    def invoke(self, *words: str) -> str:
        """Run one of pairlab's commands as a person does; returns what it printed.

        Raises:
            CommandError: It failed.
        """
        argv = [str(Path(sys.executable).with_name("invoke")), "--search-root", str(ROOT), *words]
        return self.runner.run(argv, timeout_s=TIMEOUT_S, env={"CI": "true"}).stdout

    @contextlib.contextmanager
    def lab(self) -> Iterator[LabRun]:
        """The benchmarks' lab, up; taken down whatever happens."""
        run, start = LabRun(), time.monotonic()
        try:
            run.printed = self.invoke("lab.up", "--lab", LAB)
            run.up_s = time.monotonic() - start
            yield run
        finally:
            run.down_s = seconds(self.invoke, "lab.down", "--lab", LAB)

    def spec(self) -> LabSpec:
        """What the lab that is up was declared as."""
        spec = load_spec(LAB)
        assert spec is not None, "no lab is up"
        return spec


def answers(port: int) -> bool:
    """Whether the workload behind a loopback port answers 200."""
    try:
        return sides.probe(port, timeout_s=ANSWER_S).status == 200
    except SideError:
        return False


def await_true(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again.

    Raises:
        LabError: It did not become true in time.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen in {TIMEOUT_S:g} s", hint="is the machine overloaded?")
        time.sleep(POLL_S)


@contextlib.contextmanager
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are put into the list are ended at the end."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
