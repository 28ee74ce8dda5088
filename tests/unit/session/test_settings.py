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
