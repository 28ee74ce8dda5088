"""What running VMs are given, and limits of one, which its host's kernel keeps for QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pairlab.errors import SideError
from pairlab.side import Given
from pairlab.side._libvirt_objects import LibvirtObjects

KIB = 1024
QUOTA = "vcpu_quota"
PERIOD = "vcpu_period"
USUAL_PERIOD_US = 100_000


def given(objects: LibvirtObjects) -> dict[str, Given]:
    """Name of each running domain of the lab -> what it is given; see `Side.given`.

    Memory is what the balloon leaves to the guest. Source: virConnectGetAllDomainStats.
    """
    with objects.mapped() as libvirt:
        # One that libvirt is just at work on tells nothing: nobody waits for it here.
        kinds = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
        running = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
        no_wait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        return {
            domain.name(): Given(figures["balloon.current"] * KIB, float(figures["vcpu.current"]))
            for domain, figures in objects.connection(libvirt).getAllDomainStats(kinds, running | no_wait)
            if {"balloon.current", "vcpu.current"} <= figures.keys()
            and objects.metadata(libvirt, domain) is not None
        }


@contextmanager
def limited(
    objects: LibvirtObjects, domain: str, cpus: float | None, processes: int | None
) -> Iterator[None]:
    """See `Side.limited`.

    A quota is of each virtual processor. Source: libvirt's domain format, `cputune`.

    Args:
        objects: The lab's.
        domain: Name of the domain.
        cpus: See there.
        processes: See there.
    """
    if processes is not None:
        raise SideError(
            "libvirt has no limit for the processes of a VM: it knows none of them",
            hint="the guest's own kernel limits them: pid_max, a unit's TasksMax, an account's nproc",
        )
    with objects.mapped() as libvirt:
        found = objects.connection(libvirt).lookupByName(domain)
        processors = found.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
        if cpus is not None and cpus > processors:
            raise SideError(
                f"a VM uses no more than its virtual processors, and {domain} has {processors}",
                hint="the setting vmCpus gives more to a VM that starts anew",
            )
        before = found.schedulerParametersFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def update(period_us: int, quota_us: int) -> None:
        with objects.mapped() as libvirt:
            again = objects.connection(libvirt).lookupByName(domain)
            again.setSchedulerParametersFlags(
                {PERIOD: period_us, QUOTA: quota_us}, libvirt.VIR_DOMAIN_AFFECT_LIVE
            )

    if cpus is None:
        yield
        return
    try:
        update(USUAL_PERIOD_US, round(cpus / processors * USUAL_PERIOD_US))
        yield
    finally:
        update(before[PERIOD], before[QUOTA])
