"""What is refused before a daemon is asked, and which differences matter."""

from __future__ import annotations

from typing import Any

import pytest

from pairlab.plugin.checks import changed_paths, check_values
from pairlab.plugin.libvirt import cloud_init_disk, domain, network, pool, volume
from pairlab.plugin.libvirt._values import equivalent, reconcile
from pairlab.plugin.resource import UNKNOWN, Property

DOMAIN, NETWORK, POOL, VOLUME = domain.Served, network.Served, pool.Served, volume.Served
DIR = {"name": "p", "type": "dir"}

REFUSED = [
    (VOLUME, {"name": "a/b"}, "name", "without slashes"),
    (VOLUME, {"name": ".."}, "name", "without slashes"),
    (VOLUME, {"name": "v", "source": "/x", "size": 1}, "size", "together with source"),
    (
        VOLUME,
        {"name": "v", "source": UNKNOWN, "baseVolumeId": UNKNOWN},
        "baseVolumeId",
        "together with source",
    ),
    (VOLUME, {"name": "v", "baseVolumeId": "/a", "baseVolumeName": "a"}, "baseVolumeName", "not both"),
    (VOLUME, {"name": "v", "baseVolumePool": "p"}, "baseVolumePool", "goes together"),
    (VOLUME, {"name": "v", "format": "vmdk"}, "format", "allowed: qcow2, raw"),
    (VOLUME, {"name": "v", "xml": {}}, "xml", "is not served"),
    (cloud_init_disk.Served, {"name": "../x"}, "name", "without slashes"),
    (POOL, DIR, "target", "give target.path"),
    (POOL, {**DIR, "path": "/a", "target": {"path": "/b"}}, "target", "give target.path"),
    (POOL, {**DIR, "target": {"path": "a"}}, "target", "not an absolute path"),
    (POOL, {**DIR, "target": {"path": "/a/../b"}}, "target", "not an absolute path"),
    (POOL, {**DIR, "type": "logical"}, "type", "allowed: dir"),
    (NETWORK, {"name": "n", "mode": "mad"}, "mode", "allowed: nat"),
    (NETWORK, {"name": "n", "mode": "bridge"}, "bridge", "must be given"),
    (NETWORK, {"name": "n", "bridge": "a" * 16}, "bridge", "longer than 15"),
    (NETWORK, {"name": "n", "addresses": ["10.0.0.0/30"]}, "addresses", "too small"),
    (NETWORK, {"name": "n", "addresses": ["10.0.0.0/33"]}, "addresses", "no network such as"),
    (DOMAIN, {"name": "d", "disks": [{}]}, "disks[0]", "exactly one of"),
    (DOMAIN, {"name": "d", "disks": [{"file": "/a", "volumeId": "b"}]}, "disks[0]", "exactly one of"),
    (DOMAIN, {"name": "d", "disks": [{"file": "/a", "scsi": True}]}, "disks[0].scsi", "is not served"),
    (DOMAIN, {"name": "d", "networkInterfaces": [{}]}, "networkInterfaces[0]", "give networkId"),
    (
        DOMAIN,
        {"name": "d", "networkInterfaces": [{"bridge": "b", "mac": "5254"}]},
        "networkInterfaces[0].mac",
        "not a hardware address",
    ),
    (
        DOMAIN,
        {"name": "d", "networkInterfaces": [{"bridge": "b", "addresses": ["1.2.3"]}]},
        "networkInterfaces[0].addresses",
        "not an IP address",
    ),
    (DOMAIN, {"name": "d", "memory": 0}, "memory", "less than 1"),
    (DOMAIN, {"name": "d", "metadata": "<a"}, "metadata", "not well-formed"),
    (DOMAIN, {"name": "d", "metadata": "</metadata><metadata>"}, "metadata", "not well-formed"),
    (DOMAIN, {"name": "d", "metadata": "<a/>"}, "metadata", "namespace"),
    (DOMAIN, {"name": "d", "nvram": {"file": "/n"}}, "nvram", "together with firmware"),
    (DOMAIN, {"name": "d", "type": "xen"}, "type", "allowed: kvm, qemu"),
    (DOMAIN, {"name": "d", "xml": {"xslt": "<a>"}}, "xml.xslt", "not well-formed"),
    (DOMAIN, {"name": "d", "xml": {"xsl": "<a/>"}}, "xml.xsl", "is not served"),
]


@pytest.mark.parametrize(("served", "inputs", "prop", "reason"), REFUSED)
def test_refused_by_name_with_the_reason(served: Any, inputs: dict[str, Any], prop: str, reason: str) -> None:
    inputs = dict(inputs)
    failures = check_values(inputs, served.properties, "libvirt") or served.validate(inputs)
    assert [failure.property for failure in failures] == [prop]
    assert reason in failures[0].reason


@pytest.mark.parametrize(
    ("served", "inputs"),
    [
        (VOLUME, {"name": UNKNOWN, "pool": UNKNOWN, "size": UNKNOWN}),
        (POOL, {"name": "p", "type": "dir", "target": UNKNOWN}),
        (POOL, {"name": "p", "type": "dir", "target": {"path": UNKNOWN}}),
        (NETWORK, {"name": "n", "addresses": [UNKNOWN], "bridge": UNKNOWN}),
        (
            DOMAIN,
            {"name": "d", "disks": [{"file": UNKNOWN}], "networkInterfaces": UNKNOWN, "metadata": UNKNOWN},
        ),
        (DOMAIN, {"name": "d", "networkInterfaces": [{"networkId": UNKNOWN, "mac": UNKNOWN}]}),
        (DOMAIN, {"name": "d", "xml": UNKNOWN}),
        (DOMAIN, {"name": "d", "xml": {"xslt": UNKNOWN}}),
    ],
)
def test_a_preview_does_not_stumble_over_unknowns(served: Any, inputs: dict[str, Any]) -> None:
    assert (check_values(inputs, served.properties, "libvirt") or served.validate(inputs)) == []
    changed_paths(served, {"name": "x"}, {"name": "x"}, inputs)


SAME = [
    (NETWORK, "addresses", ["10.0.0.1/24"], ["10.0.0.0/24"]),
    (NETWORK, "dns", {"enabled": True, "localOnly": False}, {"enabled": True}),
    (POOL, "path", "/a/b", "/a/b/"),
    (POOL, "target", {"path": "/a"}, {"path": "/a/"}),
    (cloud_init_disk.Served, "networkConfig", None, ""),
    (DOMAIN, "metadata", '<n:a xmlns:n="urn:a" x="1"/>', '<a xmlns="urn:a" x="1"></a>'),
    (DOMAIN, "cmdlines", [{"a": "1"}, {"_": "quiet"}], [{"_": "quiet", "a": "1"}]),
    (DOMAIN, "disks", [{"file": "/p/v"}], [{"volumeId": "/p/v"}]),
    (DOMAIN, "cloudinit", "/p/s", "/p/s;uuid"),
    (
        DOMAIN,
        "networkInterfaces",
        [{"mac": "52:54:00:AA:BB:CC", "networkId": "i", "networkName": "n", "addresses": ["10.0.0.2"]}],
        [{"mac": "52:54:00:aa:bb:cc", "networkId": "i"}],
    ),
    (
        DOMAIN,
        "consoles",
        [{"type": "pty", "targetPort": "0"}],
        [{"type": "pty", "targetPort": "0", "sourceService": "0"}],
    ),
]
DIFFERENT = [
    (NETWORK, "addresses", ["10.0.0.0/24"], ["10.0.1.0/24"]),
    (NETWORK, "dns", {"hosts": [{"ip": "1.1.1.1", "hostname": "a"}]}, {"enabled": True}),
    (DOMAIN, "cloudinit", "/p/s;1", "/p/s;2"),
    (DOMAIN, "metadata", '<a xmlns="urn:a"/>', '<a xmlns="urn:b"/>'),
    (DOMAIN, "disks", [{"file": "/a"}], [{"file": "/a"}, {"file": "/b"}]),
    (DOMAIN, "networkInterfaces", [{"networkId": "i"}], [{"networkId": "j"}]),
    (DOMAIN, "networkInterfaces", [{"waitForLease": True}], [{}]),
]


@pytest.mark.parametrize(("served", "name", "old", "new"), SAME)
def test_values_that_mean_the_same(served: Any, name: str, old: Any, new: Any) -> None:
    assert not served.differs(name, old, new)


@pytest.mark.parametrize(("served", "name", "old", "new"), DIFFERENT)
def test_values_that_differ(served: Any, name: str, old: Any, new: Any) -> None:
    assert served.differs(name, old, new)


def test_a_seed_that_is_given_no_more_replaces_its_domain() -> None:
    seed = {"name": "d", "cloudinit": "/p/s;1"}
    assert changed_paths(DOMAIN, seed, seed, {"name": "d"}) == {"cloudinit": ("delete", True)}


def test_what_is_empty_or_false_is_as_good_as_none() -> None:
    state = {"name": "d", "autostart": False, "networkInterfaces": [], "metadata": ""}
    assert changed_paths(DOMAIN, state, {"name": "d"}, {"name": "d"}) == {}
    assert changed_paths(DOMAIN, state, state, {"name": "d"}) == {}


def test_only_what_cannot_change_in_place_replaces_a_domain() -> None:
    in_place = {name for name, rule in DOMAIN.properties.items() if not rule.replace}
    assert in_place == {"metadata", "cloudinit", "networkInterfaces", "autostart", "running"}


def test_reconcile_keeps_what_is_not_told_and_drops_what_is_not_there() -> None:
    recorded = {"source": "/s", "mtu": 9000, "list": [{"a": 1, "b": 2}], "empty": []}
    found = {"mtu": None, "list": [{"a": 5, "c": None}], "empty": None, "new": {"x": None, "y": 1}}
    assert reconcile(recorded, found) == {
        "source": "/s",
        "list": [{"a": 5, "b": 2}],
        "empty": [],
        "new": {"y": 1},
    }


def test_equivalent_knows_computed_fields_and_defaults() -> None:
    rule = Property(dict, fields={"c": Property(str, computed=True), "d": Property(str, default="x")})
    assert equivalent(rule, {"c": "chosen"}, {"d": "x"})
    assert not equivalent(rule, {"c": "chosen"}, {"c": "other"})
    assert not equivalent(rule, {"d": "y"}, {"d": "x"})
