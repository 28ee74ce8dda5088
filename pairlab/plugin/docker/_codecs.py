"""How Docker writes durations, sizes, labels and other values in its JSON."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from pairlab.plugin.docker._mapping import Codec, Mapped
from pairlab.plugin.resource import UNKNOWN

MIB = 1024**2
NANOSECONDS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0")
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def to_ns(duration: str) -> int:
    """Nanoseconds of a Go duration, such as `1m30s`. Source: Go, time.ParseDuration"""
    return round(sum(float(n) * NANOSECONDS[unit] for n, unit in DURATION_PART.findall(duration)))


def to_seconds(duration: str) -> float:
    """Seconds of a Go duration."""
    return to_ns(duration) / 10**9


def from_ns(nanoseconds: int) -> str:
    """A Go duration in its greatest whole unit of ms, s, m, h."""
    for unit in ("h", "m", "s", "ms"):
        if nanoseconds and nanoseconds % NANOSECONDS[unit] == 0:
            return f"{nanoseconds // NANOSECONDS[unit]}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def _not_a_duration(value: Any) -> str:
    return "" if DURATION.fullmatch(str(value)) else "is no duration, such as 500ms, 5s or 2m"


def _not_base64(value: Any) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    return ""


def _not_a_number(value: Any) -> str:
    try:
        float(value)
    except (TypeError, ValueError):
        return "is not a number"
    return ""


def _without_equals(value: Any) -> str:
    wrong = [str(at) for at, item in enumerate(value) if item is not UNKNOWN and "=" not in str(item)]
    return f"has no '=' at {', '.join(wrong)}: write KEY=VALUE" if wrong else ""


def _capability(name: str) -> str:
    """The engine stores the long form. Source: moby, oci/caps/utils.go"""
    upper = name.upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


def _from_pairs(pairs: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def _device(device: dict[str, Any]) -> dict[str, Any]:
    return {"PathInContainer": device["PathOnHost"], "CgroupPermissions": "rwm"} | device


DURATIONS = Codec(to_ns, from_ns, _not_a_duration)
MEBIBYTES = Codec(lambda n: n * MIB if n > 0 else n, lambda n: n // MIB if n > 0 else n)
NANO_CPUS = Codec(lambda cpus: round(float(cpus) * 1e9), lambda n: f"{n / 1e9:g}" if n else "", _not_a_number)
RATIO = Codec(float, lambda ratio: f"{ratio:g}", _not_a_number)
BASE64 = Codec(refusal=_not_base64)
ENVIRONMENT = Codec(lambda env: sorted(f"{key}={value}" for key, value in env.items()), _from_pairs)
PAIRS = Codec(refusal=_without_equals)
CAPABILITIES = Codec(lambda names: sorted(map(_capability, names)))
HOST_COLON_IP = Codec(
    lambda hosts: sorted(f"{item['host']}:{item['ip']}" for item in hosts),
    lambda hosts: [dict(zip(("host", "ip"), item.split(":", 1), strict=True)) for item in hosts],
)
IP_SPACE_HOST = Codec(
    lambda hosts: sorted(f"{item['ip']} {item['host']}" for item in hosts),
    lambda hosts: [dict(zip(("ip", "host"), item.split(" ", 1), strict=True)) for item in hosts],
)
LABELS = Codec(
    lambda labels: {item["label"]: item.get("value", "") for item in labels},
    lambda labels: [{"label": key, "value": labels[key]} for key in sorted(labels)],
)
DEVICES = Codec(lambda devices: [_device(device) for device in devices])
DRIVER_OPTIONS = Codec(_from_pairs, lambda options: [f"{key}={options[key]}" for key in sorted(options)])
SPREADS = Codec(
    lambda prefs: [{"Spread": {"SpreadDescriptor": item.removeprefix("spread=")}} for item in prefs],
    lambda prefs: [f"spread={item['Spread']['SpreadDescriptor']}" for item in prefs],
)
PRESENCE = Codec(lambda wanted: {} if wanted else None, lambda found: True)
"""A truth value that is the presence of an empty object."""


def labels(key: str, *, replace: bool = False, computed: bool = False) -> Mapped:
    """The property `labels`, which the engine keeps as a mapping at `key`."""
    fields = {
        "label": Mapped(str, required=True, key="label"),
        "value": Mapped(str, required=True, key="value"),
    }
    return Mapped(list, replace=replace, computed=computed, key=key, codec=LABELS, fields=fields)


def hosts(key: str, codec: Codec, *, replace: bool = False) -> Mapped:
    """The property `hosts`: names and addresses for the container's hosts file."""
    fields = {"host": Mapped(str, required=True, key="host"), "ip": Mapped(str, required=True, key="ip")}
    return Mapped(list, replace=replace, key=key, codec=codec, fields=fields)


def health_check(key: str, *, replace: bool = False) -> Mapped:
    """The property `healthcheck`; one of the image counts where it is not given."""
    zero = "0s"
    fields = {
        "tests": Mapped(list, required=True, key="Test"),
        "interval": Mapped(str, default=zero, key="Interval", codec=DURATIONS),
        "timeout": Mapped(str, default=zero, key="Timeout", codec=DURATIONS),
        "startPeriod": Mapped(str, default=zero, key="StartPeriod", codec=DURATIONS),
        "retries": Mapped(int, default=0, key="Retries"),
    }
    return Mapped(dict, replace=replace, computed=True, key=key, fields=fields)


def mounts(key: str, *, replace: bool = False) -> Mapped:
    """The property `mounts`."""
    volume = {
        "noCopy": Mapped(bool, key="NoCopy"),
        "labels": labels("Labels"),
        "driverName": Mapped(str, key="DriverConfig.Name"),
        "driverOptions": Mapped(dict, key="DriverConfig.Options"),
    }
    kinds = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
    fields = {
        "target": Mapped(str, required=True, key="Target"),
        "source": Mapped(str, key="Source"),
        "type": Mapped(str, required=True, choices=("bind", "volume", "tmpfs"), key="Type"),
        "readOnly": Mapped(bool, key="ReadOnly"),
        "bindOptions": Mapped(
            dict, key="BindOptions", fields={"propagation": Mapped(str, choices=kinds, key="Propagation")}
        ),
        "volumeOptions": Mapped(dict, key="VolumeOptions", fields=volume),
        "tmpfsOptions": Mapped(
            dict,
            key="TmpfsOptions",
            fields={"sizeBytes": Mapped(int, key="SizeBytes"), "mode": Mapped(int, key="Mode")},
        ),
    }
    return Mapped(list, replace=replace, key=key, unordered=True, fields=fields)
