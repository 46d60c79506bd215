"""Rendering performance of the page of `elman explain`: time to first paint, and duration of frames.

    python benchmarks/explain_page.py RUN TEXT --chars 100000

Writes the page, opens it in headless Chromium (ELMAN_CHROMIUM, or `chromium` on PATH) through Playwright, scrolls
through the text, selects one unit after another, and moves the pointer over the text. A frame is the time between two
calls of requestAnimationFrame: 16.7 ms at 60 per second. Results are printed, and written to
``benchmarks/results/explain_page.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import elman
from elman.apps.explain.page import ExplainPage, render_page
from elman.text import Corpus, read_corpus
from speed import machine

HERE = Path(__file__).parent
STEP = 120
"""Pixels per frame while scrolling: 7,200 per second, five screens of text."""

FRAMES = """async (step) => {
  const frame = () => new Promise(requestAnimationFrame), frames = [];
  let last = await frame();
  while (await step()) { const now = await frame(); frames.push(now - last); last = now; }
  return frames;
}"""
SCROLL = f"""() => ({FRAMES})(() => {{
  scrollBy(0, {STEP});
  return scrollY + innerHeight < document.documentElement.scrollHeight - 1;
}})"""
SWITCH = f"""() => {{
  const unit = document.getElementById("unit"), count = Math.min(60, unit.options.length);
  let next = 0;
  return ({FRAMES})(() => {{
    if (next === count) return false;
    unit.value = next++;
    unit.dispatchEvent(new Event("change"));
    return true;
  }});
}}"""
POINT = f"""() => {{
  const text = document.getElementById("text"), area = text.getBoundingClientRect();
  let n = 0;
  return ({FRAMES})(() => {{
    const at = {{ clientX: area.left + (n * 37) % 600, clientY: 100 + (n * 11) % 700, pointerType: "mouse" }};
    text.dispatchEvent(new PointerEvent("pointermove", at));
    return ++n < 200;
  }});
}}"""
COLOURED = """() => new Promise((done) => {
  const check = () => (performance.getEntriesByName("coloured").length ? done() : requestAnimationFrame(check));
  check();
})"""
LONG_TASKS = """
  window.longTasks = [];
  const note = (list) => longTasks.push(...list.getEntries().map((task) => task.duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
"""


def summarize(frames: list[float]) -> dict[str, float]:
    """Return statistics of frame durations in milliseconds."""
    return {
        "frames": len(frames),
        "median": round(statistics.median(frames), 1),
        "95 %": round(statistics.quantiles(frames, n=20)[-1], 1),
        "longest": round(max(frames), 1),
    }


def measure(page_file: Path, chromium: str, width: int = 1200, height: int = 900) -> dict[str, Any]:
    """Measure the page in a window of this size."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(LONG_TASKS)
        page.goto(page_file.as_uri())
        page.evaluate(COLOURED)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        coloured = page.evaluate("performance.getEntriesByName('coloured')[0].startTime")
        result: dict[str, Any] = {
            "window": f"{width} x {height}",
            "first_paint_ms": round(paint),
            "coloured_ms": round(coloured),
            "scroll_ms": summarize(page.evaluate(SCROLL)),
            "switch_ms": summarize(page.evaluate(SWITCH)),
            "point_ms": summarize(page.evaluate(POINT)),
            "elements": page.evaluate("document.getElementsByTagName('*').length"),
            "long_tasks_ms": [round(duration) for duration in page.evaluate("longTasks")],
        }
        browser.close()
    return result


def main() -> None:
    """Write the page, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("text")
    parser.add_argument("--chars", type=int, default=100_000, help="length, taken from the end of the text")
    arguments = parser.parse_args()
    chromium = os.environ.get("ELMAN_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        parser.error("chromium is not on PATH; set ELMAN_CHROMIUM")
    model = elman.load(arguments.run)
    corpus = read_corpus(arguments.text, alphabet=model.alphabet)
    text = Corpus(corpus.name, corpus.alphabet, corpus.indices[-arguments.chars :], corpus.sha256, corpus.encoding)
    start = time.perf_counter()
    page = render_page(ExplainPage.from_corpus(model, text))
    result: dict[str, Any] = {"chars": len(text.indices), "seconds": round(time.perf_counter() - start, 2)}
    result["megabytes"] = round(len(page.encode()) / 1e6, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        result["windows"] = [measure(file, chromium), measure(file, chromium, 420, 900)]
    print(json.dumps(result, indent=1))
    text_out = json.dumps({"machine": machine(), "results": result}, indent=1)
    (HERE / "results" / "explain_page.json").write_text(text_out + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
