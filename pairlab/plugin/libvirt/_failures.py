"""libvirt's errors in the project's words: what was being done, what libvirt said, and the next step."""

from __future__ import annotations

from typing import Any

from pairlab.errors import PluginError
from pairlab.libvirt_api import GROUP_HINT, remedy

SPACE_HINT = "free some space there, for instance with `invoke image.prune`"
NO_KVM_HINT = "its machine cannot run KVM guests: set `type` to `qemu` (in a lab: `accelerator` to tcg)"

HINTS_BY_WORDS: tuple[tuple[str, str], ...] = (
    ("No space left on device", SPACE_HINT),
    ("already in use by interface", "choose another subnet: set `subnet` for this lab"),
    ("bridge name", "choose another bridge name, or remove the network that holds it"),
    ("domaintype=kvm", NO_KVM_HINT),
    ("Could not access KVM", NO_KVM_HINT),
    ("Storage source conflict", "another pool uses that directory: choose another path, or remove that pool"),
    ("Permission denied", "let libvirt's QEMU account read it: keep files below /var/lib/libvirt"),
    ("Read-only file system", "choose a directory that libvirt may write to"),
)


def connect_failure(error: Any, uri: str) -> PluginError:
    """The error for a connection that could not be opened."""
    said = str(error).strip()
    return PluginError(f"libvirt does not answer at {uri}: {said}", hint=remedy(uri, said))


def operation_failure(error: Any, what: str, uri: str) -> PluginError:
    """The error for a request that libvirt refused."""
    import libvirt

    said = str(error).strip()
    code = error.get_error_code()
    if code in (libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_ERR_ACCESS_DENIED, libvirt.VIR_ERR_AUTH_FAILED):
        hint = GROUP_HINT
    elif code in (libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
        hint = next((h for words, h in HINTS_BY_WORDS if words in said), "correct that property's value")
    else:
        default = f"libvirt's log and `virsh -c '{uri}'` tell more; run it again once that is mended"
        hint = next((h for words, h in HINTS_BY_WORDS if words in said), default)
    return PluginError(f"{what} failed: {said}", hint=hint)


def is_missing(error: Any) -> bool:
    """Whether a lookup failed because the object is not there."""
    import libvirt

    return error.get_error_code() in (
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
    )


def found(look: Any, *arguments: Any) -> Any | None:
    """What a lookup finds; None if the object is not there.

    Args:
        look: A lookup method of a connection or pool.
        *arguments: Its arguments.
    """
    import libvirt

    try:
        return look(*arguments)
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def name_taken(kind: str, name: str, holder: str, remedy: str) -> PluginError:
    """The error for a name that an object holds which is not in this stack's state.

    Args:
        kind: "domain", "network", "pool" or "volume".
        name: The name that was asked for.
        holder: What holds it.
        remedy: Command that would remove it.
    """
    return PluginError(
        f"the {kind} name {name!r} is taken by {holder}, which is not in this stack's state",
        hint=f"if an interrupted run left it, remove it with `{remedy}` and run again; else use another name",
    )
