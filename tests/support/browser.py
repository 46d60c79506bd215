"""Helpers of the tests of web pages: Chromium, and a page without errors and without requests to other servers.

The browser is that of ELMAN_CHROMIUM or the first found on PATH; without one these tests are skipped.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

TIMEOUT_SECONDS = 60
"""Timeout of everything on a page, for a busy machine."""
FASTER = 24
"""How many times as fast the clock of a page runs that polls a server, see `open_page`."""
_FASTER_CLOCK = f"""
const [now, timer] = [performance.now.bind(performance), setTimeout];
performance.now = () => {FASTER} * now();
window.setTimeout = (call, delay = 0, ...rest) => timer(call, delay / {FASTER}, ...rest);
"""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, or skip the test if there is none."""
    path = os.environ.get("ELMAN_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on PATH: install it, or name it in ELMAN_CHROMIUM")
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * TIMEOUT_SECONDS)
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser,
    address: str,
    path: str = "/",
    *,
    expected: tuple[str, ...] = (),
    polls: bool = False,
    **options: Any,
) -> Iterator[Page]:
    """Open a page in a context of its own, and check at the end that there were no errors and no foreign requests.

    `expected` are parts of messages on the console that are no errors. The clock of a page that `polls` the server runs
    `FASTER`: every interval is shorter, and the order of events the same. The options are those of the context.
    """
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"} | options)
    page = context.new_page()
    page.set_default_timeout(1000 * TIMEOUT_SECONDS)
    if polls:
        page.add_init_script(_FASTER_CLOCK)
    messages, hosts = list[str](), set[str]()
    page.on("console", lambda message: messages.append(message.text) if message.type in ("warning", "error") else None)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    try:
        page.goto(address + path)
        yield page
        assert not [message for message in messages if not any(part in message for part in expected)]
        assert hosts - {""} <= {urlsplit(address).netloc}
    finally:
        context.close()


def show_settings(page: Page) -> None:
    """Show the settings of a text that are seldom changed."""
    page.locator("details:has(#more-settings)").evaluate("each => { each.open = true; }")


def fits(page: Page) -> bool:
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return bool(widths[0] <= widths[1])
