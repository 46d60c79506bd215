"""The dashboard in Chromium: monitoring, sampling from, stopping and resuming a training; comparing runs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elman.apps.dashboard.runs import DashboardRun, LiveRun
from elman.apps.dashboard.server import create_dashboard
from elman.apps.serve.server import listen, run_in_thread
from elman.text import Corpus
from support.state import ROOT, TEXT
from support.training import EXACT, train

pytest.importorskip("playwright")

from support.browser import FASTER, TIMEOUT_SECONDS, fits, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIMITS = ["--epochs", "1000000", "--metrics-every", "20", "--sample-every", "400"]
SHOWN = "async (n) => {{ const {{ traces, layout }} = (await import('/static/dashboard/chart.js')).shown; return {}; }}"
ENDLESS = ["--hidden-size", "4", "--engine", "numpy", *LIMITS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, corpus = tmp_path_factory.mktemp("runs"), Corpus.from_text(TEXT)
    train(corpus, **EXACT | {"epochs": 20, "validation": 0.3}, out=folder / "short")
    train(corpus, **EXACT | {"epochs": 30, "seq_length": 10, "cell": "lstm"}, out=folder / "long")
    return [folder / "short", folder / "long"]


@contextmanager
def viewed(browser: "Browser", runs: list[Path], **options: Any) -> Iterator["Page"]:
    """Open the dashboard of run directories, and wait until it is drawn."""
    app = create_dashboard([DashboardRun(run) for run in runs])
    with (
        run_in_thread(app, listen("127.0.0.1", 0)) as address,
        open_page(browser, address, polls=True, **options) as page,
    ):
        until(page, "traces.length > 0")
        page.locator("#chart").wait_for()
        yield page


class Training:
    def __init__(self, *arguments: object) -> None:
        slow = ROOT / "tests" / "support" / "slow_training.py"
        command = [sys.executable, str(slow), "train", *map(str, arguments), "--preset", "reference", "--live"]
        environment = os.environ | {"ELMAN_NO_BROWSER": "1"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment)
        assert self.process.stderr is not None
        lines = self.process.stderr.readline() + self.process.stderr.readline()  # the text, the dashboard
        found = re.search(r"http://127\.0\.0\.1:\d+", lines)
        assert found, lines + self.process.stderr.read()
        self.address = found[0]

    def ended(self) -> int:
        self.process.communicate(timeout=TIMEOUT_SECONDS)
        return self.process.returncode


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    (tmp_path / "novel.txt").write_text(TEXT * 10, encoding="utf-8")
    return tmp_path / "novel.txt"


@pytest.fixture
def training(novel: Path, tmp_path: Path) -> Training:
    return Training(novel, "--out", tmp_path / "run", *ENDLESS)


def shown(page: "Page", expression: str, n: object = None) -> Any:
    """Evaluate an expression in the `traces` and the `layout` that the chart shows, and in n."""
    return page.evaluate(SHOWN.format(expression), n)


def points(page: "Page") -> list[float]:
    found: list[float] = shown(page, "[...traces[0].x]")
    return found


def until(page: "Page", condition: str, n: object = None) -> None:
    """Wait until an expression, as of `shown`, is true."""
    for _ in range(50 * TIMEOUT_SECONDS):
        if shown(page, condition, n):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"it is still not true that {condition}")


def until_drawn(page: "Page") -> None:
    until(page, "traces[0]?.x.length > 2")


def select(page: "Page", run: str) -> None:
    """Show the details of a run; a click is lost if the row is drawn again during it."""
    radio = page.get_by_role("radio", name=f"Show details of {run}")
    for _ in range(TIMEOUT_SECONDS):
        if radio.is_checked():
            return
        radio.click()
        page.wait_for_timeout(100)
    pytest.fail(f"{run} is not selected")


def stop(page: "Page") -> None:
    page.get_by_role("button", name="Stop and save").click()
    page.get_by_text("Stopped and saved.").wait_for()


# --- A run in training ---


def test_a_training_is_monitored_and_resumed(browser: "Browser", runs: list[Path], novel: Path, tmp_path: Path) -> None:
    training = Training(novel, "--out", tmp_path / "run", *ENDLESS, "--live-with", runs[0])
    with open_page(browser, training.address, polls=True) as page:
        page.get_by_role("heading", name="run", exact=True).wait_for()
        until(page, "traces.length")
        until(page, "traces[0].x.length > n", len(points(page)))
        page.get_by_text("before training").wait_for()

        page.get_by_role("button", name="Generate a sample").click()
        page.get_by_text(", requested").wait_for()
        until(page, "!sample.disabled")
        until(page, "histograms.children.length === 6")

        select(page, "short")
        page.get_by_role("heading", name="short", exact=True).wait_for()
        assert page.get_by_role("button", name="Stop and save").is_hidden()
        select(page, "run")
        page.get_by_role("button", name="Stop and save").click()
        select(page, "short")
        page.get_by_role("status").filter(has_text="run: Stopped and saved.").wait_for()
        select(page, "run")
        page.get_by_text("Stopped and saved.").wait_for()
        assert page.get_by_role("button", name="Generate a sample").is_disabled()
        assert training.ended() == 130
        requested = list[str]()
        page.on("request", lambda request: requested.append(request.url))
        page.wait_for_timeout(9000 / FASTER)  # three times the polling interval
        assert not requested
        until(page, "traces[0].x.length > 2")
        reached = points(page)[-1]

    again = Training(novel, "--out", tmp_path / "run", "--resume")
    with open_page(browser, again.address, polls=True) as page:
        until(page, "traces[0]?.x.at(-1) > n", reached)
        assert points(page)[0] <= 20
        assert page.get_by_text("before training").count() == 1
        assert page.get_by_text(", requested").count() == 0
        before = points(page)
        page.reload()
        until(page, "traces[0]?.x.length >= n", len(before))
        assert before == points(page)[: len(before)]
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "stop"
        page.keyboard.press("Enter")
        page.get_by_text("Stopped and saved.").wait_for()
        assert again.ended() == 130


def hide(page: "Page", hidden: bool) -> None:
    """Make a page believe that it is in the background, or visible again."""
    page.evaluate("(is) => Object.defineProperty(document, 'hidden', { configurable: true, get: () => is })", hidden)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_every_page_learns_of_the_end_also_in_the_background(browser: "Browser", training: Training) -> None:
    with (
        open_page(browser, training.address, polls=True) as page,
        open_page(browser, training.address, polls=True) as other,
        open_page(browser, training.address, polls=True) as hidden,
    ):
        for each in (page, other, hidden):
            until_drawn(each)
        hide(hidden, True)
        drawn = points(hidden)
        until(page, "traces[0].x.at(-1) > n", drawn[-1])  # so that the hidden page lacks some points
        stop(page)
        for each in (other, hidden):
            each.get_by_text("Stopped and saved.").wait_for()
            assert each.get_by_role("button", name="Stop and save").is_disabled()
        assert training.ended() == 130
        assert points(hidden) == drawn  # it is drawn when it is visible
        hide(hidden, False)
        until(hidden, "traces[0].x.at(-1) > n", drawn[-1])
        reached = points(page)[-1]
        for each in (other, hidden):
            assert points(each)[-1] == reached
            until(each, "histograms.children.length === 6")  # they were fetched before the server ended
            assert each.get_by_role("alert").inner_text() == ""


def test_before_the_first_points_there_are_no_axes(browser: "Browser") -> None:
    live = LiveRun("novel")
    with (
        run_in_thread(create_dashboard([live], live), listen("127.0.0.1", 0)) as address,
        open_page(browser, address, polls=True) as page,
    ):
        page.get_by_text("Waiting for the first data points.").wait_for()
        page.get_by_text("Compiling kernels").wait_for()
        assert [small.strip() for small in page.locator("#metrics small").all_inner_texts()] == [""] * 4
        assert page.locator("#chart").is_hidden()
        train(Corpus.from_text(TEXT), **EXACT | {"max_updates": 1, "metrics_every": 1000}, callback=live)
        until(page, "traces.length === 1")  # there is no speed yet
        live.close(0.0)


def test_a_lost_connection_is_reported(browser: "Browser", training: Training) -> None:
    with open_page(browser, training.address, polls=True, expected=("Failed to load resource",)) as page:
        until_drawn(page)
        training.process.kill()
        training.ended()
        page.get_by_role("alert").filter(has_text="Lost connection").wait_for()
        assert "elman view" in page.get_by_role("alert").inner_text()
        assert page.get_by_role("button", name="Stop and save").is_disabled()
        assert page.get_by_role("button", name="Generate a sample").is_disabled()
        assert page.locator("#metrics div", has_text="Time left").locator(".value").inner_text() == "–"
        assert len(points(page)) > 2


# --- Runs in directories ---


def test_runs_are_compared_by_mouse_and_keyboard(browser: "Browser", runs: list[Path]) -> None:
    history = DashboardRun(runs[0]).history.train_loss.as_dict()
    with viewed(browser, runs) as page:
        until(page, "traces.length === 5")
        short = ["short, train", "short, validation", "short, characters per second"]
        assert shown(page, "traces.map(({ name }) => name)") == [*short, "long, train", "long, characters per second"]
        assert page.get_by_role("button", name="Stop and save").is_hidden()
        assert page.locator("#runs tbody tr").count() == 2

        for unit, factor in (("character", 1), ("bits", 1 / 0.6931), ("window", 5)):
            page.get_by_label("Loss unit").select_option(unit)
            until(page, "layout.annotations[0].text.includes(n)", unit)
            assert shown(page, "traces[0].y.at(-1)") == pytest.approx(history["value"][-1] * factor, rel=1e-3)
        updates = points(page)
        elapsed = np.diff(history["seconds"])
        speeds = (5 * np.diff(updates))[elapsed > 0] / elapsed[elapsed > 0]
        assert shown(page, "traces[2].y") == pytest.approx(speeds.tolist(), rel=1e-6)
        across = page.get_by_label("Horizontal axis", exact=True)
        for option, label in (("characters", "characters read"), ("seconds", "seconds spent"), ("update", "updates")):
            across.select_option(option)
            until(page, "layout.xaxis.title.text.startsWith(n)", label)
            found = points(page)
            expected = {"characters": [5 * x for x in updates], "seconds": sorted(found), "update": updates}
            assert found == expected[option]
        page.get_by_label("Range").select_option("0.5")
        until(page, "traces[0].x.length < n", len(updates))
        assert points(page) == [update for update in updates if update >= updates[-1] / 2]

        page.get_by_role("checkbox", name="short").uncheck()
        until(page, "traces.length === 2")
        select(page, "long")
        page.get_by_role("heading", name="long", exact=True).wait_for()
        until(page, "document.querySelectorAll('#samples li').length > 0")
        until(page, "histograms.children.length === 7")
        page.get_by_text("Settings").click()
        assert page.locator("#settings div", has_text="cell").first.inner_text().split() == ["cell", "lstm"]

        assert shown(page, "[layout.xaxis.type, layout.yaxis.type]") == ["linear", "linear"]
        page.get_by_label("Loss unit").focus()
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        until(page, "layout.yaxis.type === 'log'")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        until(page, "layout.xaxis.type === 'log'")
        page.get_by_label("Loss unit").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.locator("#chart").get_by_text("nats per window").wait_for()


def test_an_unusual_run(browser: "Browser", tmp_path: Path) -> None:
    text = "<img src=x onerror=alert(1)><b>&amp;</b>\x1b[31m" * 5
    options = EXACT | {"layers": 2, "validation": 0.3, "max_updates": 73, "metrics_every": 1, "sample_every": 20}
    out = tmp_path / "<b>run<"
    corpus = Corpus.from_text(text, "<i>name</i>")
    run = train(corpus, **options, ngram_order=3, validate_every=1, out=out)  # more validations than are marked
    with viewed(browser, [out]) as page:
        modes = "traces.slice(0, 2).map((trace) => trace.mode)"
        assert shown(page, modes) == ["lines", "lines"]
        page.get_by_label("Range").select_option("0.1")
        until(page, "traces[0].x.length < 10")
        assert shown(page, modes) == ["lines", "lines+markers"]
        assert page.get_by_text(f"{run.epochs:.2f} epochs", exact=True).count() == 1
        titles = page.locator("figcaption").all_text_contents()
        assert {"V hidden to output", "U2 input to hidden, layer 2", "alpha weights of the n-gram prior"} <= {*titles}
        same_line = """[...document.querySelectorAll("figcaption b")].some((symbol) => {
            const words = new Range();
            words.selectNode(symbol.nextSibling);
            return symbol.textContent.includes("alpha") &&
                words.getClientRects()[0]?.top === symbol.getClientRects()[0]?.top && symbol.getClientRects().length;
        })"""
        until(page, same_line)  # the captions are drawn again while the run is read
        # In one call, as they too are drawn again.
        aligned = """(() => {
            const tops = (selector, top) => new Set([...document.querySelectorAll(selector)].map(top)).size;
            const rows = tops("#histograms figure", (each) => each.offsetTop);
            return rows > 1 && tops("#histograms svg", (svg) => svg.getBoundingClientRect().top) === rows;
        })()"""
        until(page, aligned)
        assert page.locator("h1").inner_text() == "<b>run<"
        assert "<i>name</i>" in page.locator("#about").inner_text()
        until(page, "document.querySelectorAll('#samples li').length > 0")
        assert page.locator("#samples pre *").count() == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 420)])
def test_it_fits_a_phone_in_light_and_dark(browser: "Browser", runs: list[Path], scheme: Any, width: int) -> None:
    size = {"width": width, "height": 800}
    with viewed(browser, runs, color_scheme=scheme, viewport=size, has_touch=True) as page:
        until(page, "histograms.children.length === 6")
        assert fits(page)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", paper))) / 3
        assert (brightness > 128) == (scheme == "light")
        before = shown(page, "traces[0].line.color")
        style = "getComputedStyle(document.documentElement)"
        assert before == page.evaluate(f"{style}.getPropertyValue('--series-1').trim()")
        page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
        until(page, "traces[0].line.color !== n", before)
