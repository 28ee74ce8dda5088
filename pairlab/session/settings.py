"""A lab's settings: its `Pulumi.<lab>.yaml`, with what the command line overrides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pairlab.errors import SettingError, UsageError
from pairlab.model import PROJECT, Settings, SideName, check_lab_name, parse_settings, placeholder_spec

ROOT = Path(__file__).resolve().parent.parent.parent


def settings_file(lab: str) -> Path:
    """Where a lab's settings are."""
    return ROOT / f"Pulumi.{check_lab_name(lab)}.yaml"


def declared_labs() -> list[str]:
    """Labs that have a settings file."""
    return sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def load_settings(lab: str, overrides: Mapping[str, Any]) -> Settings:
    """Read and validate a lab's settings.

    Args:
        lab: The lab's name.
        overrides: camelCase key -> value from the command line; None means not given.

    Raises:
        UsageError: The name is not allowed, or there is no such file.
        SettingError: A setting is unknown or not allowed.
    """
    path = settings_file(lab)
    if not path.is_file():
        raise UsageError(
            f"there is no lab {lab!r}: {path.name} does not exist",
            hint=f"known labs: {', '.join(declared_labs())}; "
            f"or write {path.name} (`config: {{}}` takes the defaults)",
        )
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise SettingError(f"{path.name} is not valid YAML", hint=str(error)) from error
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict | None):
        raise SettingError(f"{path.name}: `config` must be a mapping", hint="see Pulumi.dev.yaml")
    values = {}
    for key, value in (config or {}).items():
        namespace, _, name = str(key).rpartition(":")
        if namespace not in ("", PROJECT):
            raise SettingError(
                f"{path.name}: {key!r} is not a setting of {PROJECT}",
                hint=f"settings begin with `{PROJECT}:`",
            )
        values[name] = value
    values |= {key: value for key, value in overrides.items() if value is not None}
    settings = parse_settings(values, source=path.name)
    vm, container = (placeholder_spec(lab, settings, lambda *_: []).port(side) for side in SideName)
    if vm == container:
        raise SettingError(
            f"{path.name}: vmPort and containerPort are both {vm}: what is not set goes by the lab's name",
            hint="set vmPort and containerPort, to two different ports",
        )
    return settings
