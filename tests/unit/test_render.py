import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from markdown_it import MarkdownIt

from pairlab import render as rendering
from pairlab.errors import TemplateError
from pairlab.render import render


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(rendering, "TEMPLATES", tmp_path)
    rendering._environment.cache_clear()
    yield tmp_path
    rendering._environment.cache_clear()


AWKWARD = [
    "plain",
    "it's",
    'say "hi"',
    "a: b # c",
    "<&>",
    "two\nlines",
    "$HOME `id`",
    "ü",
    "",
    "{{ x }}",
    "\\",
]


@pytest.mark.parametrize("value", AWKWARD)
def test_each_format_gives_the_value_back(templates: Path, value: str) -> None:
    (templates / "a.yaml.j2").write_text("key: {{ value | yaml }}\n")
    (templates / "a.sh.j2").write_text("{{ value | sh }}")
    (templates / "a.json.j2").write_text("{{ value | tojson }}")
    (templates / "a.xml.j2").write_text('<a b="{{ value }}">{{ value }}</a>')
    assert yaml.safe_load(render("a.yaml.j2", value=value)) == {"key": value}
    assert shlex.split(render("a.sh.j2", value=value)) == [value]
    assert json.loads(render("a.json.j2", value=value)) == value
    element = ElementTree.fromstring(render("a.xml.j2", value=value))
    assert (element.text or "") == value
    assert element.get("b") == value.replace("\n", " ")


@pytest.mark.parametrize("value", ["", "two words", "a;b", "a\nb", "é", "a{b}", '"'])
def test_a_bare_word_refuses_what_needs_quotes(templates: Path, value: str) -> None:
    (templates / "a.cfg.j2").write_text("bind {{ value | word }}\n")
    with pytest.raises(TemplateError, match="may not stand unquoted"):
        render("a.cfg.j2", value=value)


def test_a_bare_word_takes_addresses_and_paths(templates: Path) -> None:
    (templates / "a.cfg.j2").write_text("{{ value | word }}")
    assert render("a.cfg.j2", value="127.0.0.1:80/a-b_c@d") == "127.0.0.1:80/a-b_c@d"


@pytest.mark.parametrize("value", [*AWKWARD, "a | b", "**x** _y_ ~z~ [a](b) ![c](d)", "&lt;", "# x", "$a$"])
def test_markdown_shows_the_value(templates: Path, value: str) -> None:
    (templates / "a.md.j2").write_text("| a |\n| --- |\n| ={{ value | md }} |\n")
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(render("a.md.j2", value=value))
    cells = ["".join(each.content for each in token.children or []) for token in tokens if token.children]
    assert cells == ["a", "=" + " ".join(value.splitlines())]


def test_html_escapes_by_itself(templates: Path) -> None:
    (templates / "a.html.j2").write_text("<p>{{ value }}</p>")
    assert render("a.html.j2", value="<script>") == "<p>&lt;script&gt;</p>"


def test_the_xml_filter_does_not_escape_twice(templates: Path) -> None:
    (templates / "a.xml.j2").write_text("<a>{{ value | xml }}</a>")
    assert render("a.xml.j2", value="<&>") == "<a>&lt;&amp;&gt;</a>"


def test_a_missing_value_is_named(templates: Path) -> None:
    (templates / "a.txt.j2").write_text("{{ absent }}")
    with pytest.raises(TemplateError, match="'absent' is undefined"):
        render("a.txt.j2")


def test_a_missing_template_is_named() -> None:
    with pytest.raises(TemplateError, match=r"no template 'nowhere/x\.j2'"):
        render("nowhere/x.j2")


def test_a_template_cannot_leave_its_folder() -> None:
    with pytest.raises(TemplateError):
        render("../pyproject.toml")


def test_a_wrong_template_names_its_line(templates: Path) -> None:
    (templates / "a.txt.j2").write_text("fine\n{% if %}\n")
    with pytest.raises(TemplateError, match=r"a\.txt\.j2:2: "):
        render("a.txt.j2")


def test_a_mistake_in_an_included_template_is_ours_too(templates: Path) -> None:
    (templates / "a.txt.j2").write_text("{{ value.absent.deeper }}")
    with pytest.raises(TemplateError):
        render("a.txt.j2", value={})


def test_the_last_newline_stays(templates: Path) -> None:
    (templates / "a.txt.j2").write_text("{% if true %}\n  a\n{% endif %}\n")
    assert render("a.txt.j2") == "  a\n"
