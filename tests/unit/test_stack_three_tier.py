"""The three-tier program under Pulumi's mocks: how many of what, who gets the password, and in what form."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_stacks import Declared, changed, declare, declare_spec

from pairlab.image.recipe import container_recipe, vm_recipe
from pairlab.model import LabSpec, Settings, placeholder_spec
from stacks import three_tier

PASSWORD = "correct-horse-battery"
SECRET_MARK = "4dabf18193072939515e22adb298388d"
"""Key by which the engine knows a wrapped secret. Source: pulumi.runtime.rpc._special_sig_key."""
SERVICE = "docker:index/service:Service"
SECRET = "docker:index/secret:Secret"


def spec_with(password: str) -> LabSpec:
    spec = placeholder_spec("dev", Settings(stack="three_tier"), three_tier.tiers)
    return replace(spec, keys=replace(spec.keys, password=password))


@pytest.fixture
def declared() -> Declared:
    return declare_spec("three_tier", spec_with(PASSWORD))


def strings(value: Any, *, secret: bool, inside: bool = False) -> Iterator[str]:
    """All texts of a resource's inputs that are, or are not, wrapped as secret."""
    if isinstance(value, dict):
        inside = inside or SECRET_MARK in value
        for key, item in value.items():
            yield from strings(item, secret=secret, inside=inside)
            if not inside and not secret:
                yield key
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, secret=secret, inside=inside)
    elif inside == secret:
        yield str(value)


def decoded(inputs: dict[str, Any]) -> str:
    return base64.b64decode(inputs["data"]["value"]).decode()


def test_each_side_has_one_redis_however_many_web_servers() -> None:
    declared = declare("three_tier", vms=3, replicas=4)
    services = {inputs["name"]: inputs for inputs in declared.of_type(SERVICE).values()}
    replicas = {name: inputs["mode"]["replicated"]["replicas"] for name, inputs in services.items()}
    assert replicas == {"pairlab-dev-counter": 4, "pairlab-dev-redis": 1}
    domains = {inputs["name"] for inputs in declared.of_type("libvirt:index/domain:Domain").values()}
    assert domains == {f"pairlab-dev-vm-{which}" for which in ("0", "1", "2", "redis-0")}


def test_redis_is_known_by_its_name_on_both_sides(declared: Declared) -> None:
    (network,) = declared.of_type("libvirt:index/network:Network").values()
    addresses = {host["ip"] for host in network["dns"]["hosts"] if host["hostname"] == "redis"}
    seed = declared.inputs["dev-vm-vm-redis-0-seed"]
    assert [address for address in addresses if f'"{address}/24"' in seed["networkConfig"]] == [*addresses]
    assert len(addresses) == 1
    service = declared.inputs["dev-container-redis"]
    assert service["taskSpec"]["networksAdvanceds"][0]["aliases"] == ["redis"]


def test_the_front_doors_lead_to_the_web_servers_only(declared: Declared) -> None:
    doors = declared.of_type("docker:index/container:Container").values()
    configurations = [inputs["uploads"][0]["content"] for inputs in doors]
    assert len(configurations) == 2
    for text in configurations:
        assert "counter:8080" in text
        assert "redis" not in text.replace("redispatch", "")


def test_the_password_reaches_both_tiers_of_both_sides_as_a_secret(declared: Declared) -> None:
    contents = sorted(decoded(inputs) for inputs in declared.of_type(SECRET).values())
    assert contents == [f"{PASSWORD}\n", f"requirepass {PASSWORD}\n"]
    for seed, owner in (("vm-0", "www-data"), ("vm-1", "www-data"), ("vm-redis-0", "redis")):
        text = declared.inputs[f"dev-vm-{seed}-seed"]["userData"]["value"]
        entry = text[: text.index(PASSWORD)].rpartition("- path:")[2]
        assert 'permissions: "0600"' in entry
        assert f'owner: "{owner}:{owner}"' in entry


def test_the_password_is_nowhere_in_the_open(declared: Declared) -> None:
    # Base64 of the two files that hold it, without what their ends share with what follows.
    written = [base64.b64encode(text.encode()).decode() for text in (PASSWORD, f"requirepass {PASSWORD}")]
    forms = [PASSWORD, *(text.rstrip("=")[:-2] for text in written)]
    hidden = json.dumps([*strings(declared.inputs, secret=True)])
    in_the_open = json.dumps([*strings(declared.inputs, secret=False)])
    assert [form for form in forms if form not in hidden] == []
    assert [form for form in forms if form in in_the_open] == []


def test_another_password_replaces_what_reads_it_and_nothing_else(declared: Declared) -> None:
    after = changed(declared, declare_spec("three_tier", spec_with("another")))
    assert {"dev-container-counter", "dev-container-redis", "dev-vm-vm-0", "dev-vm-vm-redis-0"} <= after
    assert not [name for name in after if "network" in name or "door" in name or "base" in name]


def test_one_more_web_server_leaves_redis_alone() -> None:
    after = changed(declare("three_tier"), declare("three_tier", vms=3, replicas=3))
    assert not [name for name in after if "redis" in name]
    assert {"dev-container-counter", "dev-vm-vm-2"} <= after


def test_the_images_hold_no_password_and_redis_demands_one() -> None:
    for make in (vm_recipe, container_recipe):
        redis = make(three_tier.REDIS)
        assert "include /etc/redis/password.conf" in redis.files["/etc/redis/redis.conf"].content
        assert "/etc/redis/password.conf" not in redis.files
        counter = make(three_tier.COUNTER)
        assert "/etc/nginx/redis-password" not in counter.files
        for recipe in (redis, counter):
            assert "requirepass" not in "".join(file.content for file in recipe.files.values())


def test_names_of_a_lab_with_the_longest_name_are_short_enough_for_swarm() -> None:
    declared = declare("three_tier", name="a" * 30)
    names = [
        inputs["name"]
        for token in (SERVICE, SECRET, "docker:index/serviceConfig:ServiceConfig")
        for inputs in declared.of_type(token).values()
    ]
    assert len(names) == 5
    assert [name for name in names if len(name) > 63] == []
    assert len(set(names)) == len(names)
