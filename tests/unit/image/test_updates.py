"""Updates as apt tells of them, and the repositories that are made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from apt_worlds import RELEASE, SECURITY, MirrorRunner, inst, only_for
from image_worlds import WEB

from pairlab.errors import ImageError
from pairlab.image.apt_source import KEYRING, SOURCES, AptSource
from pairlab.image.updates import Updates
from pairlab.model import NoUpdate, Update
from tests.unit.host.answering_runner import AnsweringRunner

CONTAINER = {"nginx": "9", "nginx-common": "9", "libc6": "2", "libssl3": "3", "apt": "2"}
VM = CONTAINER | {"systemd": "252", "linux-image-cloud-amd64": "6.1.1"}
NGINX = inst("nginx-common", "9", "11") + inst("nginx", "9", "11")


@pytest.fixture
def runner() -> MirrorRunner:
    return MirrorRunner()


@pytest.fixture
def updates(tmp_path: Path, runner: MirrorRunner) -> Updates:
    return Updates(tmp_path / "images", runner)


def find(updates: Updates, told: list[str] | None = None) -> Update:
    return updates.find(WEB, [VM, CONTAINER], progress=(told if told is not None else []).append)


def test_the_first_package_is_the_update_if_security_has_a_newer_one(
    updates: Updates, runner: MirrorRunner
) -> None:
    runner.answers["apt-get install"] = NGINX
    told: list[str] = []
    update = find(updates, told)
    moved, before = {"nginx": "11", "nginx-common": "11"}, {"nginx": "9", "nginx-common": "9"}
    assert update == Update("nginx", "9", "11", moved, "security", update.reason, before)
    assert "security pocket" in update.reason
    assert "nginx 9 -> 11" in told[-1]


def test_what_only_one_form_needs_with_it_moves_too(updates: Updates, runner: MirrorRunner) -> None:
    def answer(argv: tuple[str, ...]) -> str:
        status = Path(argv[-1].partition("=")[2]).read_text()
        return NGINX + (inst("libnew", "", "1") if "Package: systemd\n" in status else "")

    runner.answers["apt-get install"] = answer
    update = find(updates)
    assert update.packages == {"nginx": "11", "nginx-common": "11", "libnew": "1"}
    assert update.before == {"nginx": "9", "nginx-common": "9"}


def test_apt_is_asked_about_the_images_and_not_about_this_host(
    updates: Updates, runner: MirrorRunner, tmp_path: Path
) -> None:
    runner.answers["apt-get install"] = NGINX
    runner.answers["apt-cache show"] = (
        "Package: nginx\nVersion: 11\nDepends: nginx-common (= 11)\n\n"
        "Package: nginx\nVersion: 9\nDepends: nginx-common (= 9)\n\n"
    )
    find(updates)
    asked = [argv for argv in runner.asked if argv[:2] == ("apt-get", "install")]
    assert len(asked) == 2
    for argv in asked:
        assert "--simulate" in argv
        status = Path(argv[-1].removeprefix("Dir::State::status="))
        assert tmp_path in status.parents
        text = status.read_text()
        assert "Version: 9\nDepends: nginx-common (= 9)\nStatus: install ok installed\n" in text
        assert "Version: 11" not in text
        assert "Package: libc6\nVersion: 2\n" in text
    folder = Path(runner.environment["APT_CONFIG"]).parent
    assert f'Dir "{folder}";' in (folder / "apt.conf").read_text()
    sources = (folder / "etc/apt/sources.list").read_text().splitlines()
    assert [line.split()[2] for line in sources] == ["bookworm", "bookworm-security"]
    assert "trusted=yes" not in "".join(sources)


def test_a_newer_one_in_the_release_pocket_only_is_no_security_update(
    updates: Updates, runner: MirrorRunner
) -> None:
    runner.answers["apt-get install"] = inst("nginx", "9", "12", RELEASE)
    assert find(updates).origin == "rebuilt"


def test_where_both_pockets_are_equal_the_latest_update_of_what_it_needs_is_taken(
    updates: Updates, runner: MirrorRunner
) -> None:
    both = inst("libc6", "2", "4") + inst("libssl3", "3", "5") + inst("apt", "2", "7")
    runner.answers["apt-get upgrade"] = both + inst("systemd", "252", "253")
    runner.answers["apt-get install"] = only_for("libssl3", inst("libssl3", "3", "5", RELEASE, SECURITY))
    runner.changed = {"libc6": 1_600_000_000, "libssl3": 1_700_000_000, "apt": 1_800_000_000}
    update = find(updates)
    assert (update.package, update.installed, update.new, update.origin) == ("libssl3", "3", "5", "security")
    assert update.packages == {"libssl3": "5"}
    assert "2023-11-14" in update.reason
    fetched = next(argv for argv in runner.asked if argv[:2] == ("apt-get", "download"))
    assert fetched[3:] == ("libc6=4", "libssl3=5")


def test_where_nothing_differs_the_package_is_built_anew(updates: Updates, runner: MirrorRunner) -> None:
    update = find(updates)
    new, old = {"nginx": "9+pairlab1"}, {"nginx": "9"}
    assert update == Update("nginx", "9", "9+pairlab1", new, "rebuilt", update.reason, old)
    assert "built anew" in update.reason
    repository = updates.repository([update], progress=print)
    assert repository.packages == {"nginx": "9+pairlab1"}
    assert [path.name for path in repository.folder.glob("*.deb")] == ["nginx_9+pairlab1_amd64.deb"]
    assert "apt-get download -q nginx=9" in runner.lines()


def test_the_mirrors_lists_are_read_once_for_all_that_is_found_and_fetched(
    updates: Updates, runner: MirrorRunner
) -> None:
    update = find(updates)
    updates.find_kernel(VM, progress=print)
    updates.repository([update], progress=print)
    updates.repository([ONE], progress=print)
    assert [argv[:2] for argv in runner.asked].count(("apt-get", "update")) == 1


def test_images_of_different_times_are_refused(updates: Updates) -> None:
    with pytest.raises(ImageError, match="one version of nginx, but 8, 9") as caught:
        updates.find(WEB, [VM, CONTAINER | {"nginx": "8"}], progress=print)
    assert "image.build" in caught.value.hint
    with pytest.raises(ImageError, match="but none"):
        updates.find(replace(WEB, packages=("caddy",)), [VM, CONTAINER], progress=print)


def test_a_kernel_update_names_the_real_package_too(updates: Updates, runner: MirrorRunner) -> None:
    new = "linux-image-6.1.0-2-cloud-amd64"
    runner.answers["apt-get install"] = only_for(
        "linux-image-cloud-amd64", inst(new, "", "6.1.2") + inst("linux-image-cloud-amd64", "6.1.1", "6.1.2")
    )
    update = updates.find_kernel(VM, progress=print)
    assert isinstance(update, Update)
    assert update.packages == {"linux-image-cloud-amd64": "6.1.2", new: "6.1.2"}
    assert (update.package, update.installed, update.new) == ("linux-image-cloud-amd64", "6.1.1", "6.1.2")


@pytest.mark.parametrize(("manifest", "why"), [(VM, "no newer"), (CONTAINER, "holds no linux-image")])
def test_no_kernel_update_says_why(updates: Updates, manifest: dict[str, str], why: str) -> None:
    found = updates.find_kernel(manifest, progress=print)
    assert isinstance(found, NoUpdate)
    assert why in found.reason


# Repositories

ONE = Update("nginx", "9", "1:11", {"nginx": "1:11", "nginx-common": "11"}, "security", "", {"nginx": "9"})
TWO = Update("kernel", "1", "2", {"kernel": "2"}, "security", "", {"kernel": "1"})


def test_a_repository_holds_exactly_its_updates_and_is_signed_by_a_key_that_is_forgotten(
    updates: Updates, runner: MirrorRunner, tmp_path: Path
) -> None:
    repository = updates.repository([ONE, TWO], progress=print)
    assert repository.packages == {"nginx": "1:11", "nginx-common": "11", "kernel": "2"}
    assert len(list(repository.folder.glob("*.deb"))) == 3
    assert not list(repository.folder.glob("*%*"))
    assert (repository.folder / "InRelease").read_text() == "SIGNED"
    assert repository.public_key == "PUBLIC"
    assert runner.key_modes == [0o600]
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "PRIVATE" in path.read_text()]
    assert left == []
    assert not [argv for argv in runner.asked if "PRIVATE" in " ".join(argv)]


def test_a_repository_is_made_once_and_again_when_it_was_changed(
    updates: Updates, runner: MirrorRunner
) -> None:
    first = updates.repository([ONE], progress=print)
    runner.asked.clear()
    assert updates.repository([ONE], progress=print) == first
    assert runner.asked == []
    deb = next(first.folder.glob("nginx_*.deb"))
    whole = deb.read_bytes()
    deb.write_bytes(b"X" + whole[1:])
    assert updates.repository([ONE], progress=print).digest == first.digest
    assert deb.read_bytes() == whole


def test_other_updates_are_another_repository(updates: Updates) -> None:
    repositories = [updates.repository(chosen, progress=print) for chosen in ([ONE], [TWO], [ONE, TWO])]
    assert len({repository.digest for repository in repositories}) == 3


def test_a_repository_can_hold_the_way_back_too(updates: Updates) -> None:
    plain = updates.repository([ONE], progress=print)
    both = updates.repository([ONE], progress=print, way_back=True)
    assert (both.packages, both.older) == (plain.packages, {"nginx": "9"})
    assert len(list(both.folder.glob("nginx_*.deb"))) == 2
    assert both.digest != plain.digest
    assert plain.older == {}


def test_a_repository_that_comes_out_otherwise_is_refused(updates: Updates, runner: MirrorRunner) -> None:
    runner.answers["apt-get download"] = ""
    runner.answers["apt-ftparchive packages"] = ""
    with pytest.raises(ImageError, match="nothing whole, instead of kernel 2"):
        updates.repository([TWO], progress=print)


def test_what_the_mirror_does_not_have_is_named(updates: Updates, runner: MirrorRunner) -> None:
    runner.answers["apt-get download"] = 100
    with pytest.raises(ImageError, match="apt-get download"):
        updates.repository([ONE], progress=print)


# In an instance


def test_an_instance_takes_from_this_repository_alone() -> None:
    source = AptSource("http://packages:20799/", "PUBLIC")
    assert source.files[KEYRING] == "PUBLIC"
    entry = source.files[SOURCES]
    assert "URIs: http://packages:20799/\n" in entry
    assert f"Signed-By: {KEYRING}\n" in entry
    assert "rusted" not in entry
    for command in (source.refresh, source.upgrade(ONE)):
        assert f"Dir::Etc::SourceList={SOURCES}" in command
        assert "Dir::Etc::SourceParts=-" in command
    assert source.upgrade(ONE)[-1] == "nginx=1:11"
    assert "--only-upgrade" in source.upgrade(ONE)


def test_an_instance_is_given_the_files_before_it_reads_the_list() -> None:
    runner = AnsweringRunner({"tee": "", "apt-get": ""})
    source = AptSource("http://packages:20799/", "PUBLIC")
    source.add(runner)
    source.install(runner, ONE)
    assert runner.asked[:2] == [("tee", KEYRING), ("tee", SOURCES)]
    assert runner.asked[2:] == [source.refresh, source.upgrade(ONE)]
