"""A lab's settings: its `Pulumi.<lab>.yaml`, with what the command line overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pairlab.errors import SettingError, UsageError
from pairlab.model import PROJECT, Settings, SideName, check_lab_name, parse_settings, placeholder_spec

TOP_LEVEL = ("config", "secretsprovider", "encryptedkey", "encryptionsalt", "environment")
"""Keys of such a file. Source: Pulumi 3.259, sdk/go/common/workspace/project.go, ProjectStack."""
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
        SettingError: The file is none of settings, or a setting is unknown or not allowed.
    """
    path = settings_file(lab)
    if not path.is_file():
        raise UsageError(
            f"there is no lab {lab!r}: {path.name} does not exist",
            hint=f"known labs: {', '.join(declared_labs())}; "
            f"or write {path.name} (`config: {{}}` takes the defaults)",
        )
    values = {}
    for key, value in _read_config(path).items():
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


def _read_config(path: Path) -> dict[Any, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SettingError(f"{path.name} is no text in UTF-8: {error}", hint="save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise SettingError(f"{path.name} is not valid YAML", hint=str(error)) from error
    if not isinstance(document, dict | None):
        raise SettingError(
            f"{path.name} must be a mapping, not a {type(document).__name__}", hint="see Pulumi.dev.yaml"
        )
    for key in document or {}:
        if key not in TOP_LEVEL:
            near = difflib.get_close_matches(str(key), TOP_LEVEL, n=1)
            suggestion = f"did you mean {near[0]!r}? " if near else ""
            raise SettingError(
                f"{path.name}: unknown key {key!r} at its top level",
                hint=f"{suggestion}settings stand below `config:`, as in Pulumi.dev.yaml",
            )
    config = (document or {}).get("config")
    if not isinstance(config, dict | None):
        raise SettingError(f"{path.name}: `config` must be a mapping", hint="see Pulumi.dev.yaml")
    return config or {}
