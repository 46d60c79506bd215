"""The page of a server: the models that it requests, the choice of one, the key, and errors."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from elman.apps.serve.app import create_app
from elman.apps.serve.settings import Settings
from elman.formats import ModelInfo, page
from support.browser import fits, open_page, show_settings
from support.random_model import random_model, random_prior_model
from support.server import NAME, complete, error_of, get_metric, listening, serving, tiny
from support.state import TEXT

PROMPT = "the rain"


def unpruned() -> Any:
    model = random_prior_model(TEXT)
    parameters = model.parameters
    assert parameters.ngrams is not None
    return replace(model, parameters=replace(parameters, ngrams=replace(parameters.ngrams, min_count=1)))


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    models = {NAME: tiny(), "<b>deep": random_model("ab\n", "lstm", 2), "private": unpruned()}
    with listening(create_app(models, Settings())) as client:
        yield client


def write(window: Page, prompt: str = PROMPT, **fields: str) -> str:
    show_settings(window)
    for name, value in ({"prompt": prompt, "length": "60"} | fields).items():
        window.fill(f"#{name}", value)
    window.click("#write")
    expect(window.locator("#write-status")).to_contain_text("Seed")
    return "".join(window.locator("#written > span").all_text_contents())


def test_a_model_is_sent_as_it_is_exported(client: httpx.Client) -> None:
    response = client.get(f"/models/{NAME}")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.content == page.pack_model(tiny(), ModelInfo(NAME, tiny().snapshot()), weights="float32")
    described = json.loads(response.content.partition(b"\n")[0])
    assert (described["id"], described["characters"]) == (NAME, [*tiny().alphabet.characters])
    again = client.get(f"/models/{NAME}", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    error_of(client.get("/models/other"), 404, "model_not_found")


def test_the_page_allows_only_its_own_parts_and_its_server(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.text == page.render_page("Playground")
    assert response.headers["content-security-policy"] == "frame-ancestors 'none'"
    policy = re.search('<meta http-equiv="Content-Security-Policy" content="(.*)">', unescape(response.text))
    assert policy
    assert re.sub(r"'sha256-[^']+'", "HASH", policy[1]) == (
        "default-src 'none'; style-src HASH; script-src HASH 'wasm-unsafe-eval'; worker-src blob:; img-src data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    assert NAME not in response.text  # it needs no key


def test_a_text_is_that_of_the_api(browser: Browser, client: httpx.Client) -> None:
    with open_page(browser, str(client.base_url)) as window:
        expect(window.locator("#write")).to_be_enabled()
        expected = complete(client, PROMPT, max_tokens=500, seed=7, temperature=0.8)["choices"][0]["text"]
        assert write(window, length="500", seed="7", temperature="0.8") == PROMPT + expected
        assert get_metric(client, "elman_http_requests_total", endpoint="/v1/completions") == 1
        assert window.locator("#card dt").all_text_contents() == ["Contents", "Made with"]
        assert fits(window)


def test_one_of_several_models_is_chosen(browser: Browser, client: httpx.Client) -> None:
    with open_page(browser, str(client.base_url), expected=("status of 404",)) as window:
        expect(window).to_have_title(f"{NAME}: playground")
        write(window)
        window.select_option("#speed", "12")
        window.click("#write")
        window.select_option("#model", "<b>deep")
        expect(window).to_have_title("<b>deep: playground")
        about = "LSTM with 2 layers of 4 hidden units; alphabet of 3 characters."
        expect(window.locator("#about")).to_have_text(about)
        expect(window.locator("#written > span")).to_have_count(0)
        expect(window.locator("#undo")).to_be_disabled()
        window.wait_for_timeout(300)  # in which more of the text would arrive
        assert window.inner_text("#write-status") == window.inner_text("#written") == ""
        window.select_option("#speed", "0")
        assert set(write(window, "ab")) <= set("ab\n")

        window.select_option("#model", "private")
        message = (
            "Only the API has private, because elman export cannot write its page: the n-gram table of this model is"
        )
        for tab in ("write", "read"):
            expect(window.locator(f"#{tab}-status")).to_contain_text(message)
            expect(window.locator(f"#{tab}")).to_be_disabled()
        assert complete(client, PROMPT, model="private")
        window.select_option("#model", NAME)
        assert write(window).startswith(PROMPT)
        assert fits(window)


def test_the_key_is_requested(browser: Browser) -> None:
    with (
        serving(api_key="secret") as client,
        open_page(browser, str(client.base_url), expected=("status of 401",)) as window,
    ):
        expect(window.locator("#key-dialog")).to_be_visible()
        window.keyboard.press("Escape")
        expect(window.locator("#write-status")).to_contain_text("The server requires its API key.")
        window.reload()
        window.fill("#key", "wrong")
        window.keyboard.press("Enter")
        expect(window.locator("#key-note")).to_have_text("Invalid API key. Try again.")
        window.fill("#key", "secret")
        window.keyboard.press("Enter")
        write(window)
        window.reload()
        write(window)


def test_errors_of_the_server_are_shown(browser: Browser, client: httpx.Client) -> None:
    interrupted = "The connection was interrupted. Is the server still running?"
    responses: list[tuple[Callable[[Route], None], str]] = [
        (lambda route: route.fulfill(status=503, body='{"error": {"message": "retry later"}}'), "Retry later."),
        (lambda route: route.fulfill(status=502, body="<p>"), "The server responded with status 502."),
        (lambda route: route.abort(), interrupted),
    ]
    with open_page(browser, str(client.base_url), expected=("Failed to load resource",)) as window:
        for path in ("/v1/models", f"/models/{NAME}"):
            for respond, message in responses:
                window.route(f"**{path}", respond)
                window.reload()
                expect(window.locator("#write-status")).to_have_text(message)
                window.unroute(f"**{path}")
        window.reload()
        write(window)
