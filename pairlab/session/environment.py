"""Where and with what something is measured, for the record of a result."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from pathlib import Path

from pairlab.circumstances import Environment
from pairlab.engine.cli import find_cli
from pairlab.engine.plugins import choose_plugins
from pairlab.host.accelerator import accelerator
from pairlab.libvirt_api import dialled
from pairlab.model import PROJECT, LabSpec, Settings
from pairlab.session.settings import ROOT
from pairlab.session.workbench import Workbench

VERSIONS = {
    "docker": ["docker", "--host", "{docker}", "version", "--format", "{{.Server.Version}}"],
    "libvirt": ["virsh", "--connect", "{libvirt}", "version"],
    "qemu": ["qemu-system-x86_64", "--version"],
}
"""Program -> command that prints its version; the first number with dots in it counts."""
DAEMON = re.compile(r"(?:Using library: libvirt|version|^)\s*(\d+\.\d+[\w.+-]*)", re.MULTILINE)


def load_average() -> float:
    """Processes that wanted a CPU, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def look_around(bench: Workbench, spec: LabSpec) -> Environment:
    """This host and the programs that a lab stands on."""
    settings = spec.settings
    programs = {PROJECT: tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]}
    for name, argv in VERSIONS.items():
        line = [word.format(docker=settings.docker_host, libvirt=dialled(settings.libvirt_uri))
                if word in ("{docker}", "{libvirt}") else word for word in argv]  # fmt: skip
        printed = bench.runner.run(line).stdout
        found = DAEMON.search(printed)
        programs[name] = found[1] if found else printed.strip()
    cli = find_cli(bench.cache, bench.runner)
    programs["pulumi"] = cli.version if cli else "unknown"
    _, reason = accelerator(
        bench.cache,
        bench.runner,
        settings.accelerator,
        kernel=next(iter(spec.images.values())).vm.kernel,
        libvirt_uri=settings.libvirt_uri,
    )
    return Environment(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        accelerator=spec.accelerator.value,
        accelerator_reason=reason,
        versions=programs,
        plugins={
            use.name: f"{use.version}, {use.origin}" for use in choose_plugins(settings.plugins).values()
        },
        images={
            f"{name} ({form})": image.version
            for name, both in spec.images.items()
            for form, image in (("vm", both.vm), ("container", both.container))
        },
        load_before=load_average(),
        load_after=load_average(),
        settings=_chosen(settings),
    )


def _chosen(settings: Settings) -> dict[str, str]:
    """Those that are not the defaults, by the names that they have in a lab's file."""
    defaults = Settings().model_dump(by_alias=True)
    own = settings.model_dump(by_alias=True)
    return {key: str(value) for key, value in own.items() if value != defaults[key]}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
