"""The only user of Jinja2: templates by name, values that must exist, escaping for each format."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from markupsafe import Markup

from pairlab.errors import TemplateError

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def _yaml_string(value: object) -> str:
    """A double-quoted YAML scalar: a JSON string (YAML 1.2, 10.2), only that YAML has no surrogate pairs."""
    pairs = re.compile(r"\\u(d[89ab]..)\\u(d[c-f]..)")
    return pairs.sub(
        lambda pair: f"\\U{0x10000 + ((int(pair[1], 16) & 0x3FF) << 10) + (int(pair[2], 16) & 0x3FF):08x}",
        json.dumps(str(value)),
    )


def _shell_word(value: object) -> str:
    import shlex

    return shlex.quote(str(value))


def _xml_text(value: object) -> Markup:
    # Marked as done, so that templates which escape by themselves do not escape it again.
    return markupsafe.escape(str(value))


def _bare_word(value: object) -> str:
    """For formats without quoting (HAProxy, systemd, nginx): letters, digits and `._:/@-` only."""
    text = str(value)
    if not text or not all(c.isascii() and (c.isalnum() or c in "._:/@-") for c in text):
        raise TemplateError(
            f"{text!r} may not stand unquoted in this file",
            hint="use letters, digits and ._:/@- only",
        )
    return text


def _markdown_text(value: object) -> str:
    """Text inside a line of Markdown or a table's cell: nothing in it is markup, and it ends no line.

    Source: CommonMark 0.31, 2.4 (backslash escapes); GitHub Flavored Markdown 0.29, 4.10 (tables).
    """
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(str(value).splitlines()))


def _markdown_as_html(value: object) -> Markup:
    """Paragraphs, lists and tables of Markdown; HTML in it stays text, and it leads nowhere."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image", "autolink"])
    tokens = parser.parse(str(value))
    for token in tokens:
        if token.type == "th_open":
            token.attrSet("scope", "col")
    text = parser.renderer.render(tokens, parser.options, {})
    scroll = '<div class="scroll" role="region" tabindex="0" aria-label="Table in the text">'
    return Markup(text.replace("<table>", f"{scroll}<table>").replace("</table>", "</table></div>"))


def _escaping_wanted(name: str | None) -> bool:
    stem = (name or "").removesuffix(".j2")
    return stem.endswith((".html", ".svg", ".xml"))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=_escaping_wanted,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(yaml=_yaml_string, sh=_shell_word, xml=_xml_text)
    environment.filters.update(word=_bare_word, md=_markdown_text, prose=_markdown_as_html)
    return environment


def render(template: str, **values: Any) -> str:
    """Render a template of `templates/`.

    HTML, SVG and XML templates escape by themselves; `prose` makes HTML of Markdown there. In others each
    value goes through the filter of its format: `yaml` (quoted scalar), `sh` (one shell word), `md` (text in
    a line of Markdown), `word` (refuses anything that would need quoting), `tojson`.

    Args:
        template: Path below `templates/`, such as `front_door/haproxy.cfg.j2`.
        **values: What the template names; each name that it uses must be given.

    Returns:
        The rendered text.

    Raises:
        TemplateError: The template does not exist, or lacks a value, or a value may not stand there.
    """
    try:
        return _environment().get_template(template).render(**values)
    except jinja2.TemplateNotFound as error:
        raise TemplateError(f"no template {error.name!r}", hint=f"templates are in {TEMPLATES}") from error
    except jinja2.UndefinedError as error:
        raise TemplateError(f"{template}: {error.message}", hint="pass the value to render()") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{template}:{error.lineno}: {error.message}", hint="fix the template") from error
