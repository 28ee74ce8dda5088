"""The page: what stands on it, that nothing gets out of its place, and that it needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from pairlab.report.html import Lesson, page
from pairlab.results import Sample, Variant
from tests.hostile_texts import HTML, hostile
from tests.report_worlds import cut_short, patch_result, with_layers

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Reads a page: its tags, its attributes, its texts, and whether tags are closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return squeezed("".join(self.texts))

    def attributes(self, name: str) -> list[str]:
        return [
            value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name
        ]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader(page([patch_result()]))


def test_tags_are_closed_in_their_order(read: Reader) -> None:
    assert read.open == []
    assert len(read.tags) > 500


def test_every_text_of_a_result_stays_text() -> None:
    result, shown = hostile(HTML)
    read = Reader(page([result, result]))
    assert read.open == []
    allowed = {tag for tag, _ in Reader(page([cut_short(with_layers(patch_result()))] * 2)).tags}
    assert {tag for tag, _ in read.tags} <= allowed
    assert "script" not in allowed
    assert "img" not in allowed
    names = {name for _, attributes in read.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert len(shown) > 60
    assert {text for text in shown if squeezed(text) not in read.text} == set()


def test_what_teaches_an_exercise_stands_around_what_can_be_said() -> None:
    result = patch_result()
    lesson = Lesson("Two **ways**:\n\n- one\n\n| a | b |\n| --- | --- |\n| 1 | 2 |", "One `host`.")
    read = Reader(page([result, result], lesson_of=lambda _: lesson))
    assert read.open == []
    first, second, third = (read.text.index(each) for each in ("Two ways:", "What can be said", "One host."))
    assert first < second < third < read.text.index("Side by side")
    opened = [attributes for tag, attributes in read.tags if tag == "details" and "open" in attributes]
    assert len(opened) == 2 * 2
    tags = {tag for tag, _ in read.tags}
    assert {"strong", "li", "code"} <= tags
    assert all(attributes["scope"] for tag, attributes in read.tags if tag == "th")
    assert read.attributes("aria-label").count("Table in the text") == 2
    assert "What is tried" not in Reader(page([result])).text


def test_no_text_that_teaches_gets_out_of_its_place() -> None:
    attack = "<script>alert(1)</script> <b onclick=x>b</b> [go](javascript:x) ![i](https://x/y) <https://x>"
    read = Reader(page([patch_result()], lesson_of=lambda _: Lesson(attack, f"- {attack}")))
    assert read.open == []
    assert not [tag for tag, attributes in read.tags if "onclick" in attributes]
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert set(read.attributes("href")) == {"data:,", "#results"}
    assert "<script>alert(1)</script>" in read.text


def test_the_page_needs_nothing_else() -> None:
    text = page([patch_result()])
    read = Reader(text)
    assert "://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert set(read.attributes("href")) == {"data:,", "#results"}
    assert read.attributes("src") == []
    (policy,) = [a["content"] for tag, a in read.tags if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_ids_are_unique_and_all_that_is_named_is_there() -> None:
    read = Reader(page([patch_result(), cut_short(patch_result())]))
    ids = read.attributes("id")
    assert len(ids) == len(set(ids))
    named = " ".join(read.attributes("aria-labelledby")).split()
    assert set(named) <= set(ids)
    links = [link[1:] for link in read.attributes("href") if link.startswith("#")]
    assert set(links) <= set(ids)
    assert {"result-1", "result-2"} <= set(links)


def test_pictures_have_names_and_tables_have_scopes(read: Reader) -> None:
    for tag, attributes in read.tags:
        if tag == "svg" and "aria-labelledby" in attributes:
            assert attributes["role"] == "img"
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    inner = {"cut"}  # parts of a picture, which has a name itself
    for attributes in (a for tag, a in read.tags if tag == "svg" and a.get("class") not in inner):
        named = {"aria-labelledby", "aria-hidden", "y", "x"} & attributes.keys()
        assert named, f"a picture has neither a name nor is it decoration: {attributes}"
    pictures = [a for tag, a in read.tags if tag == "svg" and a.get("role") == "img"]
    assert len(pictures) == 18 + 11 * 6  # timelines, and a line for each figure and variant
    assert [attributes["lang"] for tag, attributes in read.tags if tag == "html"] == ["en"]


def test_headings_leave_no_level_out(read: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_conclusions_come_before_figures_and_say_what_is_no_claim(read: Reader) -> None:
    result = patch_result()
    places = [read.text.index(squeezed(conclusion.text)) for conclusion in result.conclusions]
    assert places == sorted(places)
    assert max(places) < read.text.index("Side by side")
    assert "No claim: Containers answer faster" in read.text
    assert "No claim: Containers rolled" not in read.text


def test_every_figure_of_an_emulated_vm_says_so() -> None:
    text = page([patch_result()])
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', text, re.DOTALL)
    figures = [re.findall(r"<td>.*?</td>", row, re.DOTALL) for row in rows if "n 3" in row or "n 6" in row]
    assert len(figures) == 22
    for cells in figures:
        half = len(cells) // 2  # VMs come first in this result, both among the compared and the baselines
        assert ["emulated" in cell for cell in cells] == [True] * half + [False] * half
    assert "say nothing of hardware virtualisation" in Reader(text).text


def test_vms_on_hardware_are_marked_as_that() -> None:
    read = Reader(page([patch_result(accelerator="kvm")]))
    assert "say nothing of hardware virtualisation" not in read.text
    assert read.text.count("emulated") == 1  # in the key of signs
    assert " kvm " in read.text


def test_an_incomplete_result_says_so_first() -> None:
    read = Reader(page([cut_short(patch_result())]))
    reason = read.text.index("Incomplete. vm/1 never answered after its rebuild")
    assert reason < read.text.index("What can be said")
    assert "Incomplete." not in Reader(page([patch_result()])).text


def test_each_figure_says_how_it_was_obtained(read: Reader) -> None:
    for figure in patch_result().figures:
        assert f"How: {figure.method}" in read.text


def test_what_was_not_measured_or_asked_is_not_a_zero() -> None:
    result = patch_result()
    kept = [s for s in result.samples if (s.figure, s.variant) != ("built", "vm-in-place")]
    read = Reader(page([result.model_copy(update={"samples": kept})]))
    assert read.text.count("not measured") == 1
    assert read.text.count("not asked") == 3


def test_variants_of_which_nothing_was_measured_have_a_table_of_their_own() -> None:
    text = page([patch_result()])
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert "rebuilt from a new image" in tables[2]  # where the first questions stand
    of_kernels = [Reader(table).text for table in tables if "kernel package" in table]
    assert len(of_kernels) == 2
    assert "✓ yes 6.1.0-49 -> 6.1.0-50" in of_kernels[0]
    assert "⊘ cannot it runs on its host's" in of_kernels[1]
    assert not any("rebuilt" in table for table in of_kernels)


def test_the_host_itself_can_be_a_variant() -> None:
    result = patch_result()
    host = Variant(key="host", title="No stack at all", side=None)
    sample = Sample(figure="latency-p50", variant="host", repetition=0, value=0.4)
    changed = result.model_copy(
        update={"variants": [*result.variants, host], "samples": [*result.samples, sample]}
    )
    read = Reader(page([changed]))
    assert "No stack at all" in read.text
    assert "No stack at all: 0.400 ms" in squeezed(read.text.replace("\u00a0", " "))


def test_a_result_of_nothing_is_a_page_too() -> None:
    empty = patch_result().model_copy(
        update={
            "samples": [],
            "findings": [],
            "timelines": [],
            "conclusions": [],
            "figures": [],
            "variants": [],
        }
    )
    read = Reader(page([empty]))
    assert "there are no conclusions" in read.text
    assert "Where it was measured" in read.text
