"""Images from Debian's own packages, run: the container by Docker, the VM by QEMU."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pairlab.errors import ImageError
from pairlab.image.recipe import TOOLS
from pairlab.image.store import ImageStore
from pairlab.model import WorkloadImages
from pairlab.plugin.libvirt._iso import make_iso
from pairlab.render import render
from pairlab.run import LocalRunner
from pairlab.ssh import SshRunner
from stacks.pair import WEB as PLAIN_WEB

pytestmark = pytest.mark.integration

DEADLINE_S = 120.0
WEB = replace(PLAIN_WEB, name="plimage")  # so that pruning meets no lab's image
CONTAINER = f"plimage-{os.getpid()}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    store = ImageStore(tmp_path_factory.mktemp("image cache"), LocalRunner())
    yield store
    store.prune((), progress=print)


@pytest.fixture(scope="module")
def images(store: ImageStore) -> WorkloadImages:
    return store.ensure(WEB, progress=print)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def await_page(port: int, console: Path | None = None) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            assert get(port, "/healthz")[0] == 200
            return
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                pytest.fail(console.read_text() if console else "no answer")
            time.sleep(0.1)


# Container


@pytest.fixture
def container(images: WorkloadImages) -> Iterator[int]:
    port, docker = free_port(), LocalRunner()
    argv = ["docker", "run", "--detach", "--name", CONTAINER, "--hostname", "container-3"]
    argv += ["--env", "PAIRLAB_SLOT=3", "--publish", f"127.0.0.1:{port}:{WEB.port}", "--cap-drop", "ALL"]
    docker.run([*argv, images.container.reference])
    try:
        await_page(port)
        yield port
    finally:
        docker.run(["docker", "rm", "--force", "--volumes", CONTAINER])


def test_a_container_says_who_it_is_and_runs_without_rights(container: int, images: WorkloadImages) -> None:
    status, headers, _ = get(container, "/")
    assert status == 200
    assert headers["X-Pairlab-Side"] == "container"
    assert headers["X-Pairlab-Instance"] == "container/2"
    assert headers["X-Pairlab-Image"] == images.container.version
    installed = inside("dpkg-query", "-W", "-f", "${Version}", "nginx")
    assert headers["X-Pairlab-Version"] == installed
    assert inside("id", "-un") == "www-data"
    assert get(container, "/no-such-page")[0] == 404


def test_a_container_knows_its_own_health_and_has_no_system_in_it(container: int) -> None:
    inside("/usr/local/bin/healthcheck")
    packages = inside("dpkg-query", "-W", "-f", "${Package}\n").split()
    assert not {"systemd", "openssh-server", "linux-image-cloud-amd64", "perl"} & set(packages)
    assert {"apt", "dpkg", "nginx"} <= set(packages)


def inside(*argv: str) -> str:
    return LocalRunner().run(["docker", "exec", CONTAINER, *argv]).stdout.strip()


# VM


@contextmanager
def vm(images: WorkloadImages, folder: Path, seed: dict[str, str]) -> Iterator[tuple[int, int, Path]]:
    """A VM on user-mode networking: port of its page, port of its ssh, its console."""
    runner, web, ssh, console = LocalRunner(), free_port(), free_port(), folder / "console.log"
    overlay, disc = folder / "overlay.qcow2", folder / "seed.iso"
    if not overlay.exists():
        base = str(images.vm.disk)
        runner.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, str(overlay)])
    disc.write_bytes(make_iso("cidata", {name: text.encode() for name, text in seed.items()}))
    argv = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "256", "-display", "none"]
    argv += ["-nodefaults", "-serial", f"file:{console}"]
    argv += ["-kernel", str(images.vm.kernel), "-initrd", str(images.vm.initrd)]
    argv += ["-append", " ".join(images.vm.cmdline)]
    argv += [
        "-drive",
        f"if=virtio,format=qcow2,file={overlay}",
        "-drive",
        f"if=virtio,format=raw,file={disc}",
    ]
    forward = f"hostfwd=tcp:127.0.0.1:{web}-:{WEB.port},hostfwd=tcp:127.0.0.1:{ssh}-:22"
    argv += ["-netdev", f"user,id=net,restrict=on,{forward}"]
    argv += ["-device", "virtio-net-pci,netdev=net,mac=52:54:00:12:34:56"]
    process = subprocess.Popen(argv)
    try:
        await_page(web, console)
        yield web, ssh, console
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("user", "host"):
        LocalRunner().run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)])
    return folder


def make_seed(keys: Path, *, instance: str = "first", extra: str = "") -> dict[str, str]:
    page = {"path": "/etc/pairlab/page.html", "permissions": "0644", "owner": "root:root"}
    secret = {"path": "/etc/new/secret", "permissions": "0600", "owner": "www-data:www-data", "content": "s"}
    user_data = render(
        "guest/user-data.j2",
        lab="t",
        index=0,
        hostname="vm-0",
        user="lab",
        ssh_public_key=(keys / "user.pub").read_text().strip(),
        host_key_private=(keys / "host").read_text(),
        host_key_public=(keys / "host.pub").read_text().strip(),
        files=[page | {"content": f"<h1>Grüße 🎉 {instance}</h1>\n"}, secret],
    )
    network = render(
        "guest/network-config.j2",
        mac="52:54:00:12:34:56",
        address="10.0.2.15/24",
        gateway="10.0.2.2",
        nameserver="10.0.2.3",
    )
    meta = render("guest/meta-data.j2", instance_id=instance, hostname="vm-0")
    return {"user-data": user_data + extra, "meta-data": meta, "network-config": network}


def shell(keys: Path, port: int) -> SshRunner:
    known = keys / "known_hosts"
    public = " ".join((keys / "host.pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{port} {public}\n")
    guest, deadline = SshRunner("127.0.0.1", "lab", keys / "user", known, port=port), time.monotonic() + 60
    while guest.run(["true"], check=False).returncode:  # the page is served before sshd is up
        assert time.monotonic() < deadline, "the guest lets nobody in"
    return guest


def test_a_vm_serves_and_is_what_its_seed_says(images: WorkloadImages, keys: Path, tmp_path: Path) -> None:
    with vm(images, tmp_path, make_seed(keys, extra="packages: [cowsay]\n")) as (web, ssh, console):
        status, headers, page = get(web, "/")
        assert (status, page) == (200, "<h1>Grüße 🎉 first</h1>\n")
        assert headers["X-Pairlab-Side"] == "vm"
        assert headers["X-Pairlab-Instance"] == "vm/0"
        assert headers["X-Pairlab-Image"] == images.vm.version
        guest = shell(keys, ssh)
        assert guest.run(["hostname"]).stdout == "vm-0\n"
        listed = guest.run(["stat", "-c", "%a %U", "/etc/ssh/ssh_host_ed25519_key", "/etc/new/secret"])
        assert listed.stdout == "600 root\n600 www-data\n"
        version = guest.run(["dpkg-query", "-W", "-f", "${Version}", "nginx"]).stdout
        assert headers["X-Pairlab-Version"] == version
        assert "default via 10.0.2.2" in guest.run(["ip", "route"]).stdout
        assert guest.run(["sudo", "-n", "systemctl", "is-system-running", "--wait"]).stdout == "running\n"
        assert guest.run(["sudo", "-n", "journalctl", "-b", "-n", "1", "-q"]).stdout
        assert "not applied: user-data packages" in console.read_text()


def test_a_seed_is_applied_once_for_each_instance_id(
    images: WorkloadImages, keys: Path, tmp_path: Path
) -> None:
    with vm(images, tmp_path, make_seed(keys)) as (_, ssh, _):
        shell(keys, ssh).run(["sudo", "-n", "sh", "-c", "echo mine > /etc/pairlab/page.html; sync"])
    with vm(images, tmp_path, make_seed(keys)) as (web, _, _):
        assert get(web, "/")[2] == "mine\n"
    with vm(images, tmp_path, make_seed(keys, instance="second")) as (web, _, _):
        assert get(web, "/")[2] == "<h1>Grüße 🎉 second</h1>\n"


# Building


def test_the_forms_are_small(images: WorkloadImages) -> None:
    assert images.vm.disk.stat().st_size < 100 * 2**20
    assert images.vm.initrd.stat().st_size < 2**20
    assert images.container.size_bytes < 100 * 2**20


def test_a_truncated_disk_is_rebuilt(store: ImageStore, images: WorkloadImages) -> None:
    size = images.vm.disk.stat().st_size
    os.truncate(images.vm.disk, size // 2)
    again = store.ensure(WEB, progress=print)
    assert again.vm.version == images.vm.version
    assert LocalRunner().run(["qemu-img", "check", str(again.vm.disk)]).returncode == 0
    assert abs(again.vm.disk.stat().st_size - size) < 2**20


def test_a_package_that_does_not_exist_is_named(store: ImageStore, images: WorkloadImages) -> None:
    before = mounts()
    with pytest.raises(ImageError, match="Unable to locate package no-such-package") as caught:
        store.ensure(replace(WEB, packages=("no-such-package",)), progress=print)
    assert "packages" in caught.value.hint
    assert mounts() == before


def test_a_killed_build_leaves_no_mount_and_the_next_clears_up(tmp_path: Path) -> None:
    cache, before = tmp_path / "cache", mounts()
    code = (
        "import sys; from pathlib import Path; from pairlab.image.store import ImageStore;"
        "from pairlab.run import LocalRunner; from stacks.pair import WEB;"
        "ImageStore(Path(sys.argv[1]), LocalRunner()).ensure(WEB, progress=print)"
    )
    build = subprocess.Popen([sys.executable, "-c", code, str(cache)], start_new_session=True)
    making = cache / "making"
    deadline = time.monotonic() + DEADLINE_S
    while not list(making.glob("*/out/mmdebstrap.*/var/lib/dpkg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert mounts() == before
    ImageStore(cache, LocalRunner()).prune((), progress=print)
    assert list(making.iterdir()) == []


def mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines if "mmdebstrap" in line or "plain" in line}


# Programs to measure with


def test_programs_to_measure_with_run_by_their_own_loader(store: ImageStore, tmp_path: Path) -> None:
    made, runner = store.ensure_tools(progress=print), LocalRunner()
    runner.run(["tar", "-xzf", str(made.archive), "-C", str(tmp_path)])
    runner.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path)
    assert {path.name for path in (tmp_path / "bin").iterdir()} == set(TOOLS)
    loader = [f"{tmp_path}/lib/ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", f"{tmp_path}/lib"]
    for name in TOOLS:
        ask = "version" if name == "openssl" else "--version"
        assert runner.run([*loader, f"{tmp_path}/bin/{name}", ask]).stdout
    assert made.archive.stat().st_size < 30_000_000
