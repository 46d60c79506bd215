"""The page and the Markdown: whatever a sample holds, they stay what they are."""

import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from elman.config import Config
from elman.report.curve_stats import PhaseSummary
from elman.report.lexicon import Lexicon, build_lexicon
from elman.report.plots import apply_theme
from elman.report.progress import ReportProgress
from elman.report.render import cell, code, fenced, render_html, render_markdown, settings, superscripts, visible
from elman.report.results import Results, collect_results
from elman.runs.records import Sample
from elman.text import Corpus
from elman.training.gradcheck import GradientCheck
from support.training import train

TEXT = "so Anna saw the night and Anna slept and Anna woke\n" * 3
NASTY = "\n<script>alert('1')</script> & ```` Anna </pre> \x00\x1b[31m {{ 7 * 7 }} | \u202e\ud800"
CHECK = GradientCheck(5, 5, 5, dict.fromkeys(("V", "U", "W", "b", "c", "h0"), 1e-9))


@pytest.fixture(scope="module")
def known() -> Lexicon:
    """Words and names of the text."""
    return build_lexicon(TEXT)


@pytest.fixture(scope="module")
def results(known: Lexicon) -> Results:
    """A report's results, of a run of one epoch, whose samples try to break out."""
    run = train(Corpus.from_text(TEXT, "a|`<b>\n"), epochs=1, hidden_size=4, seq_length=5, metrics_every=5)
    kept = ReportProgress(checks=(CHECK,), short=PhaseSummary.of(run, 1))
    found = collect_results(known, run, kept, None)
    return replace(found, samples=[Sample(0, None, NASTY)], final=Sample(run.state.update, 1.5, NASTY))


class Texts(HTMLParser):
    """Collects the tags of a page, and the text of each ``pre`` as a browser would show it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pres: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append(tag)
        if tag == "pre":
            self.inside = True
            self.pres.append("")

    def handle_endtag(self, tag: str) -> None:
        """End the text."""
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        if self.inside:
            self.pres[-1] += data


def without_samples(markdown: str) -> str:
    """Return the Markdown without what the network wrote."""
    return re.sub(r"`````text\n.*?\n`````\n", "sample\n", markdown, flags=re.DOTALL)


def test_a_sample_cannot_leave_its_place_in_the_page(results: Results, known: Lexicon) -> None:
    page = render_html(results, known, [])
    texts = Texts(page)
    assert "script" not in texts.tags
    assert [text.removeprefix("\n") for text in texts.pres] == [
        visible(NASTY)
    ] * 2  # a browser drops the first line feed
    assert '<span class="name">Anna</span>' in page
    assert "{{ 7 * 7 }}" in page
    page.encode()


def test_a_sample_cannot_leave_its_place_in_the_markdown(results: Results) -> None:
    text = render_markdown(results)
    assert text.count(f"\n`````text\n{visible(NASTY)}\n`````\n") == 2
    outside = without_samples(text)
    assert "script" not in outside
    assert outside.startswith("# Character RNN trained on ``a|`<b>``\n")
    text.encode()


def test_tables_of_the_markdown_have_equal_rows(results: Results) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", without_samples(render_markdown(results)), re.M)
    assert len(tables) == 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_no_line_of_the_markdown_is_blank_twice(results: Results) -> None:
    assert "\n\n\n" not in without_samples(render_markdown(results))


def test_characters_without_a_shape_are_shown() -> None:
    assert visible("a\tb\r\nc\rd\x00\x1b\x7f\x85\u202e\ud800é\n") == "a\tb\nc␍d␀␛␡\\u0085\\u202e\\ud800é\n"


@pytest.mark.parametrize(
    ("text", "fence"), [("plain", "```"), ("a `b` c", "```"), ("```", "````"), ("x``````y", "```````")]
)
def test_a_fence_is_longer_than_any_in_the_text(text: str, fence: str) -> None:
    assert fenced(text) == f"{fence}text\n{text}\n{fence}"


@pytest.mark.parametrize(("text", "span"), [("x", "`x`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("", "")])
def test_a_code_span_holds_any_text(text: str, span: str) -> None:
    assert code(text) == span


def test_a_cell_holds_the_sign_that_parts_cells() -> None:
    assert cell("`a|b`") == "`a\\|b`"


def test_exponents_are_raised_and_the_rest_escaped() -> None:
    assert superscripts("<1.69×10⁻⁹") == "&lt;1.69×10<sup>−9</sup>"


def test_every_setting_is_listed() -> None:
    listed = {name: value for name, value, _ in settings(Config(max_updates=None, sample_every=10_000))}
    assert listed.keys() == asdict(Config()).keys()
    assert (listed["max_updates"], listed["sample_every"], listed["learning_rate"]) == ("none", "10,000", "0.1")


def test_a_figure_takes_the_colours_of_the_page() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "http://x">'
        '<svg xmlns="http://www.w3.org/2000/svg" width="1pt" viewBox="0 0 9 9" version="1.1">'
        '<metadata>\nhttp://y</metadata><defs>\n<style type="text/css">*{x: y}</style>\n</defs>'
        '<g id="axes_1"><path id="m0a1b2c" style="stroke: #000000"/>'
        '<use xlink:href="#m0a1b2c" style="stroke: #1f5fa8"/></g>'
        "<text style=\"font: 10px 'Sans', serif; text-anchor: end\">1</text>"
        "<text style=\"font-size: 10px; font-family: 'Sans'; text-anchor: end\">2</text></svg>"
    )
    assert apply_theme(svg, "#1f5fa8") == (
        '<svg role="img" aria-label="Smooth loss against the update" viewBox="0 0 9 9">'
        '<g><path id="m0a1b2c" style="stroke: currentColor"/>'
        '<use xlink:href="#m0a1b2c" style="stroke: var(--accent)"/></g>'
        '<text style="text-anchor: end">1</text><text style="text-anchor: end">2</text></svg>'
    )
