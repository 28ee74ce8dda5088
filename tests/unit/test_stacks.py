"""The programs under Pulumi's mocks: what they declare, and what each setting changes."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import runpy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pulumi
import pytest

from pairlab.image.recipe import workload_files
from pairlab.model import (
    MAX_INSTANCES,
    PACKAGES_HOST,
    PACKAGES_PORT,
    PACKAGES_URL,
    PRIVATE_NETWORKS,
    Accelerator,
    ContainerImage,
    LabSpec,
    Settings,
    SideName,
    placeholder_spec,
)
from pairlab.session.spec import load_stack, stack_names, tiers_of

FIXED_NAMES = (
    "libvirt:index/domain:Domain",
    "libvirt:index/network:Network",
    "libvirt:index/pool:Pool",
    "docker:index/network:Network",
    "docker:index/container:Container",
    "docker:index/service:Service",
)
Made = dict[str, dict[str, Any]]


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Keeps what is registered, as the engine would see it."""

    inputs: Made = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.inputs[args.name] = args.inputs
        self.types[args.name] = args.typ
        self.providers[args.name] = args.provider or ""
        return f"{args.name}-id", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        raise AssertionError(f"a program must ask nothing: {args.token}")


@dataclass
class Declared:
    """What a program declared, and the options of each resource."""

    inputs: Made
    types: dict[str, str]
    providers: dict[str, str]
    options: dict[str, pulumi.ResourceOptions]

    def of_type(self, token: str) -> Made:
        return {name: inputs for name, inputs in self.inputs.items() if self.types[name] == token}


def declare(stack: str, name: str = "dev", **settings: Any) -> Declared:
    module = load_stack(stack)
    return declare_spec(stack, placeholder_spec(name, Settings(stack=stack, **settings), module.tiers))


def declare_spec(stack: str, spec: LabSpec) -> Declared:
    recorder = Recorder()
    options: dict[str, pulumi.ResourceOptions] = {}
    initialise = pulumi.Resource.__init__

    def note(self: Any, kind: str, name: str, *args: Any, **kwargs: Any) -> None:
        given = kwargs.get("opts") or next((a for a in args if isinstance(a, pulumi.ResourceOptions)), None)
        options[name] = given or pulumi.ResourceOptions()
        initialise(self, kind, name, *args, **kwargs)

    pulumi.runtime.set_mocks(recorder, project="pairlab", stack=spec.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi.Resource, "__init__", note)
        pulumi.runtime.test(lambda: load_stack(stack).declare(spec))()
    return Declared(recorder.inputs, recorder.types, recorder.providers, options)


@pytest.fixture(params=stack_names())
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def changed(before: Declared, after: Declared) -> set[str]:
    """Names of the resources whose inputs differ, or that only one of the two has."""
    names = before.inputs.keys() | after.inputs.keys()
    return {name for name in names if before.inputs.get(name) != after.inputs.get(name)}


def test_every_resource_has_a_parent_and_a_provider(stack: str) -> None:
    declared = declare(stack)
    tokens = {token for token in declared.types.values() if token.startswith(("libvirt:", "docker:"))}
    assert len(tokens) >= 8
    for name, token in declared.types.items():
        options = declared.options.get(name)
        if token == "pairlab:lab:PairedLab":
            continue
        assert options is not None
        assert options.parent is not None, name
        if token.startswith(("libvirt:", "docker:")):
            package = token.partition(":")[0]
            assert f"::dev-{package}::" in declared.providers[name], name


def test_fixed_names_are_freed_before_they_are_taken_again(stack: str) -> None:
    declared = declare(stack)
    for token in FIXED_NAMES:
        assert declared.of_type(token), token
        for name in declared.of_type(token):
            assert declared.options[name].delete_before_replace, name


def test_docker_objects_carry_the_labs_label(stack: str) -> None:
    declared = declare(stack)
    labelled = ("Network", "Container", "Service", "ServiceConfig", "Secret")
    found = 0
    for name, inputs in declared.inputs.items():
        if declared.types[name].startswith("docker:") and declared.types[name].endswith(labelled):
            found += 1
            assert {"label": "org.pairlab.lab", "value": "dev"} in inputs["labels"], name
    assert found >= 4


def test_nothing_is_published_but_on_loopback(stack: str) -> None:
    declared = declare(stack)
    containers = declared.of_type("docker:index/container:Container")
    ports = [port for inputs in containers.values() for port in inputs.get("ports") or []]
    assert [port["ip"] for port in ports] == ["127.0.0.1"]
    for inputs in declared.of_type("docker:index/service:Service").values():
        assert inputs["endpointSpec"] == {"mode": "dnsrr"}
    on_host = next(inputs for inputs in containers.values() if inputs.get("networkMode") == "host")
    assert "bind 127.0.0.1:" in on_host["uploads"][0]["content"]


def test_a_package_repository_is_added_without_touching_what_runs(stack: str) -> None:
    plain = placeholder_spec("dev", Settings(stack=stack), load_stack(stack).tiers)
    before, after = declare_spec(stack, plain), declare_spec(stack, with_updates(plain))
    assert changed(before, after) == {
        "dev-vm-packages",
        "dev-vm-packages-server",
        "dev-container-packages",
        "dev-container-packages-server",
    }


def test_a_package_repository_answers_its_own_side_only_under_one_name() -> None:
    spec = with_updates(placeholder_spec("dev", Settings(), load_stack("pair").tiers))
    declared = declare_spec("pair", spec)
    assert urlsplit(PACKAGES_URL).netloc == f"{PACKAGES_HOST}:{PACKAGES_PORT}"
    for side in SideName:
        inputs = declared.inputs[f"dev-{side}-packages-server"]
        assert inputs["image"] == "pairlab/updates:0123456789ab"
        assert not inputs.get("ports")
        assert {"label": "org.pairlab.lab", "value": "dev"} in inputs["labels"]
        assert declared.options[f"dev-{side}-packages-server"].delete_before_replace
    on_host = declared.inputs["dev-vm-packages-server"]
    assert on_host["networkMode"] == "host"
    config = on_host["uploads"][0]["content"]
    assert f"listen {spec.gateway}:{PACKAGES_PORT};" in config
    assert f"allow {spec.subnet};\n        deny all;" in config
    hosts = declared.inputs["dev-vm-network"]["dns"]["hosts"]
    assert {"hostname": PACKAGES_HOST, "ip": str(spec.gateway)} in hosts
    on_overlay = declared.inputs["dev-container-packages-server"]
    assert on_overlay["networksAdvanced"] == [
        {"name": "dev-container-network-id", "aliases": [PACKAGES_HOST]}
    ]
    assert f"listen 0.0.0.0:{PACKAGES_PORT};" in on_overlay["uploads"][0]["content"]


def test_a_vm_that_stands_by_is_there_and_no_name_leads_to_it() -> None:
    spec = placeholder_spec("dev", Settings(vms=3), load_stack("pair").tiers)
    usual = declare_spec("pair", spec)
    waiting = declare_spec("pair", replace(spec, standby=frozenset({"vm-1"})))
    assert changed(usual, waiting) == {"dev-vm-network"}
    led_to = [
        [
            host["ip"]
            for host in declared.inputs["dev-vm-network"]["dns"]["hosts"]
            if host["hostname"] == "web"
        ]
        for declared in (usual, waiting)
    ]
    assert led_to == [[str(spec.address(0, n)) for n in (0, 1, 2)], [str(spec.address(0, n)) for n in (0, 2)]]


def with_updates(spec: LabSpec) -> LabSpec:
    return replace(spec, updates=ContainerImage("0123456789ab", "pairlab/updates:0123456789ab"))


def with_machine(spec: LabSpec) -> LabSpec:
    return replace(spec, machine=ContainerImage("0123456789ab", "pairlab/machine:0123456789ab"))


def test_a_vm_in_a_container_is_added_without_touching_what_runs(stack: str) -> None:
    plain = placeholder_spec("dev", Settings(stack=stack), load_stack(stack).tiers)
    before, after = declare_spec(stack, plain), declare_spec(stack, with_machine(plain))
    parts = ("", "-image", "-service", "-meta-data", "-network-config", "-user-data")
    assert changed(before, after) == {f"dev-machine{part}" for part in parts}


def test_a_vm_in_a_container_is_a_service_without_power_that_answers_as_the_others() -> None:
    spec = with_machine(placeholder_spec("dev", Settings(vm_memory_mib=256), load_stack("pair").tiers))
    declared = declare_spec("pair", spec)
    service = declared.inputs["dev-machine-service"]
    task, plain = service["taskSpec"], declared.inputs["dev-container-web"]["taskSpec"]
    inside = task["containerSpec"]
    assert {"label": "org.pairlab.lab", "value": "dev"} in service["labels"]
    assert {"label": "org.pairlab.tier", "value": "machine"} in inside["labels"]
    assert task["networksAdvanceds"] == plain["networksAdvanceds"]
    assert inside["capDrops"] == ["ALL"]
    assert not inside.get("mounts")
    assert task["resources"]["limits"]["memoryBytes"] > 2 * 256 * 1024**2
    assert inside["env"]["MACHINE_MEMORY_MIB"] == "256"
    # Were it one that the container can be in, the VM would take who asks for a neighbour of its own.
    inner = ipaddress.IPv4Network(inside["env"]["MACHINE_NETWORK"])
    assert not any(inner.overlaps(each) for each in PRIVATE_NETWORKS)
    # The key of its ssh server is in a secret, and nowhere else.
    assert [secret["fileName"] for secret in inside["secrets"]] == ["/etc/machine/user-data"]
    seed = declared.inputs["dev-machine-user-data"]
    assert {"label": "org.pairlab.lab", "value": "dev"} in seed["labels"]
    user_data = base64.b64decode(seed["data"]["value"]).decode()
    assert 'hostname: "vm-machine-0"' in user_data
    assert "/etc/pairlab/page.html" in user_data
    names = [declared.inputs[f"dev-machine-{file}"]["name"] for file in ("user-data", "meta-data")]
    assert len({*names}) == 2


def test_names_of_a_vm_in_a_container_fit_the_longest_lab() -> None:
    spec = with_machine(placeholder_spec("a" * 30, Settings(), load_stack("pair").tiers))
    declared = declare_spec("pair", spec)
    kinds = ("docker:index/serviceConfig:ServiceConfig", "docker:index/secret:Secret")
    names = [inputs["name"] for kind in kinds for inputs in declared.of_type(kind).values()]
    assert max(map(len, names)) <= 64


def test_replicas_change_only_their_service() -> None:
    assert changed(declare("pair"), declare("pair", replicas=3)) == {"dev-container-web"}


def test_one_more_vm_leaves_the_others_alone() -> None:
    new = {"dev-vm-vm-2", "dev-vm-vm-2-disk", "dev-vm-vm-2-seed"}
    assert changed(declare("pair"), declare("pair", vms=3)) == new | {"dev-vm-network"}


def test_a_new_message_reaches_both_sides() -> None:
    after = changed(declare("pair"), declare("pair", message="Another."))
    assert "dev-container-web-page.html-config" in after
    assert {"dev-vm-vm-0", "dev-vm-vm-0-seed", "dev-vm-vm-0-disk"} <= after
    assert not [name for name in after if "network" in name or "pool" in name or "door" in name]


def test_a_new_image_replaces_disks_and_vms_of_its_workload_only() -> None:
    spec = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    images = spec.images["web"]
    newer = replace(images, vm=replace(images.vm, version="0123456789ab"))
    after = changed(declare_spec("pair", spec), declare_spec("pair", replace(spec, images={"web": newer})))
    assert {"dev-vm-web-base-0123456789ab", "dev-vm-vm-0-disk", "dev-vm-vm-0", "dev-vm-vm-1"} <= after
    assert not [name for name in after if name.startswith(("dev-container", "dev-vm-network", "dev-vm-door"))]


def test_one_vm_of_another_image_leaves_the_others_alone() -> None:
    spec = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    newer = replace(spec.images["web"].vm, version="0123456789ab")
    rolled = replace(spec, vm_images={"vm-1": newer})
    after = changed(declare_spec("pair", spec), declare_spec("pair", rolled))
    made = {f"dev-vm-web-{kind}-0123456789ab" for kind in ("base", "kernel", "initrd")}
    assert after == made | {"dev-vm-vm-1", "dev-vm-vm-1-disk", "dev-vm-vm-1-seed"}


def test_a_vm_that_is_restarted_after_a_panic_has_a_stylesheet_and_no_other_vm_has() -> None:
    draft = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    spec = replace(draft, accelerator=Accelerator.KVM)
    told = declare_spec("pair", replace(spec, restarting=frozenset({"vm-1"})))
    assert changed(declare_spec("pair", spec), told) == {"dev-vm-vm-1"}
    domains = told.of_type("libvirt:index/domain:Domain")
    assert [name for name, inputs in domains.items() if inputs.get("xml")] == ["dev-vm-vm-1"]
    sheet = ElementTree.fromstring(domains["dev-vm-vm-1"]["xml"]["xslt"])
    assert sheet.findtext(".//on_crash") == "restart"
    assert [device.get("model") for device in sheet.iter("panic")] == ["isa"]
    assert not list(sheet.iter("feature"))


def test_an_emulated_vm_does_without_what_is_slow_to_emulate() -> None:
    spec = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    emulated = declare_spec("pair", replace(spec, accelerator=Accelerator.TCG))
    domains = emulated.of_type("libvirt:index/domain:Domain")
    assert domains.keys() == {"dev-vm-vm-0", "dev-vm-vm-1"}
    for inputs in domains.values():
        assert inputs["cpu"]["mode"] == "maximum"
        sheet = ElementTree.fromstring(inputs["xml"]["xslt"])
        assert [feature.attrib for feature in sheet.iter("feature")] == [
            {"policy": "disable", "name": "erms"}
        ]
        assert sheet.find(".//on_crash") is None


@pytest.mark.parametrize("side", list(SideName))
def test_a_broken_release_of_what_is_in_front_differs_in_its_health_only(stack: str, side: SideName) -> None:
    draft = placeholder_spec("dev", Settings(), load_stack(stack).tiers)
    front = next(
        t.workload for t in tiers_of(load_stack(stack), "dev", draft.settings, draft.keys) if t.front
    )
    good, bad = workload_files(front, side), workload_files(front.broken_release, side)
    assert good.keys() == bad.keys()
    assert {path for path in good if good[path] != bad[path]} == front.broken.keys()
    for path in front.broken:
        parts = [each[path].content.partition(f"location = {front.health_path} {{") for each in (good, bad)]
        assert parts[0][0] == parts[1][0]
        assert "return 500" in parts[1][2].partition("}")[0]
        assert parts[0][2].partition("location /")[2] == parts[1][2].partition("location /")[2]


@pytest.mark.parametrize(
    ("side", "renewed"),
    [
        (SideName.VM, {f"dev-vm-vm-{index}{part}" for index in (0, 1) for part in ("", "-disk", "-seed")}),
        (SideName.CONTAINER, {"dev-container-web"}),
    ],
)
def test_another_generation_renews_every_instance_of_its_side(side: SideName, renewed: set[str]) -> None:
    spec = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    again = replace(spec, generations={side: 1})
    assert changed(declare_spec("pair", spec), declare_spec("pair", again)) == renewed


def test_a_rollout_at_once_is_the_services_own() -> None:
    assert changed(declare("pair"), declare("pair", rollout="at-once")) == {"dev-container-web"}


def test_who_supervises_containers_is_the_services_own() -> None:
    spec = placeholder_spec("dev", Settings(), load_stack("pair").tiers)
    alone = declare_spec("pair", replace(spec, supervised=False))
    assert changed(declare_spec("pair", spec), alone) == {"dev-container-web"}
    policy = alone.inputs["dev-container-web"]["taskSpec"]["restartPolicy"]
    assert policy == {"condition": "none", "delay": "1s"}


def test_vms_name_their_disks_by_path_so_that_a_new_disk_is_a_new_vm(stack: str) -> None:
    declared = declare(stack)
    volumes = {inputs["name"] for inputs in declared.of_type("libvirt:index/volume:Volume").values()}
    seeds = declared.of_type("libvirt:index/cloudInitDisk:CloudInitDisk")
    names = volumes | {inputs["name"] for inputs in seeds.values()}
    for inputs in declared.of_type("libvirt:index/domain:Domain").values():
        for disk in inputs["disks"]:
            folder, _, name = disk["file"].rpartition("/")
            assert folder == "/var/lib/libvirt/pairlab/dev"
            assert name in names


@pytest.mark.parametrize(
    "settings", [{"boot": "disk"}, {"guest_image_url": "file:///x", "guest_image_sha256": "0" * 64}]
)
def test_a_guest_that_owns_its_kernel_is_given_none(stack: str, settings: dict[str, str]) -> None:
    direct, own = declare(stack), declare(stack, **settings)
    assert [name for name in direct.inputs if "-kernel-" in name]
    assert not [name for name in own.inputs if "-kernel-" in name or "-initrd-" in name]
    for inputs in own.of_type("libvirt:index/domain:Domain").values():
        assert not {"kernel", "initrd", "cmdlines"} & {name for name, value in inputs.items() if value}


def test_metadata_names_the_lab(stack: str) -> None:
    for inputs in declare(stack).of_type("libvirt:index/domain:Domain").values():
        assert 'xmlns="urn:pairlab:lab" name="dev"' in inputs["metadata"]


def test_labs_and_instances_do_not_meet() -> None:
    tiers = load_stack("pair").tiers
    specs = [placeholder_spec(name, Settings(), tiers) for name in ("dev", "a", "b", "class-1", "class-2")]
    assert len({spec.subnet for spec in specs}) == len(specs)
    assert len({spec.port(side) for spec in specs for side in SideName}) == 2 * len(specs)
    assert len({spec.bridge for spec in specs}) == len(specs)
    pairs = [(tier, index) for tier in range(4) for index in range(MAX_INSTANCES)]
    for spec in specs:
        assert len(spec.bridge) <= 15
        assert len({spec.address(*pair) for pair in pairs}) == len(pairs)
        assert len({spec.mac(*pair) for pair in pairs}) == len(pairs)
        assert all(spec.address(*pair) in spec.subnet for pair in pairs)


def test_the_stacks_are_plain_data_to_json(stack: str) -> None:
    # What the engine records must not hold objects that print their memory address.
    text = json.dumps(declare(stack).inputs, default=str)
    assert " object at 0x" not in text


@pytest.mark.parametrize(
    ("lab", "settings", "told"),
    [
        ("nowhere", {}, "there is no lab 'nowhere': Pulumi.nowhere.yaml does not exist"),
        ("No_Lab", {}, "'No_Lab' cannot name a lab"),
        ("dev", {"stack": "unheard_of"}, "no stack is named 'unheard_of'"),
        ("dev", {"stack": "swarm"}, "no stack is named 'swarm'"),
        ("dev", {"vms": "many"}, "setting 'vms' is 'many'"),
        ("dev", {}, "lab 'dev' was never up"),
    ],
)
def test_the_whole_cli_is_told_without_a_traceback_what_is_wrong(
    lab: str, settings: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    pulumi.runtime.set_mocks(Recorder(), project="pairlab", stack=lab, preview=False)
    monkeypatch.setattr(pulumi.Config, "get", lambda _, key: settings.get(key))
    with pytest.raises(pulumi.RunError, match=re.escape(told)) as ended:
        runpy.run_module("stacks.__main__")
    assert "\nnext: " in str(ended.value)
