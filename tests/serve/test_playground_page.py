"""The playground in Chromium: with mouse, keyboard only, on a phone, light and dark."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from elman.inference import Model
from elman.serve.app import create_app
from elman.serve.server import listen, run_in_thread
from elman.serve.settings import Settings
from support.browser import chromium, fits, open_page
from support.random_model import random_model
from support.server import NAME, listening, serving, tiny
from support.state import TEXT

PROMPT = "the rain"
HOSTILE = "".join(
    dict.fromkeys("</script><img src=x onerror=alert(1)>\0\x1b\u202e\u2028\ud800\u0301\u0308\u20dd\t\n😀سلש")
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server with a small model, one with several layers, and one with a hostile alphabet."""
    hostile = random_model("".join(dict.fromkeys(HOSTILE)))
    models = {NAME: tiny(), "<b>deep": random_model("ab\n", "lstm", 2), "hostile": hostile}
    with listening(create_app(models, Settings(max_tokens=2000))) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def window(browser: Browser, address: str) -> Iterator[Page]:
    with open_page(browser, address) as page:
        yield page


@pytest.fixture
def page(window: Page, address: str) -> Page:
    """A freshly loaded page."""
    window.goto(address)
    return window


def write(page: Page, prompt: str = PROMPT, **fields: str) -> str:
    """Generate a text, and return it with its prompt."""
    page.fill("#prompt", prompt)
    for name, value in ({"length": "60"} | fields).items():
        page.fill(f"#{name.replace('_', '-')}", value)
    page.click("#write")
    return written(page)


def written(page: Page) -> str:
    """Return the text once it is complete."""
    expect(page.locator("#write-status")).to_contain_text("Seed")
    return text(page, "#written")


def text(page: Page, box: str) -> str:
    """Return the characters of a box."""
    return "".join(each(page, box, "c.textContent"))


def each(page: Page, box: str, what: str) -> list[Any]:
    """Evaluate a JavaScript expression for every character c of a box."""
    found = page.evaluate(f"[...document.querySelector('{box}').children].map(c => {what})")
    assert isinstance(found, list)
    return found


def hold(page: Page, i: int, box: str = "#written") -> None:
    """Click the i-th character, and wait until its details are shown."""
    page.locator(f"{box} > span").nth(i).click()
    expect(page.locator("#character small")).to_have_text(re.compile(f"^character {i + 1}, "))
    expect(page.locator("#deselect")).to_be_visible()


def fix_seed(page: Page, seed: int = 7) -> None:
    page.uncheck("#new-seed")
    page.fill("#seed", str(seed))


# --- Writing ---


def test_the_text_is_the_one_that_the_model_writes(page: Page) -> None:
    fix_seed(page)
    assert write(page) == PROMPT + tiny().sample(60, prompt=PROMPT, seed=7)
    assert write(page) == PROMPT + tiny().sample(60, prompt=PROMPT, seed=7)
    expect(page.locator("#write-status")).to_have_text(
        re.compile(r"^60 characters, \d\.\d\d bits per character\. Seed 7\.$")
    )
    expected = tiny().sample(60, seed=7, temperature=0.5, top_k=5, top_p=0.9, min_p=0.1)
    assert write(page, "", temperature="0.5", top_k="5", top_p="0.9", min_p="0.1") == expected


def test_the_slider_is_the_temperature(page: Page) -> None:
    fix_seed(page)
    page.focus("#temperature-slider")
    page.keyboard.press("Home")
    assert page.input_value("#temperature") == "0"
    assert write(page) == PROMPT + tiny().sample(60, prompt=PROMPT, temperature=0)
    page.fill("#temperature", "1.5")
    assert page.input_value("#temperature-slider") == "1.5"


def test_other_dice_each_time_unless_they_are_kept(page: Page) -> None:
    first, seed = write(page), page.input_value("#seed")
    assert write(page) != first
    assert write(page, seed=seed) == first  # typing one keeps it
    expect(page.locator("#new-seed")).not_to_be_checked()
    assert write(page) == first


def test_it_goes_on_and_back(page: Page) -> None:
    fix_seed(page)
    first = write(page)
    page.click("#continue")
    expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 120)
    assert written(page) == PROMPT + tiny().sample(120, prompt=PROMPT, seed=7)
    page.click("#undo")
    expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 60)
    assert text(page, "#written") == first


def test_it_can_be_watched_and_stopped(page: Page) -> None:
    page.select_option("#speed", "12")
    page.fill("#length", "2000")
    page.click("#write")
    expect(page.locator("#written > span").nth(3)).to_be_visible()
    expect(page.locator("#stop")).to_be_focused()
    expect(page.locator("#cells button").first).to_have_attribute("style", re.compile("--level: 0?\\.?[0-9]"))
    page.keyboard.press("Escape")
    expect(page.locator("#write-status")).to_contain_text("Stopped at")
    expect(page.locator("#write")).to_be_focused()
    assert page.locator("#written > span").count() < 500


def test_what_was_written_can_be_copied(browser: Browser, address: str) -> None:
    with open_page(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        fix_seed(page)
        whole = write(page)
        page.locator(".copy").first.click()
        expect(page.locator("#write-status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == whole


# --- Characters ---


def test_a_character_shows_how_likely_it_was(page: Page) -> None:
    fix_seed(page)
    whole = write(page)
    i = len(PROMPT) + 10
    page.locator("#written > span").nth(i).hover()
    expect(page.locator("#character small")).to_have_text(f"character {i + 1}, generated")
    likely = page.locator("#alternatives button.actual")
    expect(likely).to_have_count(1)
    share = re.escape(likely.locator("data").inner_text())
    expect(page.locator("#probability")).to_have_text(re.compile(rf"^Probability {share}, surprisal [\d.]+ bits\.$"))
    page.locator("#written > span").nth(2).hover()
    expect(page.locator("#character small")).to_have_text("character 3, given")
    page.locator("#written > span").first.hover()
    expect(page.locator("#probability")).to_have_text("The first character has no probability: nothing precedes it.")
    hold(page, i)
    page.locator("#written > span").nth(2).hover()
    expect(page.locator("#character small")).to_have_text(f"character {i + 1}, generated")  # it is held
    page.click("#deselect")
    expect(page.locator(".selected")).to_have_count(0)
    assert text(page, "#written") == whole


def test_what_the_settings_leave_out_is_marked(page: Page) -> None:
    write(page, top_k="2")
    expect(page.locator("#alternatives .excluded")).to_have_count(3)
    expect(page.locator("#bars-note")).to_be_visible()
    expect(page.locator("#alternatives .excluded").first).to_have_attribute(
        "aria-label", re.compile("excluded by your settings")
    )


def test_an_alternative_is_gone_on_from(page: Page) -> None:
    fix_seed(page)
    whole = write(page)
    i = len(PROMPT) + 20
    hold(page, i)
    other = page.locator("#alternatives button:not(.actual)").first
    character = {"␣": " ", "↵": "\n"}.get(sign := other.locator("bdi").inner_text(), sign)
    other.click()
    expect(page.locator("#written > span")).to_have_count(i + 61)
    changed = written(page)
    assert changed[: i + 1] == whole[:i] + character
    assert changed[i + 1 :] != whole[i + 1 :]
    expect(page.locator("#written > .chosen")).to_have_text(character if character != "\n" else "")
    page.click("#undo")
    assert text(page, "#written") == whole
    hold(page, i)
    page.locator("#alternatives button.actual").click()  # the same again, and by the same dice what followed
    expect(page.locator("#written > span")).to_have_count(i + 61)
    assert written(page).startswith(whole)


def test_an_alternative_in_the_prompt_becomes_the_prompt(page: Page) -> None:
    fix_seed(page)
    write(page)
    hold(page, 4)
    page.locator("#alternatives button:not(.actual)").first.click()
    prompt = page.input_value("#prompt")
    assert prompt[:4] == PROMPT[:4]
    assert len(prompt) == 5
    expect(page.locator("#written > span")).to_have_count(65)
    assert written(page) == prompt + tiny().sample(60, prompt=prompt, seed=7)


# --- Keyboard only ---


def test_all_of_it_with_a_keyboard_alone(page: Page) -> None:
    def tab_to(id: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == id:
                width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
                assert width >= 2  # seen to be focused
                return
        pytest.fail(f"Tab does not lead to {id}")

    tab_to("prompt")
    page.keyboard.type(PROMPT)
    tab_to("length")
    page.keyboard.type("60")
    tab_to("new-seed")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    whole = written(page)
    tab_to("written")
    expect(page.locator("#written > .selected")).to_have_count(1)
    page.keyboard.press("Control+Home")
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#character small")).to_have_text("character 15, generated")
    expect(page.locator("#announcement")).to_have_text(
        re.compile(r"^.+\. Probability .*, surprisal .* bits\..* Also: .*\.$", re.DOTALL)
    )
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("Control+Home")
    for _ in range(14):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#character small")).to_have_text("character 15, generated")
    page.keyboard.press(page.locator("#alternatives button:not(.actual) kbd").first.inner_text())
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
    tab_to("paste")
    page.keyboard.type(PROMPT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#read-status")).to_contain_text("bits per character")
    tab_to("readout")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#character small")).to_have_text("character 7, given")


# --- Reading ---


def test_a_text_is_coloured_by_its_surprise(page: Page) -> None:
    page.click("#tab-read")
    page.fill("#paste", TEXT)
    page.click("#read")
    bits = tiny().score(TEXT).bits_per_char
    expect(page.locator("#read-status")).to_have_text(
        f"{len(TEXT)} characters, {bits:.2f} bits per character (perplexity {2**bits:.1f} per character)."
    )
    assert text(page, "#readout") == TEXT
    levels = each(page, "#readout", "Number(c.style.getPropertyValue('--level'))")
    for i in (1, 20, 50):
        page.locator("#readout > span").nth(i).hover()
        expect(page.locator("#character small")).to_have_text(f"character {i + 1}, given")
        told = re.search(r"surprisal ([\d.]+) bits", page.inner_text("#probability"))
        assert told
        assert levels[i] == pytest.approx(min(1, float(told[1]) / 8), abs=0.002)
    colours = each(page, "#readout", "getComputedStyle(c).backgroundColor")
    assert len(set(colours)) > 20


def test_what_was_read_is_gone_on_from(page: Page) -> None:
    page.click("#tab-read")
    page.fill("#paste", TEXT)
    page.click("#read")
    hold(page, 30, "#readout")
    page.locator("#alternatives button:not(.actual)").first.click()
    expect(page.locator("#panel-write")).to_be_visible()
    whole = written(page)
    assert whole[:30] == TEXT[:30]
    assert page.input_value("#prompt") == whole[:31]


# --- Hidden units ---


def test_the_text_is_coloured_by_a_unit(page: Page) -> None:
    write(page)
    page.locator("#cells button").nth(2).click()
    expect(page.locator("#written")).to_have_attribute("data-colour", "unit")
    expect(page.locator("#trace-name")).to_have_text("Unit 3")
    points = page.locator("#trace polyline").get_attribute("points") or ""
    assert len(points.split()) == 68
    levels = each(page, "#written", "Number(c.style.getPropertyValue('--level'))")
    for i in (10, 11):
        page.locator("#written > span").nth(i).hover()
        expect(page.locator("#character small")).to_have_text(f"character {i + 1}, generated")
        value = page.inner_text("#trace-value")
        expect(page.locator("#cells button").nth(2)).to_have_attribute("aria-label", f"Unit 3: {value}")
        assert levels[i] == pytest.approx(float(value.lstrip("+−")), abs=0.006)
    page.locator("#cells button").nth(2).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cells button").nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#trace-name")).to_have_text("Unit 4")
    page.keyboard.press("Enter")
    expect(page.locator("#written")).to_have_attribute("data-colour", "surprisal")


def test_other_units_are_read_again(page: Page) -> None:
    page.select_option("#model", "<b>deep")
    write(page, "")
    before = page.locator("#cells button").first.get_attribute("title")
    page.select_option("#block", label="Layer 2, cell state")
    expect(page.locator("#write-status")).to_have_text("")
    title = re.compile(r"^Cell state 1: [+−]?\d\.\d\d$")
    expect(page.locator("#cells button").first).to_have_attribute("title", title)
    assert page.locator("#cells button").first.get_attribute("title") != before
    page.click("#continue")  # what is written now tells of the same units
    written(page)
    last = page.locator("#written > span").nth(119)
    last.hover()
    expect(page.locator("#character small")).to_have_text("character 120, generated")
    now = page.locator("#cells button").first.get_attribute("title") or ""
    page.select_option("#block", label="Layer 1, hidden state")
    page.select_option("#block", label="Layer 2, cell state")
    expect(page.locator("#block")).to_be_enabled()
    last.hover()
    expect(page.locator("#cells button").first).to_have_attribute("title", now)


# --- Screens and themes ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_telephone_nothing_overflows(browser: Browser, address: str, scheme: str) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 420, "height": 800},
        "has_touch": True,
        "is_mobile": True,
        "color_scheme": scheme,
    }
    with open_page(browser, address, **phone) as page:
        assert fits(page)
        write(page)
        assert fits(page)
        page.locator("#written > span").nth(40).tap()
        expect(page.locator("#inspector")).to_have_class("selected")
        sheet, tapped = page.locator("#inspector").bounding_box(), page.locator("#written > .selected").bounding_box()
        assert sheet
        assert tapped
        assert sheet["y"] + sheet["height"] == pytest.approx(800, abs=1)
        assert tapped["y"] + tapped["height"] <= sheet["y"]  # it is not covered
        page.locator("#alternatives button:not(.actual)").first.tap()
        expect(page.locator("#written > .chosen")).to_have_count(1)
        page.locator("#deselect").tap()
        expect(page.locator("#details")).to_be_hidden()
        page.locator("#tab-read").tap()
        page.fill("#paste", "a" * 300)
        page.locator("#read").tap()
        expect(page.locator("#readout > span")).to_have_count(300)
        assert fits(page)


def test_light_and_dark(browser: Browser, address: str) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        with open_page(browser, address, color_scheme=scheme) as page:
            write(page)
            style = "getComputedStyle(document.body)"
            shades[scheme] = [
                sum(map(int, re.findall(r"\d+", page.evaluate(f"{style}.{what}"))[:3]))
                for what in ("backgroundColor", "color")
            ]
    assert shades["light"][0] > 700 > 150 > shades["light"][1]
    assert shades["dark"][0] < 150 < 600 < shades["dark"][1]


def test_text_is_only_ever_text(browser: Browser, address: str) -> None:
    with open_page(browser, address) as page:
        page.select_option("#model", "hostile")
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        write(page, "", length="900")
        assert fits(page)
        expect(page.locator("#written > span")).to_have_count(900)
        assert page.locator("#written img, #written script").count() == 0
        box = page.locator("#written").bounding_box()
        assert box
        wide = each(page, "#written", "c.getBoundingClientRect().width")
        assert max(wide) <= box["width"]
        for i in range(0, 900, 60):
            page.locator("#written > span").nth(i).dispatch_event("click")
            expect(page.locator("#character small")).to_have_text(re.compile(f"^character {i + 1}, "))
            assert fits(page)
        page.set_viewport_size({"width": 420, "height": 800})
        assert fits(page)


# --- Errors ---


def test_what_it_does_not_know_is_said_and_left_out(page: Page) -> None:
    page.fill("#prompt", "the é ra中in")
    page.click("#write")
    expect(page.locator("#write-status")).to_contain_text(
        f"Not in the alphabet of {NAME}: \u2068é\u2069 \u2068中\u2069."
    )
    page.click("#write-status button")
    assert written(page).startswith("the  rain")
    page.click("#tab-read")
    page.click("#read")
    expect(page.locator("#read-status")).to_have_text("Paste a text first.")
    page.fill("#paste", "a" * 2001)
    page.click("#read")
    expect(page.locator("#read-status")).to_contain_text("The text has 2,001 characters (limit: 2,000).")


@pytest.mark.parametrize(("field", "value"), [("top-p", "2"), ("length", "0"), ("length", ""), ("top-k", "1.5")])
def test_a_number_out_of_its_range_is_said(page: Page, field: str, value: str) -> None:
    page.fill(f"#{field}", value)
    page.click("#write")
    expect(page.locator("#write-status")).to_contain_text(re.compile(r" must be (an integer|a number) from [01] to "))
    expect(page.locator(f"#{field}")).to_be_focused()


def test_a_server_that_is_gone_or_full_is_said(browser: Browser, address: str) -> None:
    with open_page(browser, address, expected=("Failed to load resource",)) as page:
        body = '{"error": {"message": "the queue is full; retry later"}}'
        page.route("**/api/play", lambda route: route.fulfill(status=429, body=body))
        page.click("#write")
        expect(page.locator("#write-status")).to_have_text("The queue is full; retry later.")
        page.unroute("**/api/play")
        page.route("**/api/play", lambda route: route.fulfill(status=200, body='{"characters": [], "units": ""}\n'))
        page.click("#write")
        expect(page.locator("#write-status")).to_have_text("The response was interrupted. Is the server still running?")
        page.unroute("**/api/play")
        page.route("**/api/play", lambda route: route.abort())
        page.click("#write")
        expect(page.locator("#write-status")).to_have_text("No response from the server. Is it still running?")
        page.unroute("**/api/play")
        write(page)


def test_a_server_that_is_started_again_with_others_is_noticed(browser: Browser) -> None:
    said = "The server was restarted with other models. This is the current {}."
    first = listen("127.0.0.1", 0)
    port = first.getsockname()[1]

    def serve(**models: Model) -> str:
        server.close()
        listening = first if first.fileno() >= 0 else listen("127.0.0.1", port)
        return server.enter_context(run_in_thread(create_app(models, Settings()), listening))

    with (
        ExitStack() as server,
        open_page(browser, serve(stormy=tiny(), gone=tiny()), expected=("Failed to load resource",)) as page,
    ):
        write(page)
        server.close()
        for _ in range(2):
            with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/play")):
                page.click("#write")
            expect(page.locator("#write-status")).to_have_text("No response from the server. Is it still running?")
        serve(stormy=random_model("the rain!"))
        page.click("#write")
        expect(page.locator("#write-status")).to_have_text(said.format("stormy"))
        expect(page.locator("#about")).to_have_text(re.compile("4 hidden units; alphabet of 9 characters"))
        expect(page.locator("#models")).to_be_hidden()
        assert set(write(page)) <= set("the rain!")
        serve(other=random_model("the rain."))  # what is refused shows it
        page.click("#write")
        expect(page.locator("#write-status")).to_have_text(said.format("other"))
        assert set(write(page)) <= set("the rain.")


def test_the_key_is_asked_for(browser: Browser) -> None:
    with (
        serving(api_key="secret") as client,
        open_page(browser, str(client.base_url), expected=("status of 401",)) as page,
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


def test_what_would_be_too_long_is_said_before_it_is_asked(browser: Browser) -> None:
    settings = Settings(max_tokens=50, max_characters=120)
    with listening(create_app({NAME: tiny()}, settings)) as client, open_page(browser, str(client.base_url)) as page:
        write(page, length="50")
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(len(PROMPT) + 100)
        whole = written(page)
        page.click("#continue")
        expect(page.locator("#write-status")).to_have_text(
            "The text would have 158 characters (limit: 120). Reduce the maximum length."
        )
        assert text(page, "#written") == whole
        page.fill("#length", "12")
        page.click("#continue")
        expect(page.locator("#written > span")).to_have_count(120)


def test_who_stops_within_the_prompt_cannot_go_on_from_nothing(page: Page) -> None:
    page.select_option("#speed", "12")
    page.fill("#prompt", TEXT[:60])
    page.click("#write")
    expect(page.locator("#written > span").nth(3)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#write-status")).to_contain_text("Stopped at 0 characters")
    expect(page.locator("#continue")).to_be_disabled()
    page.select_option("#speed", "0")
    assert write(page, TEXT[:60]).startswith(TEXT[:60])
    expect(page.locator("#continue")).to_be_enabled()


def test_another_model_while_one_writes(page: Page) -> None:
    page.select_option("#speed", "12")
    page.fill("#length", "2000")
    page.click("#write")
    expect(page.locator("#written > span").nth(3)).to_be_visible()
    page.select_option("#model", "<b>deep")
    expect(page.locator("#written > span")).to_have_count(0)
    expect(page.locator("#write")).to_be_visible()
    page.wait_for_timeout(500)  # what was being written would have come
    assert page.inner_text("#write-status") == text(page, "#written") == ""
    page.select_option("#speed", "0")
    assert set(write(page, "ab")) <= set("ab\n")


def test_several_models(page: Page) -> None:
    expect(page).to_have_title(f"{NAME}: playground")
    write(page)
    page.select_option("#model", "<b>deep")
    about = "LSTM with 2 layers of 4 hidden units; alphabet of 3 characters."
    expect(page.locator("#about")).to_have_text(about)
    expect(page.locator("#written > span")).to_have_count(0)
    expect(page.locator("#undo")).to_be_disabled()
    assert set(write(page, "ab")) <= set("ab\n")
