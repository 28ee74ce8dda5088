"""The launcher `inv`, run for real, with stand-ins for uv and invoke."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

UV = """#!/bin/sh
# Stands in for uv: notes each call, makes an environment whose `invoke` prints its arguments.
echo "$1 $2" >>"$UV_CALLS"
case $1 in
venv)
    for venv; do :; done
    mkdir -p "$venv/bin"
    printf '#!/bin/sh\\n' >"$venv/bin/python"
    printf '#!/bin/sh\\necho "invoke in $PWD: $*"\\n' >"$venv/bin/invoke"
    chmod +x "$venv/bin/python" "$venv/bin/invoke" ;;
pip)
    [ ! -e "$UV_CALLS.broken" ] || { echo "no route to the index"; exit 1; }
    [ ! -e "$UV_CALLS.slow" ] || sleep 2 ;;
esac
"""


class Clone:
    """A clone of the repository, as far as the launcher sees it, in a directory with spaces."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "my clone"
        self.tools = folder / "tools"
        self.calls = folder / "calls"
        self.root.mkdir()
        self.tools.mkdir()
        shutil.copy(REPOSITORY / "inv", self.root)
        (self.root / "requirements.lock").write_text("first==1\n")
        self.tool("uv", UV)
        (self.tools / "python3").symlink_to(sys.executable)

    def tool(self, name: str, content: str) -> None:
        (self.tools / name).write_text(content)
        (self.tools / name).chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.tools}:/usr/bin:/bin"
        return {"PATH": path, "UV_CALLS": str(self.calls), "HOME": os.environ.get("HOME", "/")}

    def inv(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "inv", *words],
            cwd=cwd or self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def made(self) -> list[str]:
        return self.calls.read_text().split("\n")[:-1] if self.calls.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


FIRST = ["venv --allow-existing", "pip install"]


def test_the_first_start_makes_the_environment_and_the_second_does_not(clone: Clone, tmp_path: Path) -> None:
    for words in (("--list",), ("lab.up", "--lab", "a b")):
        done = clone.inv(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"invoke in {tmp_path}: --search-root {clone.root} {' '.join(words)}\n"
    assert clone.made() == FIRST
    assert clone.inv().stderr == ""


def test_it_works_through_a_link_from_elsewhere(clone: Clone, tmp_path: Path) -> None:
    link = tmp_path / "inv-of-pairlab"
    link.symlink_to(clone.root / "inv")
    done = subprocess.run([link, "x"], env=clone.environment, capture_output=True, text=True, check=True)
    assert f"--search-root {clone.root} x" in done.stdout


def test_a_changed_lock_is_installed_into_the_same_environment(clone: Clone) -> None:
    clone.inv()
    (clone.root / "requirements.lock").write_text("first==2\n")
    clone.inv()
    clone.inv()
    assert clone.made() == [*FIRST, "pip install"]


def test_a_moved_clone_gets_a_new_environment(clone: Clone) -> None:
    clone.inv()
    clone.root = clone.root.rename(clone.root.with_name("moved clone"))
    done = clone.inv("x")
    assert "moved clone x" in done.stdout
    assert clone.made() == FIRST * 2


def test_a_failed_installation_is_said_and_done_again(clone: Clone) -> None:
    broken = clone.calls.with_name("calls.broken")
    broken.touch()
    done = clone.inv()
    assert done.returncode == 1
    assert "no route to the index" in done.stderr
    assert done.stdout == ""
    broken.unlink()
    assert clone.inv("x").returncode == 0
    assert clone.made() == FIRST * 2


def test_an_interrupted_one_is_done_again(clone: Clone) -> None:
    clone.calls.with_name("calls.slow").touch()
    running = subprocess.Popen(
        [clone.root / "inv"], cwd=clone.root, env=clone.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    while "installing" not in running.stderr.readline():
        pass
    running.terminate()
    assert "interrupted" in running.stderr.read()
    running.stderr.close()
    assert running.wait() == 130
    clone.calls.with_name("calls.slow").unlink()
    assert clone.inv("x").returncode == 0
    assert clone.made()[-2:] == FIRST


def test_first_starts_at_once_make_it_once(clone: Clone) -> None:
    clone.calls.with_name("calls.slow").touch()
    starts = [
        subprocess.Popen(
            [clone.root / "inv", "x"], cwd=clone.root, env=clone.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    printed = [start.communicate()[0] for start in starts]
    assert all(line.endswith(" x\n") for line in printed)
    assert clone.made() == FIRST


def test_an_old_python_is_refused(clone: Clone) -> None:
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        (clone.tools / name).unlink(missing_ok=True)
        clone.tool(name, '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    done = clone.inv()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; python3 here is Python 3.9.2" in done.stderr
    assert not (clone.root / ".venv").exists()


def test_without_uv_and_ensurepip_it_asks_before_it_installs(clone: Clone) -> None:
    (clone.tools / "uv").unlink()
    (clone.tools / "python3").unlink()
    clone.tool(
        "python3",
        "#!/bin/sh\ncase $2 in\n*ensurepip*) exit 1 ;;\n*base_prefix*) echo /usr ;;\n"
        "*minor*) echo python3.11-venv ;;\nesac\n",
    )
    clone.tool("apt-get", f'#!/bin/sh\necho "apt-get $*" >>"{clone.calls}"\nexit 100\n')
    clone.tool("id", "#!/bin/sh\necho 0\n")
    refused = clone.inv("lab.up")
    assert refused.returncode == 1
    assert "python3.11-venv will be installed" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert clone.made() == []
    agreed = clone.inv("lab.up", "--yes")
    assert "could not install python3.11-venv" in agreed.stderr
    assert clone.made() == ["apt-get update -q"]
