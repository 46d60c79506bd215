"""The page of `elman export`: its size, how fast it loads and generates text, and how well it agrees with Python.

    python benchmarks/page.py RUN [RUN …] --text TEXT [--pictures]

Writes the page of each run with every type of weights, and opens it from its file in headless Chromium (ELMAN_CHROMIUM,
or `chromium` on PATH) through Playwright. Agreement is that with the probabilities of `Model.next_char` over the last
characters of the text. Speeds are those of the worker: they include the alternatives and the activations of 256 units,
and not the drawing of the text. Results are printed, and written to ``benchmarks/results/page.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

import elman
from elman.formats.page import WEIGHTS, choose_weights, measure_increase, round_weights
from elman.model import Model
from elman.network.output import softmax
from elman.network.sampling import list_sampling_options
from elman.text import read_corpus
from speed import machine

HERE = Path(__file__).parent
CHARS = 1000
"""Characters over which probabilities are compared."""
SAME = 500
"""Characters of the texts that must be the same."""
SEEDS = 10
SPEED_CHARS, REPEATS = 2000, 5
LOAD = """async () => {
  const element = (id) => document.getElementById(id).textContent;
  const worker = new Worker(URL.createObjectURL(new Blob([element("worker")])));
  window.ask = (message) => new Promise((resolve) => {
    worker.onmessage = ({ data }) => { if (!data.progress) resolve(data); };
    worker.postMessage(message);
  });
  await ask({ sampling: JSON.parse(element("sampling")), text: element("packed") });
}"""
"""Loads the network into a worker of its own."""
ASK = """async ([name, body]) => {
  const found = [], start = performance.now();
  for (let message = { name, body }; ; message = {}) {
    const { entries, end } = await ask(message);
    if (end) break;
    found.push(...entries);
  }
  const seconds = (performance.now() - start) / 1000;
  return { seconds, entries: found.map(({ character, alternatives }) => ({ character, alternatives })) };
}"""
FIRST_CHARACTER = """
  addEventListener("DOMContentLoaded", () => {
    const write = document.getElementById("write"), written = document.getElementById("written");
    new MutationObserver((_, observer) => {
      if (write.disabled) return;
      observer.disconnect();
      write.click();
    }).observe(write, { attributes: true });
    new MutationObserver(() => { window.first ??= performance.now(); }).observe(written, { childList: true });
  });
"""


def generate(page: Page, seed: int, length: int, units: int = 0) -> Any:
    """Return the seconds that a text takes, and its entries."""
    settings = {option.name: option.default for option in list_sampling_options()}
    reported = {"units": [*range(units)]}
    body = settings | {"prompt": "", "generated": "", "max_tokens": length, "seed": seed} | reported
    return page.evaluate(ASK, ["generate", body])


def processor_seconds() -> float:
    """Return the processor time of all workers of browsers on this machine; only on Linux."""
    total = 0
    for name in Path("/proc").glob("[0-9]*/task/[0-9]*/comm"):
        with suppress(OSError):  # a thread that has ended
            if name.read_text(encoding="utf-8").startswith("DedicatedWorker"):
                total += int(name.with_name("schedstat").read_text(encoding="utf-8").split()[0])
    return total / 1e9


def measure_speed(page: Page, units: int) -> dict[str, int]:
    """Return the characters per second, of the fastest of several texts, and per second of processor time."""
    generate(page, 0, SPEED_CHARS, units)  # compiles
    start, seconds = processor_seconds(), []
    for seed in range(REPEATS):
        seconds.append(generate(page, seed, SPEED_CHARS, units)["seconds"])
    spent = processor_seconds() - start
    return {
        "chars_per_second": round(SPEED_CHARS / min(seconds)),
        "chars_per_processor_second": round(REPEATS * SPEED_CHARS / spent) if spent else 0,
    }


def count_same(page: Page, model: Model) -> int:
    """Return how many texts of `SEEDS` seeds are those of Python."""
    texts = ("".join(each["character"] for each in generate(page, seed, SAME)["entries"]) for seed in range(SEEDS))
    return sum(text.startswith(model.sample(SAME, seed=seed)) for seed, text in enumerate(texts))


def first_character(browser: Any, file: Path) -> float:
    """Return the seconds from the opening of a page to its first character, the shortest of three times."""
    found = []
    for _ in range(3):
        page = browser.new_page(reduced_motion="reduce")
        page.add_init_script(FIRST_CHARACTER)
        page.goto(file.as_uri())
        page.locator("#written > span").first.wait_for(timeout=120_000)
        found.append(page.evaluate("first") / 1000)
        page.close()
    return float(round(min(found), 3))


def agreement(page: Page, model: Model, text: str) -> dict[str, float]:
    """Return the largest difference of a probability, and how often the order of the top five is the same."""
    entries = page.evaluate(ASK, ["read", {"text": text, "units": []}])["entries"][1:]
    indices = model.alphabet.encode(text)
    o, _ = model.engine.session(model.parameters).logits(model.state.reshape(1), indices[:-1, None])
    p = softmax(o[:, 0].astype(np.float64))
    likely = np.argsort(-p, axis=1, kind="stable")[:, :5]
    found = np.array([[value for _, value, _ in entry["alternatives"]] for entry in entries])
    names = [[character for character, *_ in entry["alternatives"]] for entry in entries]
    of_page = np.array([[model.alphabet.characters.index(name) for name in each] for each in names])
    return {
        "largest_difference": float(np.abs(found - np.take_along_axis(p, of_page, 1)).max()),
        "same_order": float((of_page == likely).all(axis=1).mean()),
    }


def draw(browser: Any, run: str, folder: Path) -> None:
    """Write the pictures of a page in docs/images: on a computer, and on a telephone with dark colours."""
    file = folder / "picture.html"
    elman.export(run, file)
    phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "is_mobile": True, "has_touch": True}
    title = f"page_{Path(run).name}"
    pictures: dict[str, Any] = {title: {"viewport": {"width": 1080, "height": 860}}, f"{title}_phone": phone}
    for name, options in pictures.items():
        page = browser.new_page(reduced_motion="reduce", **options)
        page.goto(file.as_uri())
        page.locator("#write:enabled").wait_for()
        for field, value in {"temperature": "0.6", "seed": "4", "length": "300"}.items():
            page.fill(f"#{field}", value)
        page.click("#write")
        page.locator("#write-status", has_text="Seed").wait_for()
        page.locator("#written > span").nth(60).click()
        page.wait_for_timeout(500)
        page.screenshot(path=HERE.parent / "docs" / "images" / f"{name}.png")
        page.close()


def measure(browser: Any, run: str, text: str) -> dict[str, Any]:
    """Return the figures of the page of a run."""
    model = elman.load(run)
    result: dict[str, Any] = {"run": Path(run).name, "weights": choose_weights(model), "types": {}}
    with tempfile.TemporaryDirectory() as folder:
        for kind in WEIGHTS:
            file = Path(folder) / f"{kind}.html"
            elman.export(run, file, weights=kind)
            rounded = Model(model.alphabet, round_weights(model.parameters, kind), model.state, model.engine)
            page = browser.new_page()
            page.goto(file.as_uri())
            page.evaluate(LOAD)
            result["types"][kind] = {
                "megabytes": round(file.stat().st_size / 1e6, 2),
                "increase_on_generated_text": measure_increase(model, kind),
                "increase_on_text": rounded.score(text).nats_per_char - model.score(text).nats_per_char,
                "same_texts": count_same(page, model),
                **agreement(page, model, text[-CHARS - 1 :]),
            }
            if kind == result["weights"]:
                result |= measure_speed(page, min(256, model.parameters.architecture.state_size))
                result["first_character_seconds"] = first_character(browser, file)
            page.close()
    return result


def main() -> None:
    """Measure the page of each run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+")
    parser.add_argument("--text", required=True)
    parser.add_argument("--chars", type=int, default=50_000, help="length of the text, taken from its end")
    parser.add_argument(
        "--pictures", action="store_true", help="write two pictures per run to docs/images, and nothing else"
    )
    arguments = parser.parse_args()
    chromium = os.environ.get("ELMAN_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        parser.error("chromium is not on PATH; set ELMAN_CHROMIUM")
    text = read_corpus(arguments.text).text[-arguments.chars :]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if arguments.pictures:
            with tempfile.TemporaryDirectory() as folder:
                for run in arguments.run:
                    draw(browser, run, Path(folder))
            return
        results = [measure(browser, run, text) for run in arguments.run]
        browser.close()
    for result in results:
        print(json.dumps(result, indent=1))
    text_out = json.dumps({"machine": machine(), "results": results}, indent=1)
    (HERE / "results" / "page.json").write_text(text_out + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
