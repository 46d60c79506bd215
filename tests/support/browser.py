"""What the tests of pages share: Chromium, and a page that may not complain or call anybody else.

The browser is the one that ELMAN_CHROMIUM names or that is found on PATH; without one these tests are skipped.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE = 60
"""Seconds that anything on a page may take, on a machine that does other work."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser, or skip the tests that need one."""
    path = os.environ.get("ELMAN_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on PATH: install it, or name it in ELMAN_CHROMIUM")
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * PATIENCE)
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, path: str = "/", *, spoken: tuple[str, ...] = (), **how: Any
) -> Iterator[Page]:
    """Open a page in a context of its own, and see at the end that it kept its manners.

    Parameters
    ----------
    browser : Browser
    address : str
        Of the server; requests to any other fail the test.
    path : str
    spoken : tuple of str
        Parts of messages on the console that are expected; every other warning or error fails the test.
    how
        Goes to the context: ``viewport``, ``color_scheme``, …
    """
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"} | how)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    complaints, hosts = list[str](), set[str]()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("warning", "error") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    try:
        page.goto(address + path)
        yield page
        assert not [said for said in complaints if not any(part in said for part in spoken)]
        assert hosts - {""} <= {urlsplit(address).netloc}
    finally:
        context.close()


def fits(page: Page) -> bool:
    """Whether nothing of a page lies beside the window."""
    found = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return bool(found[0] <= found[1])
