"""Changing a domain that is there: whether it runs, its metadata, its hardware."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from pairlab.plugin.libvirt._domain_xml import metadata_elements
from pairlab.plugin.libvirt._values import to_xml


def is_running(domain: Any) -> bool:
    """Whether its guest makes progress, or could."""
    import libvirt

    return domain.state()[0] in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)


def run(domain: Any, wanted: bool) -> None:
    """Start, resume or stop a domain, as is wanted."""
    import libvirt

    if not wanted:
        stop(domain)
    elif domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()
    elif not domain.isActive():
        domain.create()


def stop(domain: Any) -> None:
    """Pull the plug; fine if it is off."""
    import libvirt

    try:
        if domain.isActive():
            domain.destroy()
    except libvirt.libvirtError as error:
        # It ended by itself in between.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def scope(domain: Any) -> int:
    """Flags for a change of what is configured, and of what runs if it runs."""
    import libvirt

    live = libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
    return int(libvirt.VIR_DOMAIN_AFFECT_CONFIG | live)


def change_metadata(domain: Any, old: str, new: str) -> None:
    """Make the metadata the new ones, element by element, as libvirt has them by namespace."""
    import libvirt

    wanted = {_namespace(node): node for node in metadata_elements(new)}
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    for namespace in {_namespace(node) for node in metadata_elements(old)} - set(wanted):
        domain.setMetadata(kind, None, None, namespace, scope(domain))
    for number, (namespace, node) in enumerate(wanted.items()):
        domain.setMetadata(kind, to_xml(node), f"meta{number}", namespace, scope(domain))


def _namespace(node: ET.Element) -> str:
    match = re.match(r"\{(.*)\}", node.tag)
    return match[1] if match else ""
