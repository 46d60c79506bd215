"""The playground in Chromium: with mouse, keyboard only, on a phone, light and dark."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from elman.apps.serve.app import create_app
from elman.apps.serve.settings import Settings
from elman.text.masks import Masker
from support.browser import fits, open_page
from support.random_model import random_model
from support.server import NAME, listening, serving, tiny
from support.state import TEXT

PROMPT = "the rain"
HOSTILE = "</script><img src=x onerror=alert(1)>\0\x1b\u202e\u2028\ud800\u0301\u0308\u20dd\t\n😀سلש"
OTHER = "#alternatives button:not(.actual)"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server with a small model, one with several layers, and one with a hostile alphabet."""
    models = {
        NAME: tiny(),
        "<b>deep": random_model("ab\n", "lstm", 2),
        "hostile": random_model("".join(dict.fromkeys(HOSTILE))),
    }
    with listening(create_app(models, Settings(max_tokens=2000))) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def window(browser: Browser, address: str) -> Iterator[Page]:
    with open_page(browser, address) as page:
        yield page


@pytest.fixture
def page(window: Page, address: str) -> Page:
    """A freshly loaded page that knows its models: Ctrl+Enter does nothing before that."""
    window.goto(address)
    expect(window.locator("#write")).to_be_enabled()
    return window


def write(page: Page, prompt: str = PROMPT, **fields: str) -> str:
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
    page.uncheck("#new-seed")
    page.fill("#seed", str(seed))


def test_writing_continuing_and_undoing(browser: Browser, address: str) -> None:
    with open_page(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        first, seed = write(page), page.input_value("#seed")
        assert write(page) != first  # every text has a new seed, unless one is entered
        assert write(page, seed=seed) == first
        expect(page.locator("#new-seed")).not_to_be_checked()

        fix_seed(page)
        first = write(page)
        assert first == PROMPT + tiny().sample(60, prompt=PROMPT, seed=7)
        status = re.compile(r"^60 characters, \d\.\d\d bits per character\. Seed 7\.$")
        expect(page.locator("#write-status")).to_have_text(status)
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 120)
        assert written(page) == PROMPT + tiny().sample(120, prompt=PROMPT, seed=7)
        page.click("#undo")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 60)
        assert text(page, "#written") == first
        page.locator(".copy").first.click()
        expect(page.locator("#write-status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == first

        expected = tiny().sample(60, seed=7, temperature=0.5, top_k=5, top_p=0.9, min_p=0.1)
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


def test_inspecting_characters_and_choosing_alternatives(page: Page) -> None:
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
    expect(page.locator("#probability")).to_have_text(re.compile(rf"^Probability {percent}, surprisal [\d.]+ bits\.$"))
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
    assert written(page) == prompt + tiny().sample(60, prompt=prompt, seed=7)

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


def test_reading_a_text_and_continuing_it(page: Page) -> None:
    read(page, TEXT)
    bits = tiny().score(TEXT).bits_per_char
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


def test_colouring_by_units_of_two_models(page: Page) -> None:
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

    start_writing(page)
    page.select_option("#model", "<b>deep")
    about = "LSTM with 2 layers of 4 hidden units; alphabet of 3 characters."
    expect(page.locator("#about")).to_have_text(about)
    expect(page.locator("#written > span")).to_have_count(0)
    expect(page.locator("#write")).to_be_visible()
    expect(page.locator("#undo")).to_be_disabled()
    page.wait_for_timeout(300)  # in which more of the text would arrive
    assert page.inner_text("#write-status") == text(page, "#written") == ""
    page.select_option("#speed", "0")
    assert set(write(page, "ab")) <= set("ab\n")

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
def test_it_fits_a_phone(browser: Browser, address: str, scheme: str) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 420, "height": 800}, "has_touch": True, "is_mobile": True}
    with open_page(browser, address, color_scheme=scheme, **phone) as page:
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


def test_any_character_is_shown_as_text(browser: Browser, address: str) -> None:
    with open_page(browser, address) as page:
        page.select_option("#model", "hostile")
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


def test_the_symbols_of_masks_are_letters_with_a_legend(browser: Browser) -> None:
    model = replace(random_model("ⓃⓇ abc:\n"), masker=Masker("numbers", "user [a-z]+"))
    with (
        listening(create_app({"masked": model}, Settings())) as client,
        open_page(browser, str(client.base_url)) as page,
    ):
        expect(page.locator("#legend dt")).to_have_text(["R", "N"])
        expect(page.locator("#legend dd").first).to_have_text("matches of user [a-z]+")
        read(page, "a Ⓝ: Ⓡ")
        expect(page.locator("#readout > .mask")).to_have_text(["N", "R"])
        inspect(page, 2, "#readout", click=True)
        expect(page.locator("#character bdi")).to_have_text("N")
        expect(page.locator("#character b")).to_have_text(re.compile("^numbers: "))


def test_mistakes_in_the_form_are_explained(browser: Browser) -> None:
    settings = Settings(max_tokens=50, max_characters=120)
    with (
        listening(create_app({NAME: tiny()}, settings)) as client,
        open_page(browser, str(client.base_url), expected=("status of 400",)) as page,
    ):
        page.fill("#length", "50")
        page.fill("#prompt", "the é ra中in")
        page.click("#write")
        message = f"Not in the alphabet of {NAME}: \u2068é\u2069 \u2068中\u2069."
        expect(page.locator("#write-status")).to_contain_text(message)
        page.click("#write-status button")  # removes them
        assert written(page).startswith("the  rain")
        for field, value in (("top-p", "2"), ("length", "0"), ("length", ""), ("top-k", "1.5")):
            before = page.input_value(f"#{field}")
            page.fill(f"#{field}", value)
            page.click("#write")
            range_named = re.compile(r" must be (an integer|a number) from [01] to ")
            expect(page.locator("#write-status")).to_contain_text(range_named)
            expect(page.locator(f"#{field}")).to_be_focused()
            page.fill(f"#{field}", before)

        write(page, length="50")
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 100)
        whole = written(page)
        page.click("#continue")
        message = "The text would have 158 characters (limit: 120)."
        expect(page.locator("#write-status")).to_have_text(message)
        assert text(page, "#written") == whole
        page.fill("#length", "12")
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(120)
        read(page, "")
        expect(page.locator("#paste:invalid")).to_be_focused()
        read(page, "a" * 51)
        expect(page.locator("#read-status")).to_contain_text("Text must have at most 50 characters (got ")


def test_the_key_is_requested_and_errors_of_the_server_are_shown(browser: Browser) -> None:
    full = '{"error": {"message": "the queue is full; retry later"}}'
    interrupted = "The connection was interrupted. Is the server still running?"
    responses: list[tuple[Callable[[Route], None], str]] = [
        (lambda route: route.fulfill(status=429, body=full), "The queue is full; retry later."),
        (lambda route: route.fulfill(body='{"characters": [], "units": ""}\n'), interrupted),
        (lambda route: route.abort(), interrupted),
    ]
    with (
        serving(api_key="secret") as client,
        open_page(browser, str(client.base_url), expected=("Failed to load resource",)) as page,
    ):
        expect(page.locator("#key-dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#write-status")).to_contain_text("The server requires its API key.")
        page.reload()
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-note")).to_have_text("Invalid API key. Try again.")
        page.fill("#key", "secret")
        page.keyboard.press("Enter")
        write(page)
        page.reload()
        write(page)
        for respond, message in responses:
            page.route("**/api/play", respond)
            page.click("#write")
            expect(page.locator("#write-status")).to_have_text(message)
            page.unroute("**/api/play")
            write(page)
