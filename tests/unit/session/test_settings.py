"""A lab's settings as its file has them, and what only its name makes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairlab.errors import SettingError
from pairlab.model import Settings, SideName, placeholder_spec
from pairlab.session.settings import load_settings


@pytest.mark.parametrize("given", list(SideName))
def test_a_chosen_port_is_not_the_one_that_the_other_side_has_by_the_labs_name(
    given: SideName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (other,) = set(SideName) - {given}
    port = placeholder_spec("dev", Settings(), lambda *_: []).port(other)
    (tmp_path / "Pulumi.dev.yaml").write_text(f"config: {{{given}Port: {port}}}")
    with pytest.raises(SettingError, match=f"vmPort and containerPort are both {port}"):
        load_settings("dev", {})
    assert load_settings("dev", {f"{other}Port": port + 2}).model_dump()[f"{given}_port"] == port


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        (b"vms: 5", "unknown key 'vms' at its top level", "settings stand below `config:`"),
        (b"pairlab:vms: 5", "unknown key 'pairlab:vms'", "settings stand below `config:`"),
        (b"confg: {vms: 5}", "unknown key 'confg'", "did you mean 'config'"),
        (b"- vms: 5", "must be a mapping, not a list", "Pulumi.dev.yaml"),
        (b"vms", "must be a mapping, not a str", "Pulumi.dev.yaml"),
        (b"config: [vms]", "`config` must be a mapping", "Pulumi.dev.yaml"),
        ("config: {message: Grüße}".encode("latin-1"), "is no text in UTF-8", "save it as UTF-8"),
        (b"config: {", "is not valid YAML", "line 1"),
    ],
)
def test_a_file_that_is_none_of_settings_is_refused_by_name(
    text: bytes, told: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_bytes(text)
    with pytest.raises(SettingError, match=rf"Pulumi\.dev\.yaml.*{told}") as refused:
        load_settings("dev", {})
    assert hint in refused.value.hint


@pytest.mark.parametrize("text", ["", "config:", "encryptionsalt: v1:x\nconfig: {}"])
def test_pulumis_own_keys_and_an_empty_file_are_fine(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    assert load_settings("dev", {}) == Settings()
