"""Take the pictures of web pages in docs/images: playground, exported page, dashboard, and the page of `elman explain`.

    python scripts/take_screenshots.py [NAME…] [--runs FOLDER]

The models are trained first, in FOLDER or a temporary one, unless they exist, which needs about three minutes of CPU
time. The script needs Chromium, or its path in ELMAN_CHROMIUM.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

import elman
from elman.text import read_corpus

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DESKTOP = {"viewport": {"width": 1200, "height": 900}}
CLOSE = DESKTOP | {"device_scale_factor": 2}
PHONE = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "is_mobile": True, "has_touch": True}
HELD_OUT = {"shakespeare": 111_540, "python-docs": 46_500}
"""Characters at the end of a text that its models are not trained on: a tenth."""
DASHBOARD: dict[str, Any] = {
    "corpus": "shakespeare", "preset": "quick", "hidden_size": 256, "ngram_order": 0, "validation": 0.1,
    "validate_every": 150, "max_updates": 1500,
}  # fmt: skip
"""The runs of the dashboard, in which each cell has the same colour as in the other pictures."""
RUNS: dict[str, dict[str, Any]] = {
    "bard": {"corpus": "shakespeare", "preset": "minute", "max_updates": 1000},
    "lstm": {
        "corpus": "shakespeare", "preset": "quick", "cell": "lstm", "hidden_size": 128, "ngram_order": 0,
        "validation": 0.1, "max_updates": 1500,
    },
    "docs": {"corpus": "python-docs", "preset": "quick", "ngram_order": 6, "validation": 0.1, "max_updates": 1000},
}  # fmt: skip
"""``lstm`` is the model of the tutorial on hidden units."""


def find_run(folder: Path, name: str) -> Path:
    """Return the directory of a run; the run is trained if it does not exist."""
    if not (folder / name).exists():
        elman.train(out=folder / name, **RUNS[name])
    return folder / name


@contextmanager
def serve(*command: object) -> Iterator[str]:
    """Run a command that serves pages, and yield the address that it prints."""
    words = [sys.executable, "-m", "elman", *map(str, command)]
    environment = os.environ | {"ELMAN_NO_BROWSER": "1"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout
        yield next(match[0] for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+\S*", line)))
        process.terminate()


def write_text(page: Page, address: str, character: int, **settings: str) -> None:
    """Generate a text in the playground, and select a character of it."""
    page.goto(address)
    page.locator("#write:enabled").wait_for()
    page.select_option("#speed", "instant")
    more = page.locator("details:has(#more-settings)")
    more.evaluate("details => details.open = true")
    for field, value in settings.items():
        page.fill(f"#{field.replace('_', '-')}", value)
    more.evaluate("details => details.open = false")
    page.click("#write")
    page.locator("#write-status", has_text="Seed").wait_for()
    page.locator("#written > span").nth(character).click()


def show_playground(page: Page, folder: Path) -> None:
    """Open the playground of a server."""
    with serve("serve", find_run(folder, "bard"), "--port", 0) as address:
        write_text(page, address, 64, prompt="JULIET:\n", temperature="0.7", top_p="0.95", seed="4", length="500")
        take(page, "play")


def show_page(page: Page, folder: Path) -> None:
    """Open an exported page on a telephone, with dark colours."""
    file = folder / "page.html"
    elman.export(find_run(folder, "bard"), file)
    write_text(page, file.as_uri(), 60, temperature="0.7", seed="4", length="300")
    page.locator("#write-status").evaluate("status => status.scrollIntoView()")
    take(page, "page_phone")


def show_explanation(page: Page, folder: Path) -> None:
    """Colour held-out verse by the unit that tracks the position in the line best."""
    explain(page, folder, "lstm")
    page.get_by_text("position in the line", exact=True).click()
    page.locator("#rows").click(position={"x": 180, "y": 235})
    take(page, "explain")


def show_counting(page: Page, folder: Path) -> None:
    """Colour held-out documentation by the contributions of counting and the network, and show six lines."""
    explain(page, folder, "docs")
    page.get_by_role("radio", name="Counting or network").check()
    lines = page.locator("#rows > div")
    first, last = (lines.nth(n).bounding_box() for n in (5, 10))
    assert first
    assert last
    height = last["y"] + last["height"] - first["y"]
    take(page, "counting", clip={"x": first["x"] - 8, "y": first["y"], "width": 640, "height": height})


def explain(page: Page, folder: Path, name: str) -> None:
    """Open the explanation of a held-out text."""
    corpus = RUNS[name]["corpus"]
    text, html = folder / f"end-of-{corpus}.txt", folder / f"{name}.html"
    text.write_text(read_corpus(corpus).text[-HELD_OUT[corpus] :], "utf-8")
    subprocess.run([sys.executable, "-m", "elman", "explain", find_run(folder, name), text, "-o", html], check=True)
    page.goto(html.as_uri())
    page.locator("#rows > div").first.wait_for()


def show_dashboard(page: Page, folder: Path) -> None:
    """Train beside two finished runs, and open the dashboard of the training run."""
    others = [("--live-with", find_run(folder, f"live/{cell}")) for cell in ("lstm", "gru")]
    options = [(f"--{name.replace('_', '-')}", value) for name, value in DASHBOARD.items() if name != "corpus"]
    words = ("train", DASHBOARD["corpus"], "--cell", "rnn", *chain(*options, *others), "--overwrite", "--live")
    with serve(*words, "-o", folder / "live" / "rnn") as address:
        page.goto(address)
        page.locator("#metrics div", has_text="Updates").filter(has_text=re.compile(r"1,[0-3]\d\d|9\d\d")).wait_for()
        take(page, "live")


def take(page: Page, name: str, **options: Any) -> None:
    """Write a picture of the visible part of the page."""
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png", **options)
    print(name, flush=True)


PICTURES: dict[str, tuple[Callable[[Page, Path], None], dict[str, Any]]] = {
    "play": (show_playground, DESKTOP),
    "page_phone": (show_page, PHONE),
    "explain": (show_explanation, DESKTOP),
    "counting": (show_counting, CLOSE),
    "live": (show_dashboard, {"viewport": {"width": 1200, "height": 925}}),
}


def take_all(browser: Browser, names: list[str], folder: Path) -> None:
    """Take pictures, each in a browser of its own."""
    for name in names:
        show, options = PICTURES[name]
        page = browser.new_page(reduced_motion="reduce", **options)
        page.set_default_timeout(120_000)
        show(page, folder)
        page.close()


def main() -> None:
    """Read the options, start the browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*PICTURES], choices=[*PICTURES, []], metavar="NAME")
    parser.add_argument("--runs", type=Path)
    arguments = parser.parse_args()
    path = os.environ.get("ELMAN_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take_all(browser, arguments.names, arguments.runs or Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
