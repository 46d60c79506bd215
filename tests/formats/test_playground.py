"""The playground in Chromium, as one file: with mouse, keyboard only, on a phone, light and dark."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from elman.formats import ModelInfo
from elman.formats.page import write as write_page
from elman.model import Model
from elman.text.masks import Masker
from support.browser import fits, open_page, show_settings
from support.random_model import overflowing_model, random_model, random_prior_model
from support.state import TEXT

NAME = "stormy"
PROMPT = "the rain"
HOSTILE = "</script><img src=x onerror=alert(1)>\0\x1b\u202e\u2028\ud800\u0301\u0308\u20dd\t\n😀سلש"
OTHER = "#alternatives button:not(.actual)"


@pytest.fixture(scope="module")
def model() -> Model:
    return random_prior_model(TEXT, "gru", m=8)


@contextmanager
def opened(browser: Browser, folder: Path, model: Model, name: str = NAME, **options: Any) -> Iterator[Page]:
    """Open the page of a model from its file, with the checks of `open_page`: it may send no request."""
    file = folder / "page.html"
    snapshot = replace(model, masker=None).snapshot()  # a network of this kind has no masks in training
    file.write_bytes(write_page(model, ModelInfo(name, snapshot), weights="float32", license="MIT"))
    with open_page(browser, file.as_uri(), "", **options) as window:
        expect(window.locator("#write")).to_be_enabled()
        yield window


@pytest.fixture(scope="module")
def window(browser: Browser, tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Page]:
    with opened(browser, tmp_path_factory.mktemp("page"), model) as window:
        yield window


@pytest.fixture
def page(window: Page) -> Page:
    """A freshly loaded page that knows its model: Ctrl+Enter does nothing before that."""
    window.reload()
    expect(window.locator("#write")).to_be_enabled()
    return window


def write(page: Page, prompt: str = PROMPT, **fields: str) -> str:
    show_settings(page)
    page.fill("#prompt", prompt)
    for name, value in ({"length": "60"} | fields).items():
        page.fill(f"#{name.replace('_', '-')}", value)
    page.click("#write")
    return written(page)


def written(page: Page) -> str:
    expect(page.locator("#write-status")).to_contain_text("Seed")
    return text(page, "#written")


def start_writing(page: Page, prompt: str = "") -> None:
    page.select_option("#speed", "12")
    page.fill("#prompt", prompt)
    page.fill("#length", "2000")
    page.click("#write")
    expect(page.locator("#written > span").nth(3)).to_be_visible()


def read(page: Page, content: str) -> None:
    page.click("#tab-read")
    page.fill("#paste", content)
    page.click("#read")


def text(page: Page, box: str) -> str:
    return "".join(each(page, box, "c.textContent"))


def each(page: Page, box: str, expression: str) -> list[Any]:
    """Evaluate a JavaScript expression for every character c of a box."""
    found = page.evaluate(f"[...document.querySelector('{box}').children].map(c => {expression})")
    assert isinstance(found, list)
    return found


def inspect(page: Page, i: int, box: str = "#written", *, click: bool = False) -> None:
    """Point at the i-th character, or click it, and wait until its details are shown."""
    character = page.locator(f"{box} > span").nth(i)
    character.click() if click else character.hover()
    expect(page.locator("#character small")).to_have_text(re.compile(f"^character {i + 1}, "))
    if click:
        expect(page.locator("#deselect")).to_be_visible()


def fix_seed(page: Page, seed: int = 7) -> None:
    show_settings(page)
    page.uncheck("#new-seed")
    page.fill("#seed", str(seed))


def test_writing_continuing_and_undoing(browser: Browser, tmp_path: Path, model: Model) -> None:
    with opened(browser, tmp_path, model, permissions=["clipboard-read", "clipboard-write"]) as page:
        first, seed = write(page), page.input_value("#seed")
        assert write(page) != first  # every text has a new seed, unless one is entered
        assert write(page, seed=seed) == first
        expect(page.locator("#new-seed")).not_to_be_checked()

        fix_seed(page)
        first = write(page)
        assert first == PROMPT + model.sample(60, prompt=PROMPT, seed=7)
        status = re.compile(r"^60 characters, \d\.\d\d bits per character\. Seed 7\.$")
        expect(page.locator("#write-status")).to_have_text(status)
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 120)
        assert written(page) == PROMPT + model.sample(120, prompt=PROMPT, seed=7)
        page.click("#undo")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 60)
        assert text(page, "#written") == first
        page.locator(".copy").first.click()
        expect(page.locator("#write-status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == first

        expected = model.sample(60, seed=7, temperature=0.5, top_k=5, top_p=0.9, min_p=0.1)
        assert write(page, "", temperature="0.5", top_k="5", top_p="0.9", min_p="0.1") == expected


def test_a_slow_text_is_watched_and_stopped(page: Page) -> None:
    start_writing(page)
    expect(page.locator("#stop")).to_be_focused()
    expect(page.locator("#cells button").first).to_have_attribute("style", re.compile("--level: 0?\\.?[0-9]"))
    page.keyboard.press("Escape")
    expect(page.locator("#write-status")).to_contain_text("Stopped at")
    expect(page.locator("#write")).to_be_focused()
    assert page.locator("#written > span").count() < 500

    start_writing(page, TEXT[:60])  # a text that is stopped within its prompt cannot be continued
    page.keyboard.press("Escape")
    expect(page.locator("#write-status")).to_contain_text("Stopped at 0 characters")
    expect(page.locator("#continue")).to_be_disabled()
    page.select_option("#speed", "0")
    assert write(page, TEXT[:60]).startswith(TEXT[:60])
    expect(page.locator("#continue")).to_be_enabled()


def test_inspecting_characters_and_choosing_alternatives(page: Page, model: Model) -> None:
    fix_seed(page)
    whole, i = write(page), len(PROMPT) + 20
    inspect(page, 2)
    expect(page.locator("#character small")).to_have_text("character 3, given")
    inspect(page, 0)
    expect(page.locator("#probability")).to_have_text("The first character has no probability: nothing precedes it.")
    inspect(page, i, click=True)
    page.locator("#written > span").nth(2).hover()
    expect(page.locator("#character small")).to_have_text(f"character {i + 1}, generated")  # it stays selected
    actual = page.locator("#alternatives button.actual")
    expect(actual).to_have_count(1)
    percent = re.escape(actual.locator("data").inner_text())
    sampled = r"Sampled with probability [\d.]+ %\."  # at another temperature than 1
    shown = re.compile(rf"^Probability {percent}, surprisal [\d.]+ bits\. {sampled}$")
    expect(page.locator("#probability")).to_have_text(shown)
    page.click("#deselect")
    expect(page.locator(".selected")).to_have_count(0)
    assert text(page, "#written") == whole

    inspect(page, i, click=True)
    glyph = page.locator(OTHER).first.locator("bdi").inner_text()
    character = {"␣": " ", "↵": "\n"}.get(glyph, glyph)
    page.locator(OTHER).first.click()
    expect(page.locator("#written > span")).to_have_count(i + 61)
    changed = written(page)
    assert changed[: i + 1] == whole[:i] + character
    assert changed[i + 1 :] != whole[i + 1 :]
    expect(page.locator("#written > .chosen")).to_have_text(character if character != "\n" else "")
    page.click("#undo")
    assert text(page, "#written") == whole
    inspect(page, i, click=True)
    actual.click()  # the same text again, as the random numbers are the same
    expect(page.locator("#written > span")).to_have_count(i + 61)
    assert written(page).startswith(whole)

    inspect(page, 4, click=True)  # an alternative in the prompt becomes the prompt
    page.locator(OTHER).first.click()
    prompt = page.input_value("#prompt")
    assert (prompt[:4], len(prompt)) == (PROMPT[:4], 5)
    expect(page.locator("#written > span")).to_have_count(65)
    assert written(page) == prompt + model.sample(60, prompt=prompt, seed=7)

    write(page, top_k="2")
    excluded = page.locator("#alternatives .excluded")
    expect(excluded).to_have_count(3)
    expect(page.locator("#bars-note")).to_be_visible()
    expect(excluded.first).to_have_attribute("aria-label", re.compile("excluded by your settings"))


def tab_to(page: Page, id: str) -> None:
    """Press Tab until an element has the focus, which must be visible."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == id:
            assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
            return
    pytest.fail(f"Tab does not lead to {id}")


def test_writing_and_reading_with_the_keyboard_only(page: Page) -> None:
    tab_to(page, "prompt")
    page.keyboard.type(PROMPT)
    tab_to(page, "length")
    page.keyboard.type("60")
    tab_to(page, "new-seed")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    whole = written(page)
    tab_to(page, "written")
    expect(page.locator("#written > .selected")).to_have_count(1)
    for key in ("Control+Home", *["ArrowRight"] * 15, "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#character small")).to_have_text("character 15, generated")
    announced = re.compile(r"^.+\. Probability .*, surprisal .* bits\..* Also: .*\.$", re.DOTALL)
    expect(page.locator("#announcement")).to_have_text(announced)
    for key in ("ArrowDown", "ArrowUp", "End", "Home", "Control+Home", *["ArrowRight"] * 14):
        page.keyboard.press(key)
    expect(page.locator("#character small")).to_have_text("character 15, generated")
    page.keyboard.press(page.locator(f"{OTHER} kbd").first.inner_text())
    expect(page.locator("#written > span")).to_have_count(75)
    assert written(page)[:14] == whole[:14]
    expect(page.locator("#written > .chosen.selected")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".selected")).to_have_count(0)
    page.keyboard.press("Backspace")
    expect(page.locator("#written > span")).to_have_count(68)
    assert text(page, "#written") == whole

    page.locator("#tab-write").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-read")).to_be_focused()
    expect(page.locator("#panel-read")).to_be_visible()
    tab_to(page, "paste")
    page.keyboard.type(PROMPT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#read-status")).to_contain_text("bits per character")
    tab_to(page, "readout")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#character small")).to_have_text("character 7, given")


def test_reading_a_text_and_continuing_it(page: Page, model: Model) -> None:
    read(page, TEXT)
    bits = model.score(TEXT).bits_per_char
    expect(page.locator("#read-status")).to_have_text(
        f"{len(TEXT)} characters, {bits:.2f} bits per character (perplexity {2**bits:.1f} per character)."
    )
    assert text(page, "#readout") == TEXT
    levels = each(page, "#readout", "Number(c.style.getPropertyValue('--level'))")
    for i in (1, 20, 50):
        inspect(page, i, "#readout")
        shown = re.search(r"surprisal ([\d.]+) bits", page.inner_text("#probability"))
        assert shown
        assert levels[i] == pytest.approx(min(1, float(shown[1]) / 8), abs=0.002)
    assert len(set(each(page, "#readout", "getComputedStyle(c).backgroundColor"))) > 20
    inspect(page, 30, "#readout", click=True)
    page.locator(OTHER).first.click()
    expect(page.locator("#panel-write")).to_be_visible()
    whole = written(page)
    assert whole[:30] == TEXT[:30]
    assert page.input_value("#prompt") == whole[:31]


def test_colouring_by_units(page: Page) -> None:
    expect(page).to_have_title(f"{NAME}: playground")
    write(page)
    cells = page.locator("#cells button")
    cells.nth(2).click()
    expect(page.locator("#written")).to_have_attribute("data-colour", "unit")
    expect(page.locator("#trace-name")).to_have_text("Unit 3")
    assert len((page.locator("#trace polyline").get_attribute("points") or "").split()) == 68
    levels = each(page, "#written", "Number(c.style.getPropertyValue('--level'))")
    for i in (10, 11):
        inspect(page, i)
        value = page.inner_text("#trace-value")
        expect(cells.nth(2)).to_have_attribute("aria-label", f"Unit 3: {value}")
        assert levels[i] == pytest.approx(float(value.lstrip("+−")), abs=0.006)
    cells.nth(2).focus()
    page.keyboard.press("ArrowRight")
    expect(cells.nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#trace-name")).to_have_text("Unit 4")
    page.keyboard.press("Enter")
    expect(page.locator("#written")).to_have_attribute("data-colour", "surprisal")


def test_another_group_of_units(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, random_model("ab\n", "lstm", 2), "<b>deep") as page:
        expect(page).to_have_title("<b>deep: playground")
        expect(page.locator("#about")).to_have_text("LSTM with 2 layers of 4 hidden units; alphabet of 3 characters.")
        cells = page.locator("#cells button")
        write(page, "")
        before = cells.first.get_attribute("title")
        page.select_option("#block", label="Layer 2, cell state")  # for which the text is read again
        expect(page.locator("#write-status")).to_have_text("")
        expect(cells.first).to_have_attribute("title", re.compile(r"^Cell state 1: [+−]?\d\.\d\d$"))
        assert cells.first.get_attribute("title") != before
        page.click("#continue")  # the new text has the same units
        written(page)
        inspect(page, 119)
        title = cells.first.get_attribute("title") or ""
        page.select_option("#block", label="Layer 1, hidden state")
        page.select_option("#block", label="Layer 2, cell state")
        expect(page.locator("#block")).to_be_enabled()
        page.locator("#written > span").nth(119).hover()
        expect(cells.first).to_have_attribute("title", title)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, tmp_path: Path, model: Model, scheme: str) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with opened(browser, tmp_path, model, color_scheme=scheme, **phone) as page:
        assert fits(page)
        write(page)
        assert fits(page)
        style = "getComputedStyle(document.body)"
        paper, ink = (
            sum(map(int, re.findall(r"\d+", page.evaluate(f"{style}.{name}"))[:3]))
            for name in ("backgroundColor", "color")
        )
        assert paper > 700 > 150 > ink if scheme == "light" else paper < 150 < 600 < ink
        page.locator("#written > span").nth(40).tap()
        expect(page.locator("#inspector")).to_have_class("selected")
        sheet, tapped = page.locator("#inspector").bounding_box(), page.locator("#written > .selected").bounding_box()
        assert sheet
        assert tapped
        assert sheet["y"] + sheet["height"] == pytest.approx(800, abs=1)
        assert tapped["y"] + tapped["height"] <= sheet["y"]  # it is not covered
        page.locator(OTHER).first.tap()
        expect(page.locator("#written > .chosen")).to_have_count(1)
        page.locator("#deselect").tap()
        expect(page.locator("#details")).to_be_hidden()
        page.locator("#tab-read").tap()
        page.fill("#paste", "a" * 300)
        page.locator("#read").tap()
        expect(page.locator("#readout > span")).to_have_count(300)
        assert fits(page)


def test_any_character_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    hostile = random_model("".join(dict.fromkeys(HOSTILE)))
    with opened(browser, tmp_path, hostile, HOSTILE) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        write(page, "", length="900")
        assert fits(page)
        expect(page.locator("#written > span")).to_have_count(900)
        assert page.locator("#written img, #written script").count() == 0
        box = page.locator("#written").bounding_box()
        assert box
        assert max(each(page, "#written", "c.getBoundingClientRect().width")) <= box["width"]
        for i in range(0, 900, 60):
            page.locator("#written > span").nth(i).dispatch_event("click")
            expect(page.locator("#character small")).to_have_text(re.compile(f"^character {i + 1}, "))
            assert fits(page)
        page.set_viewport_size({"width": 420, "height": 800})
        assert fits(page)


def test_the_symbols_of_masks_are_letters_with_a_legend(browser: Browser, tmp_path: Path) -> None:
    model = replace(random_model("ⓃⓇ abc:\n"), masker=Masker("numbers", "user [a-z]+"))
    with opened(browser, tmp_path, model) as page:
        expect(page.locator("#legend dt")).to_have_text(["R", "N"])
        expect(page.locator("#legend dd").first).to_have_text("matches of user [a-z]+")
        read(page, "a Ⓝ: Ⓡ")
        expect(page.locator("#readout > .mask")).to_have_text(["N", "R"])
        inspect(page, 2, "#readout", click=True)
        expect(page.locator("#character bdi")).to_have_text("N")
        expect(page.locator("#character b")).to_have_text(re.compile("^numbers: "))


def test_mistakes_are_explained(page: Page) -> None:
    page.fill("#length", "50")
    page.fill("#prompt", "the é ra中in")
    page.click("#write")
    message = f"Not in the alphabet of {NAME}: \u2068é\u2069 \u2068中\u2069."
    expect(page.locator("#write-status")).to_contain_text(message)
    page.click("#write-status button")  # removes them
    assert written(page).startswith("the  rain")
    for field, value in (("top-p", "2"), ("length", "0"), ("length", ""), ("length", "10001"), ("top-k", "1.5")):
        show_settings(page)
        before = page.input_value(f"#{field}")
        page.fill(f"#{field}", value)
        page.locator("details:has(#more-settings)").evaluate("each => { each.open = false; }")
        page.click("#write")
        range_named = re.compile(r" must be (an integer|a number) from [01] to ")
        expect(page.locator("#write-status")).to_contain_text(range_named)
        expect(page.locator(f"#{field}")).to_be_focused()
        page.fill(f"#{field}", before)
    read(page, "")
    expect(page.locator("#paste:invalid")).to_be_focused()
    read(page, "a" * 10_001)
    message = "The text has 10,001 characters; at most 10,000 characters can be read."
    expect(page.locator("#read-status")).to_have_text(message)


def test_a_bar_is_shown_while_the_network_is_loaded(browser: Browser, tmp_path: Path, model: Model) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(write_page(model, ModelInfo(NAME, model.snapshot()), weights="float32"))
    with browser.new_context() as context, context.new_page() as page:
        page.add_init_script("window.Worker = class extends EventTarget { postMessage() {} }")
        page.goto(file.as_uri())
        expect(page.locator("#loading")).to_be_visible()
        expect(page.locator("#write-status")).to_have_text("Loading the network…")
        expect(page.locator("#write")).to_be_disabled()


def test_an_output_that_is_not_finite_is_an_error(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, overflowing_model()) as page:
        page.click("#write")
        message = "The network cannot be used (the output of the network is not finite)."
        expect(page.locator("#write-status")).to_have_text(message)
