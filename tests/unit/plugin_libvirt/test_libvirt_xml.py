"""Inputs to XML by case files, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pairlab.plugin.checks import changed_paths, check_values
from pairlab.plugin.libvirt import domain, network
from pairlab.plugin.libvirt._domain_read import read_domain
from pairlab.plugin.libvirt._domain_xml import (
    VolumeDisk,
    cloud_init_element,
    disk_element,
    domain_xml,
    interface_element,
    letter,
)
from pairlab.plugin.libvirt._network_xml import network_xml, read_network
from pairlab.plugin.libvirt._storage import VolumeSpec
from pairlab.plugin.libvirt._values import settle
from pairlab.plugin.libvirt.pool import pool_xml
from pairlab.plugin.resource import Values

CASES = sorted((Path(__file__).parents[2] / "cases" / "libvirt").glob("*.json"))


def plain(xml: str) -> str:
    return ET.canonicalize(xml, strip_text=True, rewrite_prefixes=True)


def load(path: Path) -> tuple[str, Values, str]:
    case = json.loads(path.read_text())
    served: Any = network.Served if case["kind"] == "network" else domain.Served
    assert check_values(case["inputs"], served.properties, "libvirt") == []
    assert served.validate(case["inputs"]) == []
    return case["kind"], case["inputs"], path.with_suffix(".xml").read_text()


def made(kind: str, inputs: Values) -> str:
    if kind == "network":
        return network_xml(inputs)
    disks: list[ET.Element] = []
    for position, disk in enumerate(inputs["disks"]):
        volume = VolumeDisk("pool", "v", "qcow2") if "volumeId" in disk else None
        isos = sum(one.get("device") == "cdrom" for one in disks)
        disks.append(disk_element(position, isos, disk, volume))
    if "cloudinit" in inputs:
        disks.append(cloud_init_element(inputs["cloudinit"].partition(";")[0]))
    interfaces = [
        interface_element(one, one["mac"], "net" if "networkId" in one else None)
        for one in inputs["networkInterfaces"]
    ]
    return domain_xml(inputs, disks, interfaces)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_inputs_become_the_expected_xml(path: Path) -> None:
    kind, inputs, expected = load(path)
    assert plain(made(kind, inputs)) == plain(expected)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_reading_it_back_finds_no_difference(path: Path) -> None:
    kind, inputs, expected = load(path)
    if kind == "network":
        served: Any = network.Served
        found = read_network(expected)
    else:
        served = domain.Served
        found = read_domain(expected, inputs, lambda _pool, name: f"/p/{name}")
    outputs = settle(served, inputs, found)
    assert changed_paths(served, outputs, inputs, inputs) == {}
    assert settle(served, outputs, found) == outputs


def test_what_vanished_from_a_network_is_told() -> None:
    _, inputs, _ = load(next(path for path in CASES if path.stem == "network_full"))
    bare = "<network><name>n</name><forward mode='route'/><bridge name='virbr1'/></network>"
    outputs = settle(network.Served, inputs, read_network(bare))
    changed = {path.partition(".")[0] for path in changed_paths(network.Served, outputs, inputs, inputs)}
    assert {"mtu", "domain", "routes", "dnsmasqOptions", "addresses"} <= changed | (
        inputs.keys() - outputs.keys()
    )
    assert "hosts" not in outputs["dns"]


def test_a_netmask_is_read_like_a_prefix() -> None:
    xml = "<network><name>n</name><ip address='192.168.122.1' netmask='255.255.255.0'/></network>"
    assert read_network(xml)["addresses"] == ["192.168.122.0/24"]


def test_canonical_machine_names_mean_their_alias() -> None:
    xml = "<domain type='kvm'><name>d</name><memory unit='KiB'>524288</memory>"
    xml += "<os><type machine='pc-q35-7.2'/></os><devices/></domain>"
    no_key = lambda _pool, _name: None  # noqa: E731
    assert read_domain(xml, {"machine": "q35"}, no_key)["machine"] == "q35"
    assert read_domain(xml, {"machine": "pc"}, no_key)["machine"] == "pc-q35-7.2"
    assert read_domain(xml, {}, no_key)["machine"] == "pc-q35-7.2"


def test_names_cannot_break_out_of_the_xml() -> None:
    evil = "</name><x a='\"&"
    assert ET.fromstring(pool_xml(evil, evil)).findtext("name") == evil
    assert ET.fromstring(VolumeSpec(evil, 1, "raw", base=(evil, evil)).to_xml()).findtext("name") == evil
    assert ET.fromstring(network_xml({"name": evil, "mode": "none"})).findtext("name") == evil


@pytest.mark.parametrize(("position", "name"), [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (702, "aaa")])
def test_disks_are_lettered_as_linux_does(position: int, name: str) -> None:
    assert letter(position) == name
