"""A second lab: front door, web servers, and a Redis with a password that counts their visits.

One Redis on each side, as many web servers as the settings say. Redis keeps nothing on disk: when it is
replaced, its side counts from the beginning.
"""

from __future__ import annotations

import dataclasses

import pulumi

from pairlab.model import DeployedFile, LabKeys, LabSpec, Settings, Tier, Workload
from pairlab.render import render
from stacks.pair import WEB, PairedLab, PairedLabArgs

COUNTER = dataclasses.replace(
    WEB,
    name="counter",
    packages=(*WEB.packages, "libnginx-mod-http-lua"),
    files={
        **WEB.files,
        "/etc/nginx/nginx.conf": "workload/counter/nginx.conf.j2",
        "/usr/local/lib/pairlab/prepare": "workload/counter/prepare.sh.j2",
        "/usr/local/lib/pairlab/visits.lua": "workload/counter/visits.lua.j2",
    },
    broken={"/etc/nginx/nginx.conf": "workload/counter/broken.conf.j2"},
)

REDIS = Workload(
    name="redis",
    packages=("redis-server",),
    port=6379,
    health_path="",
    unit="redis-server.service",
    command=("/usr/bin/redis-server", "/etc/redis/redis.conf"),
    user="redis",
    files={"/etc/redis/redis.conf": "workload/redis/redis.conf.j2"},
)


def tiers(name: str, settings: Settings, keys: LabKeys) -> list[Tier]:
    """What the lab runs. The password reaches both tiers as a secret file, at deployment."""
    page = render("workload/counter/page.html.j2", lab=name, message=settings.message)
    known = f"{keys.password}\n"
    web_files = (
        DeployedFile("/etc/pairlab/page.html", page),
        DeployedFile("/etc/nginx/redis-password", known, secret=True, owner=COUNTER.user),
    )
    demanded = DeployedFile("/etc/redis/password.conf", f"requirepass {known}", secret=True, owner=REDIS.user)
    return [
        Tier(COUNTER, settings.vms, settings.replicas, files=web_files),
        Tier(REDIS, vms=1, replicas=1, files=(demanded,), front=False),
    ]


def declare(spec: LabSpec) -> None:
    """The Pulumi program."""
    lab = PairedLab(spec.name, PairedLabArgs(spec, tiers(spec.name, spec.settings, spec.keys)))
    pulumi.export("vmUrl", lab.vm_url)
    pulumi.export("containerUrl", lab.container_url)
