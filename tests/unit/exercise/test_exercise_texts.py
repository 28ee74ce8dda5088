"""Every exercise is found by its file, and has a text whose steps it can show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from pairlab import exercise
from pairlab.errors import TemplateError, UsageError
from pairlab.exercise import _guide
from pairlab.exercise._guide import page, sections
from pairlab.render import TEMPLATES
from pairlab.session import docs


def test_every_module_is_an_exercise_with_a_text_and_an_unknown_one_is_refused() -> None:
    texts = {path.name.removesuffix(".md.j2") for path in (TEMPLATES / "exercise").glob("*.md.j2")}
    assert set(exercise.names()) == texts
    with pytest.raises(UsageError, match="no exercise is named 'patsch'") as refused:
        exercise.load("patsch")
    assert "patch" in refused.value.hint


@pytest.mark.parametrize("name", exercise.names())
def test_a_text_renders_with_its_example_and_teaches_each_step(name: str) -> None:
    kind = exercise.load(name)
    text = page(name, kind.example)
    assert text.startswith(f"# {kind.title}\n")
    found = sections(name, kind.example)
    assert found
    for section in found.values():
        assert len(section.text.split()) > 20, section.key
        assert "<!--" not in section.title


def sources(name: str) -> dict[str, str]:
    """The module of an exercise and the helpers that it imports, and theirs: name -> source."""
    folder, found, wanted = TEMPLATES.parent / "pairlab/exercise", dict[str, str](), {name}
    while wanted:
        module = wanted.pop()
        found[module] = (folder / f"{module}.py").read_text()
        imported = re.findall(
            r"from pairlab\.exercise import ([\w, ]+)|pairlab\.exercise\.(_\w+)", found[module]
        )
        words = {
            word.split(" as ")[0].strip() for both in imported for part in both for word in part.split(",")
        }
        wanted |= {word for word in words if word.startswith("_")} - found.keys()
    return found


@pytest.mark.parametrize("name", exercise.names())
def test_every_step_that_the_code_names_has_a_section_and_the_other_way_round(name: str) -> None:
    kind = exercise.load(name)
    of_exercise = sources(name)
    assert "_log" in of_exercise or "_fleet" in of_exercise
    named = {
        key for source in of_exercise.values() for key in re.findall(r"\.step\(\s*\"([a-z-]+)\"", source)
    }
    taught = sections(name, kind.example).keys()
    assert named <= taught
    assert {
        key for key in taught if not any(f'"{key}"' in source for source in of_exercise.values())
    } == set()


@pytest.mark.parametrize(
    ("name", "step", "told"),
    [
        ("recovery", "vm-engine", "http://127.0.0.1:8081/"),
        ("recovery", "container-engine", "http://127.0.0.1:8082/"),
        ("rollback", "vm-kept", "written into vm/0"),
        ("rollback", "vm-beside", "declared, vm/2,"),
        ("rollback", "declare-back", "and vm/2 is destroyed"),
        ("hybrid", "start-vm", "vm/2 is started"),
        ("hybrid", "start-container", "container/0 is ended"),
    ],
)
def test_the_page_of_a_step_names_what_that_step_is_about(name: str, step: str, told: str) -> None:
    assert told in sections(name, exercise.load(name).example)[step].text


@pytest.mark.parametrize("name", exercise.names())
def test_figures_and_variants_have_keys_of_their_own(name: str) -> None:
    kind = exercise.load(name)
    assert len({figure.key for figure in kind.figures}) == len(kind.figures)
    assert len({variant.key for variant in kind.variants}) == len(kind.variants)
    assert all(len(figure.method.split()) >= 5 for figure in kind.figures)


@pytest.mark.parametrize("name", exercise.names())
def test_an_exercise_fills_rows_of_the_table_of_key_differences(name: str) -> None:
    kind = exercise.load(name)
    assert kind.summary, "give the class `summary`: which of its figures and findings stand in which row"
    figures, variants = {figure.key for figure in kind.figures}, {variant.key for variant in kind.variants}
    assert {cell.figure for cell in kind.summary if cell.figure} <= figures
    assert {variant for cell in kind.summary for variant in cell.variants} <= variants
    needs = [cell.need for cell in kind.summary if cell.need and cell.figure]
    assert len({*needs}) == len(needs), "a requirement is held against one figure of an exercise"


@pytest.mark.parametrize("name", exercise.names())
def test_the_page_of_an_exercise_tells_how_it_measures_and_what_it_cannot_show(name: str) -> None:
    kind = exercise.load(name)
    text = docs.pages()[f"{name}.md"]
    assert text.startswith(f"# {kind.title}\n")
    assert "<!--" not in text
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    steps = [section.title for section in sections(name, kind.example).values()]
    assert [heading for heading in headings if heading in steps] == steps
    assert headings[-1] == docs.LIMITS
    limits = text.rpartition(docs.LIMITS)[2]
    assert len(limits.split()) > 50  # more than what is true of every exercise
    shown = [token.content for token in MarkdownIt("commonmark").enable("table").parse(text)]
    assert {figure.method for figure in kind.figures} <= {*shown}


def test_the_kept_pages_are_current() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in docs.FOLDER.glob("*.md")}
    assert kept == docs.pages(), "run: ./inv docs"


def test_writing_the_pages_removes_those_of_no_exercise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "FOLDER", tmp_path / "exercises")
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "gone.md").write_text("# Gone")
    assert {path.name for path in docs.write()} == {"gone.md", *docs.pages()}
    assert {path.name: path.read_text() for path in (tmp_path / "exercises").iterdir()} == docs.pages()
    assert docs.write() == []


def test_a_text_that_does_not_tell_its_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guide, "LIMITS", "What nobody wrote")
    with pytest.raises(TemplateError, match="does not tell its limits"):
        docs.pages()
