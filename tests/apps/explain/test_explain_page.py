"""The page of `elman explain`: its content, and its behaviour in Chromium."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from elman.apps.explain import explanation as interpret
from elman.apps.explain import page as explain_page
from elman.apps.explain.explanation import Unit, dequantize
from elman.apps.explain.page import ExplainPage, describe_network, explain, format_unit, render_page
from elman.engine import get_engine
from elman.errors import ElmanError
from elman.model import Model
from elman.network.cells import CELLS
from elman.network.parameters import Architecture
from elman.text import Alphabet, Corpus
from elman.text.alphabet import visible
from elman.text.masks import MASKS, Masker
from elman.text.unknown import unknown_nats
from support import mingru_cell
from support.browser import fits, open_page
from support.html_page import Page as Html
from support.networks import make_parameters
from support.random_model import random_model, random_prior_model

Opener = Callable[..., Page]

NASTY = (
    'He said "<script>alert(1)</script>" & </div></pre> <!-- \\u003c\n\x00\x1b[31m\x7f red\r\n'
    "\u202eevil\u202c שלום العربية e\u0301 \U0001f468\u200d\U0001f469 \U0001f600\n\ttab\u2028 \ufeff\u00ad {{ 7*7 }}\n"
    "\n" + "long " * 250 + "\n  é"
)
PLAIN = 'One "two" three (four);\n    five 6.\n' * 400


def explain_text(text: str, cell: str = "lstm", layers: int = 2, m: int = 5) -> ExplainPage:
    alphabet, generator = Alphabet.from_text(text), np.random.RandomState(3)
    parameters = make_parameters(len(alphabet), m, 1.0, generator, np.float64, cell, layers)
    model = Model(alphabet, parameters, parameters.architecture.zero_state(np.float64), get_engine("numpy"))
    return ExplainPage.from_corpus(model, encode_corpus(alphabet, text))


def encode_corpus(alphabet: Alphabet, text: str) -> Corpus:
    return Corpus("<b>name</b>", alphabet, alphabet.encode(text), "", "utf-8")


@pytest.fixture(scope="module")
def nasty() -> ExplainPage:
    """A text that tries to escape from its element."""
    return explain_text(NASTY * 3)


@pytest.fixture(scope="module")
def unknown_page() -> ExplainPage:
    """A text with characters that are unknown to a network of a and b."""
    return ExplainPage.from_corpus(random_model("ab"), encode_corpus(Alphabet("ab漢\u202e😀"), "漢ab\u202ea😀"))


@pytest.fixture(scope="module")
def plain() -> ExplainPage:
    return explain_text(PLAIN, "gru", 1)


@pytest.fixture(scope="module")
def prior_page() -> ExplainPage:
    """A text read by a network with an n-gram prior, with an unknown character after the third line."""
    model = random_prior_model(PLAIN[:2000], "lstm", 2, order=4)
    text = PLAIN[:222] + "漢" + PLAIN[222:1500]
    return ExplainPage.from_corpus(model, encode_corpus(Alphabet(model.alphabet.characters + "漢"), text))


def unpacked(found: Html, name: str, dtype: str) -> Any:
    return np.frombuffer(gzip.decompress(base64.b64decode(found.contents[f"#{name}"])), dtype)


# --- Content ---


def test_a_text_cannot_leave_its_place_and_only_the_page_itself_runs(nasty: ExplainPage) -> None:
    page = render_page(nasty)
    found, text = Html(page), visible(NASTY * 3)
    assert not found.open  # every element is closed by its own tag
    assert found.contents["#rows"].strip() == text.replace("\n", "↵\n\n")
    blocks = explain_page.array_blocks(nasty, nasty.select_columns())
    assert found.tags.count("script") == 2 + len(blocks)  # only those that the page has itself
    assert json.loads(found.contents["#data"])["chars"] == len(text)
    page.encode()
    without_data = re.sub(r"[A-Za-z0-9+/=]{80,}|sha256-[A-Za-z0-9+/=]{44}", "", page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\ssrc=|\shref=", without_data)
    digests = (hashlib.sha256(found.contents[name].encode()).digest() for name in ("style", "script"))
    style, script = (base64.b64encode(digest).decode() for digest in digests)
    (policy,) = re.findall(r'"Content-Security-Policy" content="([^"]+)"', page)
    assert unescape(policy) == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("text", ["a", "a\n", "\na", "\n\n", "a\n\nb\n"])
def test_every_line_is_an_element(text: str) -> None:
    lines = [f"<div>{line}</div>" for line in text.replace("\n", "<b>↵</b>\n</div><div>").split("</div><div>") if line]
    assert explain_page.render_lines(text, {}) == "\n".join(lines)


def test_its_arrays_are_those_of_the_explanation(nasty: ExplainPage) -> None:
    found, explanation = Html(render_page(nasty)), nasty.explanation
    N, D = explanation.quantized.shape
    data = json.loads(found.contents["#data"])
    np.testing.assert_array_equal(unpacked(found, "indices", "u1"), explanation.indices)
    bits = unpacked(found, "surprisal", "<u2")
    assert bits[0] == explain_page.NO_SURPRISAL
    np.testing.assert_allclose(bits[1:] / 1024, explanation.surprisal[1:], atol=0.5 / 1024 + 1e-6)
    np.testing.assert_array_equal(unpacked(found, "candidates", "u1").reshape(5, N).T, explanation.candidates)
    p = unpacked(found, "probabilities", "<u2").reshape(5, N).T / 65535
    np.testing.assert_allclose(p, explanation.probabilities, atol=1e-5)
    assert len(data["units"]) == D == 20
    for n in range(D):
        np.testing.assert_array_equal(unpacked(found, f"unit-{n}", "u1"), explanation.quantized[:, n])
    for n, probe in enumerate(nasty.probes):
        if probe.best and probe.feature.is_binary:
            np.testing.assert_array_equal(unpacked(found, f"feature-{n}", "u1"), probe.values)


def test_the_arrays_of_a_prior_are_in_the_page(prior_page: ExplainPage) -> None:
    found, prior = Html(render_page(prior_page)), prior_page.explanation.prior
    assert prior is not None
    assert json.loads(found.contents["#data"])["order"] == prior.order == 5
    bits = unpacked(found, "prior-surprisal", "<u2")
    assert bits[0] == explain_page.NO_SURPRISAL
    np.testing.assert_array_equal(unpacked(found, "prior-matched", "u1"), prior.matched)
    stored = [bits[1:], *(unpacked(found, f"prior-{name}", "<i2") for name in ("counting", "network"))]
    for steps, array in zip(stored, (prior.surprisal[1:], prior.counting, prior.network), strict=True):
        np.testing.assert_allclose(steps / 1024, np.nan_to_num(array), atol=0.5 / 1024 + 1e-5)


def test_few_units_are_the_best_and_it_says_so(plain: ExplainPage, monkeypatch: pytest.MonkeyPatch) -> None:
    page = render_page(plain, 2)
    assert "This page contains the activations of 2 of 5 units" in " ".join(page.split())
    data = json.loads(Html(page).contents["#data"])
    best = data["features"][0]["best"]
    assert best[0]["unit"] is not None
    assert best[-1]["unit"] is None
    assert [unit["name"] for unit in data["units"]] == sorted(unit["name"] for unit in data["units"])
    assert len(plain.select_columns()) == 5
    monkeypatch.setattr(explain_page, "MAX_DEFAULT_ACTIVATIONS", 3 * len(PLAIN))
    assert len(plain.select_columns()) == 3
    monkeypatch.setattr(explain_page, "MAX_DEFAULT_ACTIVATIONS", 1)
    assert len(plain.select_columns()) == 1
    assert "the activations of all 5 units" in " ".join(render_page(plain, 99).split())


def test_an_alphabet_above_a_byte_fits() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
    found = Html(render_page(explain_text(text, "rnn", 1)))
    assert json.loads(found.contents["#data"])["indexBytes"] == 2
    np.testing.assert_array_equal(unpacked(found, "indices", "<u2"), np.tile(np.arange(300), 2))


def test_unknown_characters_are_in_the_page_by_their_names(unknown_page: ExplainPage) -> None:
    page = render_page(unknown_page)
    found = Html(page)
    data = json.loads(found.contents["#data"])
    assert found.contents["#rows"].strip() == "漢ab�a😀"
    assert (data["knownChars"], len(data["alphabet"])) == (2, 5)
    assert data["alphabet"][3] == ["\u202e", "right-to-left override"]
    bits = unpacked(found, "surprisal", "<u2")
    assert [n for n in range(6) if bits[n] == explain_page.NO_SURPRISAL] == [1]
    np.testing.assert_array_equal(bits[[0, 3, 5]], round(unknown_nats(2) / np.log(2) * 1024))
    says = "3 of the characters are unknown to the model and were not fed to it; an unknown character counts 36.09 bits"
    assert says in " ".join(page.split())
    assert "unknown to the model" not in render_page(explain_text("abab"))[: page.index("<aside>")]


def test_a_cell_of_ones_own_is_named_by_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.core, "mingru", mingru_cell.SPEC)
    page = explain_text("ab" * 30, "mingru")
    assert describe_network(page.network) == "minGRU with 2 layers of 5\u00a0units"
    assert "The minGRU with" in render_page(page)


def test_the_network_and_its_units_in_words() -> None:
    for cell, layers, words, unit in (
        ("rnn", 1, "vanilla RNN with 5\u00a0units", "unit 3"),
        ("gru", 2, "GRU with 2 layers of 5\u00a0units", "layer 2, unit 3"),
        ("lstm", 1, "LSTM with 5\u00a0units", "cell state 3"),
    ):
        network = Architecture(4, 5, cell, layers)
        assert describe_network(network) == words
        assert format_unit(Unit(layers, 3, network.spec.state[-1]), network) == unit


def test_the_summary_says_what_the_counts_of_a_prior_contribute(prior_page: ExplainPage, plain: ExplainPage) -> None:
    assert prior_page.explanation.prior is not None
    page, means = " ".join(render_page(prior_page).split()), prior_page.explanation.prior.means()
    metrics = prior_page.as_dict()["ngram"]
    assert [*metrics] == ["order", *means, "bits_per_char", "mean_matched_length"]
    assert (metrics["order"], metrics["nats_per_char"]) == (5, means["nats_per_char"])
    assert f"counting alone <b>{metrics['bits_per_char']:.2f}</b>" in page
    assert f"counting contributes {means['counting_nats_per_char'] / np.log(2):.2f} bits" in page
    assert f"uniform guess takes {means['uniform_nats_per_char'] / np.log(2):.2f} bits" in page
    assert "include the unknown characters" in page
    assert "units. They" in page
    without = re.sub(r"<(script|style)( type=.module.)?>.*?</\1>", "", render_page(plain), flags=re.DOTALL)
    assert "ounting" not in without
    assert "prior" not in without
    assert "ngram" not in plain.as_dict()


# --- Behaviour in Chromium ---


MIDDLE = """([line, column]) => {
  const node = document.querySelectorAll("#rows > div")[line].firstChild, range = document.createRange();
  range.setStart(node, column);
  range.setEnd(node, column + 1);
  const box = range.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}"""
COLOUR = """([x, y]) => {
  const canvas = document.querySelector("canvas"), area = canvas.getBoundingClientRect();
  const pixel = new OffscreenCanvas(1, 1).getContext("2d");
  pixel.drawImage(canvas, Math.floor(area.left - x), Math.floor(area.top - y));
  return [...pixel.getImageData(0, 0, 1, 1).data];
}"""
CONTRAST = """() => {
  const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ink = light(getComputedStyle(document.body).color);
  const ratio = (one) => (Math.max(one, ink) + 0.05) / (Math.min(one, ink) + 0.05);
  return [...document.querySelectorAll("#scale i")].map((part) => ratio(light(part.style.background)));
}"""


def until(page: Page, condition: str) -> None:
    """Wait until a condition in JavaScript holds. It is passed as a function, as the policy forbids evaluating text."""
    page.wait_for_function(f"() => {condition}")


def middle(page: Page, line: int, column: int) -> Any:
    """Return the centre of a character in the window, x and y; its line must be one text node."""
    return page.evaluate(MIDDLE, [line, column])


def colour(page: Page, x: float, y: float) -> Any:
    return page.evaluate(COLOUR, [x, y])


def until_underlined(page: Page, x: float, y: float, expected: bool) -> None:
    """Wait until the frame is drawn in which a character is underlined, or is not."""
    for _ in range(250):
        if ([28, 27, 25, 255] in [colour(page, x, y + dy) for dy in range(5, 13)]) == expected:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"the character is {'not ' if expected else ''}underlined")


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opener]:
    with ExitStack() as stack:

        def open_content(content: ExplainPage, width: int = 1200, dark: bool = False) -> Page:
            (tmp_path / "page.html").write_text(render_page(content), encoding="utf-8")
            size, scheme = {"width": width, "height": 900}, "dark" if dark else "light"
            opening = open_page(browser, tmp_path.as_uri(), "/page.html", viewport=size, color_scheme=scheme)
            page = stack.enter_context(opening)
            until(page, "performance.getEntriesByName('coloured').length")
            return page

        yield open_content


def percent(p: float) -> str:
    if p < 0.001:
        return "< 0.1 %"
    return f"{100 * p:.1f} %" if p < 0.0995 or p > 0.9905 else f"{100 * p:.0f} %"


GLYPHS = {" ": "␣", "\n": "↵"}


def expected_rows(content: ExplainPage, n: int) -> list[str]:
    explanation, characters = content.explanation, content.alphabet.characters
    listed = dict(zip(explanation.candidates[n].tolist(), explanation.probabilities[n].tolist(), strict=True))
    index = int(explanation.indices[n])
    if index not in listed and index < content.network.K:
        listed[index] = 2 ** -float(explanation.surprisal[n])
    return [GLYPHS.get(characters[k], characters[k]) + percent(p) for k, p in listed.items()]


def rows(page: Page) -> list[str]:
    return [row.replace("\n", "") for row in page.locator("#alternatives li").all_inner_texts()]


def test_an_unknown_character_is_distinguished_from_an_unlikely_one(opened: Opener, unknown_page: ExplainPage) -> None:
    page = opened(unknown_page)
    page.focus("#text")
    found = []
    for key in ("ArrowDown", *["ArrowRight"] * 5):
        page.keyboard.press(key)
        found.append((page.locator("#probability").inner_text(), rows(page)))
    label = "Unknown character, surprisal 36.1 bits."
    assert found[0] == (label, [])  # nothing was read before it
    assert found[1] == ("The first character has no probability: nothing precedes it.", [])
    assert found[3] == (label, expected_rows(unknown_page, 4))  # the predictions are those made before it
    assert found[5] == (label, expected_rows(unknown_page, 5))
    assert page.locator("#announcement").inner_text().startswith(f"grinning face, U+1F600. {label} Also: ")
    most = page.evaluate("getComputedStyle(document.querySelector('#scale i:last-child')).backgroundColor")
    assert page.evaluate("getComputedStyle(document.querySelector('#character output')).backgroundColor") == most


def test_a_long_log_is_refused_before_it_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpret, "MAX_CHARS", 20)
    model = replace(random_model("Ⓝ abc:\n"), masker=Masker("numbers"))
    assert explain("abc 123456789\n", model).explanation.chars == len("bc Ⓝ\n")
    with pytest.raises(ElmanError, match=r"at most 20 characters to be explained \(got 24\)"):
        explain("abc 1234567890123456789\n", model)


def test_the_symbols_of_masks_show_what_they_replace(opened: Opener) -> None:
    model = replace(random_model("ⓃⓇ abc:\n"), masker=Masker("numbers", "user [a-z]+"))
    text = "a 1234: user anna\nb 7 c 89 a\n"
    content = ExplainPage.from_corpus(model, encode_corpus(Alphabet.from_text(text), text))
    assert content.alphabet.decode(content.explanation.indices) == "a Ⓝ: Ⓡ\nb Ⓝ c Ⓝ a\n"
    assert explain("a 12", model).replaced == {2: "12"}
    page = opened(content)
    assert page.locator("#rows > div").first.inner_text().strip() == "a N: R↵"
    assert page.locator("#legend dd").all_inner_texts() == ["matches of user [a-z]+", f"numbers: {MASKS['numbers'][2]}"]
    page.focus("#text")
    found = {}
    for _ in range(18):
        page.keyboard.press("ArrowRight")
        glyph, at = (page.locator(f"#character {name}").inner_text() for name in ("bdi", "small"))
        if "replaces" in at:
            found[at] = glyph
    assert found == {
        "character 3, replaces 1234": "N", "character 6, replaces user anna": "R", "character 10, replaces 7": "N",
        "character 14, replaces 89": "N",
    }  # fmt: skip


def test_moving_along_the_text_by_mouse_and_keys(opened: Opener, plain: ExplainPage) -> None:
    page = opened(plain)
    n = 2 * len('One "two" three (four);\n    five 6.\n') + 6
    page.mouse.move(*middle(page, 4, 6))  # the fifth line begins with the third repeat
    page.wait_for_selector("#selected:not([hidden])")
    assert page.locator("#character bdi").inner_text() == "w"
    assert page.locator("#character b").inner_text() == "latin small letter w, U+0077"
    at, announcement = page.locator("#character small"), page.locator("#announcement")
    assert at.inner_text() == f"character {n + 1}"
    assert f"surprisal {plain.explanation.surprisal[n]:.2f} bits" in page.locator("#probability").inner_text()
    assert rows(page) == expected_rows(plain, n)

    page.focus("#text")
    positions = []
    for key in (*["ArrowUp"] * 4, "Home", "ArrowRight", "ArrowDown", "End", "Home", *["ArrowUp", "ArrowLeft"] * 2):
        page.keyboard.press(key)
        positions.append(int(at.inner_text().rpartition(" ")[2]))
    assert positions[4:] == [1, 2, 26, 36, 25, 1, 1, 1, 1]
    assert announcement.inner_text().startswith("latin capital letter o, U+004F. The first character has no ")
    page.keyboard.press("ArrowRight")
    assert announcement.inner_text().startswith("latin small letter n, U+006E. Probability ")
    assert announcement.inner_text().count("%") == 4
    for _ in range(80):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("scrollY") > 0
    box = page.locator("#cursor").bounding_box()
    assert box is not None
    assert 0 < box["y"] < 900 - box["height"]


def test_units_and_features_colour_the_text(opened: Opener, plain: ExplainPage) -> None:
    page = opened(plain)
    n, at = 36 + 24 + 8, middle(page, 3, 8)
    before = colour(page, *at)
    for column in range(5):
        page.select_option("#unit", str(column))
        until(page, f"document.getElementById('scale-note').textContent.includes('unit {column + 1} ')")
        value = dequantize(plain.explanation.quantized[:, column])
        red, _, blue, opaque = colour(page, *at)
        share = round(20 * float(value[n] / np.abs(value).max()))
        assert (opaque == 255) == (share != 0)
        if share:
            assert (blue > red) == (share > 0)
    page.check("#by-surprisal")
    assert colour(page, *at) == before

    n = next(n for n, probe in enumerate(plain.probes) if probe.feature.name == "inside brackets")
    best = plain.probes[n].best
    page.click(f"#choose-{n} summary")
    until(page, "document.getElementById('by-unit').checked")
    assert page.input_value("#unit") == str(best[0].unit)
    details = page.locator(f"#details-{n}")
    assert f"AUC {best[0].score:.2f}" in details.inner_text()
    x, y = middle(page, 0, 18)  # within (four
    until_underlined(page, x, y, True)
    page.locator(f"#details-{n} input").uncheck()
    until_underlined(page, x, y, False)
    details.locator("button").nth(1).click()
    until(page, f"document.getElementById('unit').value === '{best[1].unit}'")
    page.locator(f"#details-{n} input").check()
    until_underlined(page, x, y, True)
    other = next(i for i, probe in enumerate(plain.probes) if i != n and probe.best and not probe.feature.is_binary)
    page.click(f"#choose-{other} summary")
    until(page, f"!document.getElementById('choose-{n}').open")
    until(page, f"document.getElementById('details-{other}').children.length")
    until_underlined(page, x, y, False)


def test_it_fits_a_phone(opened: Opener, nasty: ExplainPage, prior_page: ExplainPage) -> None:
    page = opened(nasty, width=420)
    assert fits(page)
    assert not page.evaluate("document.getElementById('units').open")
    page.mouse.click(*middle(page, 0, 3))
    assert page.locator("#character bdi").inner_text() == "s"
    box = page.locator("#position").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == 900
    assert fits(page)
    page = opened(prior_page, width=420)
    page.check("#by-prior")
    page.evaluate("window.scrollTo(0, 400)")  # with some fonts, the text begins below the line at the bottom
    page.mouse.click(*middle(page, 0, 3))
    assert page.locator("#origin").is_visible()
    assert fits(page)


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_on_every_colour(opened: Opener, prior_page: ExplainPage, dark: bool) -> None:
    page, prior = opened(prior_page, dark=dark), prior_page.explanation.prior
    assert prior is not None
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) == 33
    assert min(ratios) >= 4.5
    assert ratios == sorted(ratios, reverse=True)  # lightness alone distinguishes the levels
    page.check("#by-unit")
    until(page, "document.querySelectorAll('#scale i').length === 41")
    ratios = page.evaluate(CONTRAST)
    assert min(ratios) >= 4.5
    assert max(ratios) == ratios[20]
    page.check("#by-prior")
    until(page, "document.getElementById('ticks').textContent.startsWith('4 bits more counting')")
    assert min(page.evaluate(CONTRAST)) >= 4.5
    difference = np.maximum(prior.network, 0) - np.maximum(prior.counting, 0)
    columns = [n for n in range(1, 20) if abs(difference[n]) > 1]
    assert columns
    for n in columns:
        red, _, blue, opaque = colour(page, *middle(page, 0, n))
        assert opaque == 255
        assert (blue > red) == (difference[n] > 0)


def test_the_origin_of_a_character_is_shown(opened: Opener, prior_page: ExplainPage) -> None:
    page, prior = opened(prior_page), prior_page.explanation.prior
    assert prior is not None
    n = 12
    page.mouse.move(*middle(page, 0, n))
    page.wait_for_selector("#selected:not([hidden])")
    shown = page.locator("#origin").inner_text()
    alone, order = float(prior.surprisal[n]), int(prior.matched[n])
    assert f"Counting alone {percent(2**-alone)}, {alone:.2f} bits; longest context known: {order} char" in shown
    for name, array in (("counting", prior.counting), ("network", prior.network)):
        sign = "−" if array[n] < 0 else "+"
        assert page.locator(f"#origin-{name}").inner_text() == f"{sign}{abs(array[n]):.2f}"
    page.focus("#text")
    page.keyboard.press("Home")
    assert page.locator("#origin").is_hidden()  # nothing precedes the first character
    page.keyboard.press("ArrowRight")
    assert "Counting alone" in page.locator("#announcement").inner_text()
