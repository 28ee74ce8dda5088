"""A domain's stylesheet: when it is applied, and what comes of one that fails. The tool is the test's own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, check_values, refreshed_inputs
from pairlab.plugin.libvirt import domain, network
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import Context, Values
from tests.contract.plugin_libvirt.libvirt_fake import FakeLibvirt

SHEET = "<sheet/>"
ADDS_A_PANIC_DEVICE = """
echo "$@" > "$0.asked"
stat --format=%a "$4" > "$0.mode"
cat "$4" > "$0.sheet"
sed 's|</devices>|<panic model="isa"/></devices>|'
"""


@pytest.fixture
def connection() -> FakeLibvirt:
    return FakeLibvirt()


@pytest.fixture
def served(connection: FakeLibvirt) -> domain.Served:
    return domain.Served(Client("qemu:///x", lambda _uri: connection))


def tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this script be xsltproc."""
    path = folder / "xsltproc"
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return path


def inputs_with(sheet: str, **more: object) -> Values:
    inputs: Values = {"name": "x", "xml": {"xslt": sheet}, **more}
    assert check_values(inputs, domain.Served.properties, "libvirt") == []
    assert domain.Served.validate(inputs) == []
    return inputs


def test_it_changes_what_is_defined_and_a_second_look_finds_nothing(
    served: domain.Served, connection: FakeLibvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tool(tmp_path, ADDS_A_PANIC_DEVICE, monkeypatch)
    inputs = inputs_with(SHEET)
    resource_id, outputs = served.create(inputs, Context())
    assert connection.lookupByName("x").root.find("./devices/panic") is not None
    *options, sheet, source = ran.with_suffix(".asked").read_text().split()
    assert (options, source) == (["--nomkdir", "--nonet", "--nowrite"], "-")
    assert ran.with_suffix(".sheet").read_text() == SHEET
    assert ran.with_suffix(".mode").read_text() == "600\n"
    assert not Path(sheet).exists()
    found = served.read(resource_id, outputs, Context()) or {}
    assert found == outputs
    assert changed_paths(domain.Served, found, inputs, inputs) == {}
    assert refreshed_inputs(domain.Served, inputs, found) == inputs


def test_another_sheet_or_none_any_more_is_another_domain() -> None:
    old, new = inputs_with(SHEET), inputs_with("<other/>")
    assert changed_paths(domain.Served, old, old, new) == {"xml.xslt": ("update", True)}
    plain: Values = {**old}
    del plain["xml"]
    assert changed_paths(domain.Served, old, old, plain) == {"xml": ("delete", True)}


def test_a_domain_that_is_defined_anew_for_its_network_keeps_what_it_adds(
    served: domain.Served, connection: FakeLibvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, ADDS_A_PANIC_DEVICE, monkeypatch)
    for number, name in enumerate("ab"):
        lan = {"name": name, "mode": "nat", "addresses": [f"10.215.{number}.0/24"]}
        network.Served(served.client).create(lan, Context())
    here = inputs_with(SHEET, networkInterfaces=[{"networkName": "a"}])
    resource_id, outputs = served.create(here, Context())
    there = inputs_with(SHEET, networkInterfaces=[{"networkName": "b"}])
    served.update(resource_id, outputs, there, Context())
    root: ET.Element = connection.lookupByUUIDString(resource_id).root
    assert [each.get("network") for each in root.findall("./devices/interface/source")] == ["b"]
    assert len(root.findall("./devices/panic")) == 1


@pytest.mark.parametrize("sheet", ["", None])
def test_without_a_sheet_no_tool_is_needed(
    sheet: str | None, served: domain.Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    xml = {} if sheet is None else {"xslt": sheet}
    served.create({**inputs_with(SHEET), "xml": xml}, Context())


REFUSED = {
    "fails": ("echo 'not a stylesheet' >&2; exit 5", "exit status 5: not a stylesheet", "correct"),
    "prints no XML": ("echo text", "describes no domain", "the root element"),
    "prints no domain": ("echo '<network/>'", "describes no domain", "the root element"),
}  # fmt: skip


@pytest.mark.parametrize(("script", "words", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_sheet_that_does_not_work_is_told_and_nothing_is_made(
    script: str, words: str, hint: str, served: domain.Served, connection: FakeLibvirt, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tool(tmp_path, f"cat > /dev/null\n{script}", monkeypatch)
    with pytest.raises(PluginError, match=words) as told:
        served.create(inputs_with(SHEET), Context())
    assert hint in told.value.hint
    assert connection.domains == {}


def test_a_missing_tool_is_told_with_its_package(
    served: domain.Served, connection: FakeLibvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="xsltproc is not installed") as told:
        served.create(inputs_with(SHEET), Context())
    assert "install the Debian package xsltproc" in told.value.hint
    assert connection.domains == {}
