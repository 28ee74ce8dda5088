"""What is read inside instances, on this machine's own processes and on the words of apt and dpkg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pairlab.errors import ExerciseError
from pairlab.exercise import _inside
from pairlab.run import Completed, LocalRunner
from stacks.pair import WEB

SHOWN = """\
Package: nginx
Installed-Size: 1395
Filename: ./nginx_1.22.1-9+deb12u11_amd64.deb
Size: 528096

Package: nginx-common
Installed-Size: 280
Size: 112904

"""


class Recording:
    """Answers every command with one text, and remembers them."""

    def __init__(self, stdout: str = "") -> None:
        self.stdout = stdout
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.ran.append(list(argv))
        return Completed(tuple(argv), 0, self.stdout, "")

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        raise AssertionError


def test_fetched_bytes_are_those_of_the_file_of_each_version() -> None:
    runner = Recording(SHOWN)
    assert _inside.fetched_bytes(runner, {"nginx": "11", "nginx-common": "11"}) == 528096 + 112904
    assert runner.ran == [["apt-cache", "show", "nginx=11", "nginx-common=11"]]
    with pytest.raises(ExerciseError, match="apt tells 2 sizes for the files of nginx"):
        _inside.fetched_bytes(runner, {"nginx": "11"})


def test_a_manifest_is_every_package_with_its_version() -> None:
    assert _inside.manifest(Recording("nginx 1.22.1-9\nlibc6 2.36-9\n")) == {
        "nginx": "1.22.1-9",
        "libc6": "2.36-9",
    }


def test_packages_are_installed_at_exactly_their_versions_and_taken_back_only_when_asked() -> None:
    runner = Recording()
    _inside.install(runner, {"nginx": "2", "nginx-common": "2"})
    _inside.install(runner, {"nginx": "1"}, downgrade=True)
    assert runner.ran[0][-2:] == ["nginx=2", "nginx-common=2"]
    assert "--allow-downgrades" not in runner.ran[0]
    assert "--allow-downgrades" in runner.ran[1]


def test_only_processes_that_serve_count_as_stale() -> None:
    # A first process without workers, its successor, and that one's worker: of the last it is asked.
    assert _inside.stale_servers(Recording("1 0 3\n40 1 0\n41 40 0\n"), WEB) == []
    assert _inside.stale_servers(Recording("1 0 3\n7 1 3\n8 1 0\n"), WEB) == [7]
    with pytest.raises(ExerciseError, match="no nginx process"):
        _inside.stale_servers(Recording(""), WEB)


def test_an_identity_stays_while_a_process_lives() -> None:
    local = LocalRunner()
    first = _inside.identity(local)
    assert first == _inside.identity(local)
    assert len(first.split()) == 2
