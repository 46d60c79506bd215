"""The page of `elman explain`: what stands in it, and what it does in Chromium, where there is one."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elman.engine import get_engine
from elman.inference import Model
from elman.inference.strangers import stranger_nats
from elman.interpret.activations import Unit, activation
from elman.network import architecture, initial_parameters
from elman.report.explain_page import page as explain_page
from elman.report.explain_page.page import Explained, letter, network_in_words, render_page, stand_in, unit_name
from elman.text import Alphabet, Corpus
from support.random_model import random_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NASTY = (
    'He said "<script>alert(1)</script>" & </div></pre> <!-- \\u003c\n\x00\x1b[31m\x7f red\r\n'
    "\u202eevil\u202c שלום العربية e\u0301 \U0001f468\u200d\U0001f469 \U0001f600\n\ttab\u2028 \ufeff\u00ad {{ 7*7 }}\n"
    "\n" + "long " * 250 + "\n  é"
)
PLAIN = 'One "two" three (four);\n    five 6.\n' * 400


def explained(text: str, cell: str = "lstm", layers: int = 2, m: int = 5) -> Explained:
    """Return what a network that was never trained went through."""
    alphabet, generator = Alphabet.from_text(text), np.random.RandomState(3)
    parameters = initial_parameters(len(alphabet), m, 1.0, generator, np.float64, cell, layers)
    model = Model(alphabet, parameters, np.zeros(architecture(parameters).state_size), get_engine("numpy"))
    return Explained.of(model, encoded_in(alphabet, text))


def encoded_in(alphabet: Alphabet, text: str) -> Corpus:
    """Return a text in an alphabet."""
    return Corpus("<b>name</b>", alphabet, alphabet.encode(text), "", "utf-8")


class Elements(HTMLParser):
    """Collects the tags of a page, and the text of its scripts and of the lines of the text it shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: dict[str, str] = {}
        self.style = ""
        self.policy = ""
        self.inside: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        given = dict(attrs)
        self.tags.append(tag)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag not in ("meta", "input", "wbr"):
            self.inside.append((tag, given.get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        """End it."""
        assert self.inside.pop()[0] == tag
        if tag == "div" and ("div", "rows") in self.inside:
            self.text += "|"

    def handle_data(self, data: str) -> None:
        """Collect what stands in it."""
        tag, name = self.inside[-1] if self.inside else ("", "")
        if tag == "script":
            self.scripts[name] = data
        elif tag == "style":
            self.style += data
        elif ("div", "rows") in self.inside and name != "rows":
            self.text += data


@pytest.fixture(scope="module")
def nasty() -> Explained:
    """A text that tries to break out."""
    return explained(NASTY * 3)


STRANGE = "漢ab\u202ea😀"


@pytest.fixture(scope="module")
def strange() -> Explained:
    """A text of which the network knows a and b alone."""
    return Explained.of(random_model("ab"), encoded_in(Alphabet("ab漢\u202e😀"), STRANGE))


@pytest.fixture(scope="module")
def plain() -> Explained:
    """A text of many lines."""
    return explained(PLAIN, "gru", 1)


def unpacked(found: Elements, name: str, dtype: str) -> Any:
    return np.frombuffer(gzip.decompress(base64.b64decode(found.scripts[name])), dtype)


# --- What stands in it ---


def test_a_text_cannot_leave_its_place(nasty: Explained) -> None:
    found = Elements(render_page(nasty))
    assert not found.inside  # every element is closed by its own tag
    expected = "".join(stand_in(c) if c != "\n" else "↵\n|" for c in NASTY * 3) + "|"
    assert found.text == expected
    assert "b" in found.tags
    assert found.tags.count("script") == 2 + len(found.scripts) - 2  # only those that the page has itself
    assert json.loads(found.scripts["facts"])["chars"] == len(NASTY * 3)
    render_page(nasty).encode()


def test_nothing_is_fetched_and_only_its_own_script_runs(nasty: Explained) -> None:
    page = render_page(nasty)
    found = Elements(page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\ssrc=|\shref=", re.sub(r"[A-Za-z0-9+/=]{80,}", "", page))
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (("script", found.scripts[""]), ("style", found.style))
    }
    assert found.policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_its_arrays_are_those_of_the_explanation(nasty: Explained) -> None:
    found, explanation = Elements(render_page(nasty)), nasty.explanation
    N, D = explanation.codes.shape
    facts = json.loads(found.scripts["facts"])
    np.testing.assert_array_equal(unpacked(found, "indices", "u1"), explanation.indices)
    bits = unpacked(found, "surprise", "<u2")
    assert bits[0] == explain_page.UNPREDICTED
    np.testing.assert_allclose(bits[1:] / 1024, explanation.surprise[1:], atol=0.5 / 1024 + 1e-6)
    np.testing.assert_array_equal(unpacked(found, "likeliest", "u1").reshape(5, N).T, explanation.likeliest)
    p = unpacked(found, "probabilities", "<u2").reshape(5, N).T / 65535
    np.testing.assert_allclose(p, explanation.probabilities, atol=1e-5)
    assert len(facts["units"]) == D == 20
    for n in range(D):
        np.testing.assert_array_equal(unpacked(found, f"unit-{n}", "u1"), explanation.codes[:, n])
    for n, thing in enumerate(nasty.tracked):
        if thing.best and thing.nameable.holds:
            np.testing.assert_array_equal(unpacked(found, f"thing-{n}", "u1"), thing.track)


def test_few_units_are_the_best_and_it_says_so(plain: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    page = render_page(plain, 2)
    assert "This page holds the activations of 2 of 5 units" in " ".join(page.split())
    facts = json.loads(Elements(page).scripts["facts"])
    best = facts["things"][0]["best"]
    assert best[0]["unit"] is not None
    assert best[-1]["unit"] is None
    assert [unit["name"] for unit in facts["units"]] == sorted(unit["name"] for unit in facts["units"])
    assert len(plain.columns()) == 5
    monkeypatch.setattr(explain_page, "BUDGET", 3 * len(PLAIN))
    assert len(plain.columns()) == 3
    monkeypatch.setattr(explain_page, "BUDGET", 1)
    assert len(plain.columns()) == 1
    assert "the activations of all 5 units" in " ".join(render_page(plain, 99).split())


def test_an_alphabet_above_a_byte_fits() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
    found = Elements(render_page(explained(text, "rnn", 1)))
    assert json.loads(found.scripts["facts"])["bytes"] == 2
    np.testing.assert_array_equal(unpacked(found, "indices", "<u2"), np.tile(np.arange(300), 2))


def test_strangers_stand_in_the_page_by_their_names(strange: Explained) -> None:
    page = render_page(strange)
    found = Elements(page)
    facts = json.loads(found.scripts["facts"])
    assert found.text == "漢ab�a😀|"
    assert (facts["known"], len(facts["letters"])) == (2, 5)
    assert facts["letters"][3] == ["�", "right-to-left override, U+202E"]
    bits = unpacked(found, "surprise", "<u2")
    assert [n for n in range(6) if bits[n] == explain_page.UNPREDICTED] == [1]
    np.testing.assert_array_equal(bits[[0, 3, 5]], round(stranger_nats(2) / np.log(2) * 1024))
    says = "It does not know 3 of the characters and passed over them; such a character counts 36.09 bits."
    assert says in " ".join(page.split())
    assert "does not know" not in render_page(explained("abab"))[: page.index("<aside>")]


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        *(("a", "a"), ("\x00", "␀"), ("\r", "␍"), ("\x7f", "␡"), ("\x85", "�"), ("\u202e", "�"), ("\ud800", "�")),
        *(("\t", "\t"), ("\u200d", "\u200d"), ("\u2028", "�"), ("\ufeff", "�"), ("😀", "😀")),
    ],
)
def test_every_character_has_one_in_its_place(character: str, shown: str) -> None:
    assert stand_in(character) == shown


@pytest.mark.parametrize(
    ("character", "sign", "name"),
    [
        (" ", "␣", "space"),
        ("\n", "↵", "line feed"),
        ("(", "(", "left parenthesis, U+0028"),
        ("\x07", "␇", "U+0007"),
        ("\u0301", "◌\u0301", "combining acute accent, U+0301"),
        ("\u202e", "�", "right-to-left override, U+202E"),
    ],
)
def test_a_character_by_itself_has_a_name(character: str, sign: str, name: str) -> None:
    assert letter(character) == (sign, name)


@pytest.mark.parametrize(
    ("cell", "layers", "words", "unit"),
    [
        ("rnn", 1, "a vanilla recurrent network of 5\u00a0units", "unit 3"),
        ("gru", 2, "a GRU of 2 layers of 5\u00a0units", "layer 2, unit 3"),
        ("lstm", 1, "an LSTM of 5\u00a0units", "memory 3"),
    ],
)
def test_the_network_and_its_units_in_words(cell: str, layers: int, words: str, unit: str) -> None:
    network = architecture(initial_parameters(4, 5, 1.0, np.random.RandomState(0), np.float64, cell, layers))
    assert network_in_words(network) == words
    assert unit_name(Unit(layers, 3, "memory" if cell == "lstm" else "hidden"), network) == unit


# --- What it does in Chromium ---


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, where Playwright is; without it the tests above still run."""
    pytest.importorskip("playwright")
    from support.browser import chromium

    with chromium() as browser:
        yield browser


class Opened:
    """A page in Chromium: whatever it complains of, or fetches, is noted."""

    def __init__(
        self, browser: "Browser", file: Path, content: Explained, width: int = 1200, dark: bool = False
    ) -> None:
        file.write_text(render_page(content), encoding="utf-8")
        scheme: Any = "dark" if dark else "light"
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.wrong: list[str] = []
        self.fetched: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self.fetched.append(request.url))
        self.page.goto(file.as_uri())
        self.until("performance.getEntriesByName('coloured').length")

    def until(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds; Playwright's own way is by eval, which the page forbids."""
        self.page.evaluate(
            f"""() => new Promise((done, fail) => {{
              let frames = 0;
              const look = () => {{
                if ({condition}) done();
                else if (++frames > 1800) fail(new Error("never came about"));
                else requestAnimationFrame(look);
              }};
              look();
            }})"""
        )

    def close(self) -> None:
        """Nothing went wrong, and nothing but the file was asked for."""
        self.page.close()
        assert self.wrong == []
        assert len(self.fetched) == 1

    def middle(self, line: int, column: int) -> tuple[float, float]:
        """Return where a character of the text is in the window; its line is in one piece."""
        found = self.page.evaluate(
            """([line, column]) => {
              const node = document.querySelectorAll("#rows > div")[line].firstChild, range = document.createRange();
              range.setStart(node, column);
              range.setEnd(node, column + 1);
              const box = range.getBoundingClientRect();
              return [box.left + box.width / 2, box.top + box.height / 2];
            }""",
            [line, column],
        )
        return found[0], found[1]

    def colour(self, x: float, y: float) -> list[int]:
        """Return what the canvas has at a place in the window."""
        found: list[int] = self.page.evaluate(
            """([x, y]) => {
              const canvas = document.querySelector("canvas"), area = canvas.getBoundingClientRect();
              const pixel = new OffscreenCanvas(1, 1).getContext("2d");
              pixel.drawImage(canvas, Math.floor(area.left - x), Math.floor(area.top - y));
              return [...pixel.getImageData(0, 0, 1, 1).data];
            }""",
            [x, y],
        )
        return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the page is written."""
    return tmp_path / "page.html"


def expected_rows(content: Explained, n: int) -> list[str]:
    """Return what the page lists as expected at a place."""
    explanation = content.explanation
    listed = [*explanation.likeliest[n]]
    shown = [letter(content.alphabet.characters[index])[0] for index in listed]
    figures = [f"{100 * np.rint(p * 65535) / 65535:.1f} %" for p in explanation.probabilities[n]]
    rows = [sign + figure for sign, figure in zip(shown, figures, strict=True)]
    if explanation.indices[n] not in listed:
        p = 2 ** -(np.rint(explanation.surprise[n] * 1024) / 1024)
        rows.append(f"{letter(content.alphabet.characters[explanation.indices[n]])[0]}{100 * p:.1f} %")
    return rows


def test_pointing_at_a_character_tells_what_was_expected(browser: "Browser", file: Path, plain: Explained) -> None:
    opened = Opened(browser, file, plain)
    line = len('One "two" three (four);\n    five 6.\n')
    opened.page.mouse.move(*opened.middle(4, 6))  # the fifth line begins with the third repeat
    opened.page.wait_for_selector("#known:not([hidden])")
    assert opened.page.locator("#character bdi").inner_text() == "w"
    n = 2 * line + 6
    assert f"character {n + 1}" in opened.page.locator("#character small").inner_text()
    assert f"{plain.explanation.surprise[n]:.2f} bits" in opened.page.locator("#character b").inner_text()
    rows = [row.replace("\n", "") for row in opened.page.locator("#expected li").all_inner_texts()]
    assert rows == expected_rows(plain, n)
    opened.close()


def test_a_stranger_is_told_from_what_was_unlikely(browser: "Browser", file: Path, strange: Explained) -> None:
    opened = Opened(browser, file, strange)
    page = opened.page
    page.focus("#text")
    found = []
    for key in ("ArrowDown", *["ArrowRight"] * 5):
        page.keyboard.press(key)
        rows = [row.replace("\n", "") for row in page.locator("#expected li").all_inner_texts()]
        found.append((page.locator("#character b").inner_text(), rows))
    does_not = "The network does not know it, 36.09 bits"
    assert found[0] == (does_not, [])  # nothing was read before it
    assert found[1] == ("Nothing that the network knows comes before it", [])
    assert found[3] == (does_not, expected_rows(strange, 4))  # what was expected before it is so still behind it
    assert found[5][0] == does_not
    assert [row[0] for row in found[5][1]] == [strange.alphabet.characters[n] for n in strange.explanation.likeliest[5]]
    assert page.locator("#said").inner_text().startswith(f"grinning face, U+1F600, {does_not}. Expected: ")
    most = page.evaluate("getComputedStyle(document.querySelector('#scale i:last-child')).backgroundColor")
    assert page.evaluate("getComputedStyle(document.querySelector('#character output')).backgroundColor") == most
    opened.close()


def test_keys_move_along_characters_and_are_said(browser: "Browser", file: Path, plain: Explained) -> None:
    opened = Opened(browser, file, plain)
    page, at = opened.page, opened.page.locator("#character small")
    page.focus("#text")
    places = []
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "End", "Home", "ArrowUp", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        places.append(int(at.inner_text().rpartition(" ")[2]))
    assert places == [1, 2, 26, 36, 25, 1, 1, 1]
    assert page.locator("#said").inner_text().startswith("O, Nothing comes before it.")
    page.keyboard.press("ArrowRight")
    said = page.locator("#said").inner_text()
    assert said.startswith("n, ")
    assert said.count("%") == 6
    for _ in range(80):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("scrollY") > 0
    box = page.locator("#cursor").bounding_box()
    assert box is not None
    assert 0 < box["y"] < 900 - box["height"]
    opened.close()


def test_a_unit_colours_the_text(browser: "Browser", file: Path, plain: Explained) -> None:
    opened = Opened(browser, file, plain)
    page, at = opened.page, opened.middle(3, 8)
    n = 36 + 24 + 8
    before = opened.colour(*at)
    for column in range(5):
        page.select_option("#unit", str(column))
        opened.until(f"document.getElementById('scale-says').textContent.includes('unit {column + 1} ')")
        value = activation(plain.explanation.codes[:, column])
        red, _, blue, opaque = opened.colour(*at)
        share = round(20 * float(value[n] / np.abs(value).max()))
        assert (opaque == 255) == (share != 0)
        if share:
            assert (blue > red) == (share > 0)
    page.check("#by-surprise")
    assert opened.colour(*at) == before
    opened.close()


def test_a_thing_shows_its_best_unit_and_where_it_holds(browser: "Browser", file: Path, plain: Explained) -> None:
    opened = Opened(browser, file, plain)
    page = opened.page
    n = next(n for n, thing in enumerate(plain.tracked) if thing.nameable.name == "inside brackets")
    best = plain.tracked[n].best
    page.click(f"#choose-{n}")
    opened.until("document.getElementById('by-unit').checked")
    assert page.input_value("#unit") == str(best[0].unit)
    assert page.get_attribute(f"#choose-{n}", "aria-expanded") == "true"
    details = page.locator(f"#details-{n}")
    assert f"AUC {best[0].score:.2f}" in details.inner_text()
    x, y = opened.middle(0, 18)  # within (four
    ink = [28, 27, 25, 255]
    assert ink in [opened.colour(x, y + dy) for dy in range(5, 13)]
    page.locator(f"#details-{n} input").uncheck()
    assert ink not in [opened.colour(x, y + dy) for dy in range(5, 13)]
    details.locator("button").nth(1).click()
    opened.until(f"document.getElementById('unit').value === '{best[1].unit}'")
    page.click(f"#choose-{n}")
    assert page.get_attribute(f"#choose-{n}", "aria-expanded") == "false"
    opened.close()


def test_the_text_can_be_selected_found_and_counted(browser: "Browser", file: Path, nasty: Explained) -> None:
    opened = Opened(browser, file, nasty)
    text = "".join(c if c == "\n" else stand_in(c) for c in NASTY * 3)
    selected = opened.page.evaluate(
        "() => { getSelection().selectAllChildren(document.getElementById('rows')); return getSelection().toString(); }"
    )
    assert selected.strip("\n") == text.strip("\n")
    assert opened.page.evaluate("find('</script>', false, false, true)")
    opened.page.focus("#text")
    opened.page.keyboard.press("ArrowDown")
    for key in ("End", "ArrowRight", "ArrowRight", "End", "ArrowRight"):
        opened.page.keyboard.press(key)
    place = int(opened.page.locator("#character small").inner_text().rpartition(" ")[2])
    assert place == NASTY.index("\u202e") + 1
    opened.close()


CONTRAST = """() => {
  const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ink = light(getComputedStyle(document.body).color);
  const ratio = (one) => (Math.max(one, ink) + 0.05) / (Math.min(one, ink) + 0.05);
  return [...document.querySelectorAll("#scale i")].map((part) => ratio(light(part.style.background)));
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_on_every_colour(browser: "Browser", file: Path, plain: Explained, dark: bool) -> None:
    opened = Opened(browser, file, plain, dark=dark)
    ratios = opened.page.evaluate(CONTRAST)
    assert len(ratios) == 33
    assert min(ratios) >= 4.5
    assert ratios == sorted(ratios, reverse=True)  # lightness alone tells more from less
    opened.page.check("#by-unit")
    opened.until("document.querySelectorAll('#scale i').length === 41")
    ratios = opened.page.evaluate(CONTRAST)
    assert min(ratios) >= 4.5
    assert max(ratios) == ratios[20]
    opened.close()


def test_it_fits_a_telephone(browser: "Browser", file: Path, nasty: Explained) -> None:
    opened = Opened(browser, file, nasty, width=420)
    page = opened.page
    assert page.evaluate("document.scrollingElement.scrollWidth") == 420
    assert not page.evaluate("document.getElementById('units').open")
    page.mouse.click(*opened.middle(0, 3))
    assert page.locator("#character bdi").inner_text() == "s"
    box = page.locator("#place").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == 900
    assert page.evaluate("document.scrollingElement.scrollWidth") == 420
    opened.close()
