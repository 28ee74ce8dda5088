"""What holds of the whole tree: lint, types, layers, one addition in one file, and no foreign words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic.alias_generators import to_camel

from pairlab.model import Settings, SideName
from pairlab.plugin.server import find_resources
from pairlab.session.spec import stack_names
from pairlab.side import kind_of, kinds

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("pairlab", "stacks")
MAX_LINES = 350

ONLY_IN = {"subprocess": "pairlab.run", "jinja2": "pairlab.render", "pulumi.automation": "pairlab.engine"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def modules() -> Iterator[tuple[str, Path]]:
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def wrong_imports(module: str, source: str) -> list[str]:
    """Libraries that have one user in this project, imported by another."""
    return sorted(
        f"{module} imports {name}"
        for name in imports(source)
        for library, only in ONLY_IN.items()
        if (name == library or name.startswith(f"{library}."))
        and not (module == only or module.startswith(f"{only}."))
    )


@pytest.mark.parametrize("tool", ["ruff check .", "ruff format --check .", "mypy", "lint-imports"])
def test_lint_types_and_layers(tool: str) -> None:
    program, *words = tool.split()
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_some_libraries_have_one_user() -> None:
    checked = list(modules())
    assert len(checked) > 80
    assert [wrong for name, path in checked for wrong in wrong_imports(name, path.read_text())] == []
    assert wrong_imports("pairlab.model", "import subprocess") != []
    assert wrong_imports("pairlab.side.x", "from pulumi import automation") != []
    assert wrong_imports("pairlab.run", "import subprocess") == []


def test_programs_are_kept_from_all_but_the_model_the_templates_and_the_errors() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = (each["forbidden_modules"] for each in contracts if each["type"] == "forbidden")
    parts = {name for name, _ in modules() if re.fullmatch(r"pairlab\.[a-z_]+", name)}
    assert parts - set(forbidden) == {"pairlab.model", "pairlab.render", "pairlab.errors"}


def test_one_addition_is_one_file() -> None:
    sides = {path.stem for path in (ROOT / "pairlab/side").glob("[a-z]*.py")}
    assert set(kinds()) == sides == {kind_of(half) for half in SideName}
    declaring = {
        path.stem
        for path in (ROOT / "stacks").glob("[a-z]*.py")
        if len(re.findall(r"^def (?:tiers|declare)\(", path.read_text(), re.MULTILINE)) == 2
    }
    assert set(stack_names()) == declaring > {"pair"}
    for package in ("docker", "libvirt"):
        files = {path.stem for path in (ROOT / "pairlab/plugin" / package).glob("[a-z]*.py")} - {"client"}
        served = {token.rsplit("/", 1)[1].split(":")[0] for token in find_resources(package)}
        assert {to_camel(name) for name in files} == served


def test_settings_are_documented_where_pulumi_reads_them() -> None:
    schema = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    defaults = Settings().model_dump(by_alias=True)
    assert schema.keys() == defaults.keys()
    words = {int: "integer", str: "string", float: "string"}
    for key, entry in schema.items():
        assert entry["description"].endswith("."), key
        assert entry["type"] == words[type(defaults[key])], key
        assert str(entry["default"]) == str(defaults[key]), key


def test_files_stay_small() -> None:
    # The shared data is one file by design: every layer reads it.
    sizes = {name: len(path.read_text().splitlines()) for name, path in modules() if name != "pairlab.model"}
    assert {name: lines for name, lines in sizes.items() if lines > MAX_LINES} == {}


def test_the_locks_hold_digests_and_name_no_index() -> None:
    locks = [path for path in tracked("*.lock") if path.suffix == ".lock"]
    assert len(locks) >= 3
    for path in locks:
        text = path.read_text()
        assert "--hash=sha256:" in text, path
        assert "http" not in text, path
        assert not re.search(r"--(extra-)?index-url", text), path


def foreign_words(text: str) -> list[str]:
    """A developer's own paths, hosts of package mirrors, and words about how the work is organised."""
    patterns = (
        r"/(?:work|tmp/w)/",
        r"/home/[a-z]+/",
        r"\b(?:deb\.debian|security\.debian)\.org\b",
        r"\b(?:pypi|files\.pythonhosted)\.org\b",
        r"\bproxy\.golang\.org\b",
        r"(?i)\bissue [3-9]\b",
        r"(?i)\bhelper-\d",
    )
    return [found for pattern in patterns for found in re.findall(pattern, text)]


def test_the_project_speaks_of_itself_alone() -> None:
    own = Path(__file__).resolve()
    found = {}
    for path in tracked():
        if path == own or path.suffix in {".sum", ".png"}:
            continue
        words = foreign_words(path.read_text(errors="replace"))
        if words:
            found[str(path.relative_to(ROOT))] = words
    assert found == {}
    assert foreign_words("see /" + "work/main and proxy" + ".golang.org") != []
