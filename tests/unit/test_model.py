import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from pairlab.errors import SettingError, UsageError
from pairlab.model import (
    FIRST_PORT,
    MAX_INSTANCES,
    Accelerator,
    ContainerImage,
    Instance,
    LabKeys,
    LabSpec,
    Settings,
    SideName,
    SshHostKey,
    check_lab_name,
    parse_instance_name,
    parse_settings,
    setting_keys,
)


def spec(name: str = "dev", **settings: Any) -> LabSpec:
    fields = {field.name for field in dataclasses.fields(LabKeys)}
    keys = LabKeys(
        **{key: value for key, value in {"public": "", "hosts": {}, "password": "p"}.items() if key in fields}
    )
    return LabSpec(name, Settings(**settings), {}, ContainerImage("0", "door:0"), keys, Accelerator.TCG)


def test_defaults_are_valid_and_keys_are_camel_case() -> None:
    assert parse_settings({}, source="defaults") == Settings()
    assert setting_keys()["vmMemoryMib"] == "vm_memory_mib"
    assert set(setting_keys().values()) == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("vms", 51, "less than or equal to 50"),
        ("vms", "many", "valid integer"),
        ("vms", -1, "greater than or equal to 0"),
        ("accelerator", "xen", "'auto', 'kvm' or 'tcg'"),
        ("subnet", "10.0.0.0/16", "private IPv4 network"),
        ("subnet", "8.8.8.0/24", "private IPv4 network"),
        ("subnet", "10.0.0.1/24", "such as 10.213.7.0/24"),
        ("subnet", "x", "of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"),
        ("subnet", "0.0.0.0/24", "private IPv4 network"),
        ("subnet", "240.0.0.0/24", "private IPv4 network"),
        ("vms", True, "a number"),
        ("containerCpus", False, "a number"),
        ("guestImageUrl", "ftp://x/a.qcow2", "begins with https://, http:// or file://"),
        ("guestImageUrl", "/srv/a.qcow2", "begins with https://"),
        ("libvirtUri", "xen:///", "QEMU driver"),
        ("dockerHost", "tcp://0.0.0.0:2375", "Docker address"),
        ("message", "two\nlines", "one line"),
        ("guestImageSha256", "abc", "match"),
        ("containerCpus", 0, "greater than 0"),
        ("vmMemoryMib", 64, "greater than or equal to 128"),
    ],
)
def test_a_wrong_value_is_refused_with_key_value_and_what_is_allowed(key: str, value: Any, told: str) -> None:
    with pytest.raises(SettingError) as refused:
        parse_settings({key: value}, source="Pulumi.dev.yaml")
    message = refused.value.message
    assert message.startswith("Pulumi.dev.yaml: ")
    assert repr(key) in message
    assert repr(value) in message
    assert told in message


@pytest.mark.parametrize(
    ("typo", "near"), [("vmMemoryMiB", "vmMemoryMib"), ("replica", "replicas"), ("vm_port", "vmPort")]
)
def test_a_typo_is_refused_with_the_nearest_key(typo: str, near: str) -> None:
    with pytest.raises(SettingError, match=f"unknown setting '{typo}'") as refused:
        parse_settings({typo: 1}, source="the command line")
    assert f"did you mean '{near}'?" in refused.value.hint


def test_an_unknown_key_without_a_neighbour_lists_all() -> None:
    with pytest.raises(SettingError) as refused:
        parse_settings({"zzzz": 1}, source="x")
    assert "did you mean" not in refused.value.hint
    assert all(key in refused.value.hint for key in setting_keys())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"guestImageUrl": "https://example.org/a.qcow2"}, "go together"),
        ({"vmPort": 8080, "containerPort": 8080}, "must differ"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match="settings do not go together") as refused:
        parse_settings(values, source="x")
    assert told in refused.value.message


@pytest.mark.parametrize("name", ["a", "dev", "team-7", "a" * 30])
def test_lab_names_that_are_allowed(name: str) -> None:
    assert check_lab_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a/b", "a b", "Dev", "7up", "a-", "-a", "a" * 31, "a" * 80, "dev\n", "é", "../x"]
)
def test_lab_names_that_are_not(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a lab"):
        check_lab_name(name)


def test_instance_names_round_trip() -> None:
    for instance in (Instance(SideName.VM, 0, ""), Instance(SideName.CONTAINER, 12, "", tier="redis")):
        assert parse_instance_name(instance.name) == (instance.side, instance.tier, instance.index)


@pytest.mark.parametrize(
    "text", ["", "vm", "vm/", "vm/x/y/0", "pod/0", "vm/-1", "VM/0", "vm/0 ", "vm/0\n", "vm/99999"]
)
def test_what_names_no_instance(text: str) -> None:
    with pytest.raises(UsageError, match="names no instance"):
        parse_instance_name(text)


def test_secrets_do_not_show_in_representations() -> None:
    key = SshHostKey("public", "PRIVATE")
    assert "PRIVATE" not in repr(key)
    assert "PRIVATE" not in repr(
        LabSpec("a", Settings(), {}, ContainerImage("0", "d"), spec().keys, Accelerator.KVM)
    )


def test_labs_have_places_of_their_own_that_names_alone_decide() -> None:
    one, two = spec("dev"), spec("ci")
    assert spec("dev").subnet == one.subnet
    assert one.subnet != two.subnet
    assert one.bridge != two.bridge
    assert len(one.bridge) <= 15
    ports = [lab.port(side) for lab, side in itertools.product((one, two), SideName)]
    assert len(set(ports)) == 4
    assert all(FIRST_PORT <= port < FIRST_PORT + 500 for port in ports)


def test_settings_win_over_the_name() -> None:
    lab = spec(subnet="192.168.77.0/24", vm_port=9000)
    assert str(lab.subnet) == "192.168.77.0/24"
    assert lab.port(SideName.VM) == 9000
    assert lab.port(SideName.CONTAINER) != 9000


def test_no_two_vms_share_an_address_or_a_hardware_address() -> None:
    lab = spec()
    places = list(itertools.product(range(4), range(MAX_INSTANCES)))
    addresses = {lab.address(tier, index) for tier, index in places}
    assert len(addresses) == len(places)
    assert all(address in lab.subnet and address != lab.gateway for address in addresses)
    assert len({lab.mac(tier, index) for tier, index in places}) == len(places)
    assert Path(lab.pool_path).name == lab.name
