"""A model as one web page: its network computes what Python does, and the page says what it contains."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

import elman
from elman.errors import ElmanError
from elman.formats import page
from elman.formats.format import ModelInfo
from elman.model import Model
from elman.network.bptt import begin_text
from elman.network.parameters import Parameters
from elman.network.sampling import list_sampling_options
from elman.ngram.counting import count_ngrams
from elman.runs.directory import TextRecord
from elman.text import Alphabet
from support.browser import open_page
from support.random_model import normal_model, random_model, random_prior_model
from support.state import TEXT

FILES = Path(page.__file__).parent / "static"
PROMPT = "the rain"
WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
ASK = """async ([name, body]) => {
  const element = (id) => document.getElementById(id).textContent;
  const worker = new Worker(URL.createObjectURL(new Blob([element("worker")])));
  const ask = (message) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => { if (!data.progress) resolve(data); };
    worker.onerror = reject;
    worker.postMessage(message);
  });
  await ask({ sampling: JSON.parse(element("sampling")), text: element("packed") });
  const read = [];
  for (let message = { name, body }; ; message = {}) {
    const { entries, end } = await ask(message);
    read.push(...entries.map((entry) => ({ ...entry, activations: [...entry.activations] })));
    if (end) return { entries: read, end };
  }
}"""
"""Asks a worker like that of the page for what it reports of every character of a text."""


def write_page(folder: Path, model: Model, weights: str = "float32", license: str = "") -> Path:
    file = folder / "page.html"
    file.write_bytes(page.write(model, ModelInfo("stormy", model.snapshot()), license=license, weights=weights))
    return file


@contextmanager
def opened(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    """Open a page from its file, with the checks of `open_page`: it may send no request."""
    with open_page(browser, file.as_uri(), "", **options) as opened_page:
        expect(opened_page.locator("#write")).to_be_enabled()
        yield opened_page


@pytest.fixture(scope="module")
def model() -> Model:
    return random_prior_model(TEXT, "gru", m=8)


@pytest.fixture(scope="module")
def window(browser: Browser, tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Page]:
    with opened(browser, write_page(tmp_path_factory.mktemp("page"), model)) as page:
        yield page


def ask(page: Page, name: str, **body: Any) -> Any:
    return page.evaluate(ASK, [name, body])


def generate(page: Page, count: int, seed: int, **options: Any) -> str:
    settings = {option.name: option.start for option in list_sampling_options()} | options
    body = {"prompt": PROMPT, "generated": "", "max_tokens": count, "seed": seed, "units": []} | settings
    return "".join(entry["character"] for entry in ask(page, "generate", **body)["entries"])


def ensemble() -> Model:
    pytest.importorskip("elman.apps.ensemble")
    return elman.ensemble([random_prior_model(TEXT, "gru", m=size) for size in (4, 5)])


def of_lines() -> Model:
    alphabet = Alphabet.from_text("\n" + TEXT)
    lines = alphabet.encode(f"\n{TEXT[:90]}\n{TEXT[40:]}\n{TEXT[:90]}\n")
    model = random_model(alphabet.characters, "lstm", 2)
    net = model.parameters.architecture._replace(context_length=3).for_lines(alphabet)
    arrays = {**model.parameters, "alpha": np.full(4, 0.6, np.float32)}
    parameters = Parameters(net, arrays, count_ngrams(lines, net.ngram_spec))
    return replace(model, parameters=parameters, state=begin_text(parameters, model.state.recurrent))


def counts() -> Model:
    model = random_prior_model(TEXT, m=0)
    model.parameters["c"][:] = np.linspace(0, 0.1, len(model.alphabet))  # no two characters are equally likely
    return model


MODELS: dict[str, Callable[[], Model]] = {
    "rnn": lambda: normal_model("".join(dict.fromkeys(TEXT)), "rnn", 1, m=33, std=0.1),
    "gru with prior": lambda: random_prior_model(TEXT, "gru", 2, m=9),
    "lstm with prior": lambda: random_prior_model(TEXT, "lstm", 3, dtype=np.float64),
    "wide alphabet": lambda: random_prior_model(WIDE + TEXT, "gru"),
    "ensemble": ensemble,
    "independent lines": of_lines,
    "counts": counts,
    "unknown characters": lambda: replace(
        normal_model("the rain.", "lstm", 1), alphabet=Alphabet("the rain.", has_unknown=True)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_worker_computes_what_python_does(browser: Browser, tmp_path: Path, name: str) -> None:
    interpret = pytest.importorskip("elman.apps.explain.explanation")
    model = MODELS[name]()
    content = f"{TEXT[:90]}\n{TEXT[40:]}" if model.is_of_lines else TEXT
    expected = interpret.explain_indices(model.engine, model.parameters, model.state, model.alphabet.encode(content))
    with opened(browser, write_page(tmp_path, model)) as page:
        units = [*range(len(expected.units))]
        answer = ask(page, "read", text=content, units=units)
        entries = answer["entries"]
        assert [entry["character"] for entry in entries] == [*model.alphabet.decode(expected.indices)]
        assert answer["end"] == {"read": len(content), "bits_per_char": pytest.approx(expected.bits_per_char, abs=1e-5)}
        bits = np.array([entry["bits"] for entry in entries[1:]])
        np.testing.assert_allclose(bits, expected.surprisal[1:], atol=1e-4)
        likely = [entry["alternatives"] for entry in entries[1:]]
        p = np.array([[probability for _, probability, _ in each] for each in likely])
        np.testing.assert_allclose(p, expected.probabilities[1:], atol=1e-5)
        for each, indices in zip(likely, expected.candidates[1:], strict=True):
            assert "".join(character for character, *_ in each) == model.alphabet.decode(indices)
        codes = np.array([entry["activations"] for entry in entries])
        assert np.abs(codes - expected.quantized.astype(int)).max(initial=0) <= 1
        assert np.sum(codes == expected.quantized) >= 0.99 * codes.size


@pytest.mark.parametrize("option", list_sampling_options(), ids=lambda option: option.name)
def test_a_text_is_that_of_python_with_every_sampling_option(window: Page, model: Model, option: Any) -> None:
    options = {option.name: option.default if option.name == "temperature" else option.example}
    expected = model.sample(500, prompt=PROMPT, seed=3, **options)
    assert generate(window, 500, 3, **options) == PROMPT + expected
    assert expected != model.sample(500, prompt=PROMPT, seed=3)


def test_an_option_whose_filter_pages_do_not_have_is_an_error(browser: Browser) -> None:
    source = (FILES / "sampling.js").read_text("utf-8")
    code = "async (url) => (await import(url)).createSampling([{name: 'toy', default: 0}], {toy: 0})"
    with pytest.raises(PlaywrightError, match="no filter for the option toy"):
        browser.new_page().evaluate(code, f"data:text/javascript,{quote(source)}")


@pytest.mark.parametrize("seed", [0, 2**32 + 7, 2**53 - 1])
def test_seeds_are_those_of_python(window: Page, model: Model, seed: int) -> None:
    for temperature in (0.5, 0.0):
        expected = model.sample(60, prompt=PROMPT, seed=seed, temperature=temperature)
        assert generate(window, 60, seed, temperature=temperature) == PROMPT + expected


def test_rounded_weights_are_those_that_the_loss_is_measured_with(browser: Browser, tmp_path: Path) -> None:
    model = normal_model("".join(dict.fromkeys(TEXT)), "gru", 2, m=12)
    for kind in page.WEIGHTS:
        rounded = replace(model, parameters=page.round_weights(model.parameters, kind))
        with opened(browser, write_page(tmp_path, model, kind)) as opened_page:
            end = ask(opened_page, "read", text=TEXT, units=[])["end"]
        assert end["bits_per_char"] == pytest.approx(rounded.score(TEXT).bits_per_char, abs=1e-5)
        if kind != "float32":
            assert end["bits_per_char"] != pytest.approx(model.score(TEXT).bits_per_char, abs=1e-5)


def test_the_smallest_type_is_chosen_whose_loss_is_near(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_LENGTH", 100)
    increases = {kind: page.measure_increase(model, kind) for kind in page.WEIGHTS}
    assert increases["float32"] == 0 < abs(increases["float16"]) < abs(increases["int8"])
    assert page.choose_weights(model) == "int8"
    monkeypatch.setattr(page, "measure_increase", lambda _, kind: {"int8": 0.003, "float16": 0.001}[kind])
    assert page.choose_weights(model) == "float16"
    monkeypatch.setattr(page, "MAX_INCREASE", 0.0005)
    assert page.choose_weights(model) == "float32"


def test_a_weight_beyond_float16_counts_as_an_infinite_loss(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_LENGTH", 2)
    arrays = {**model.parameters, "V": np.full_like(model.parameters["V"], 1e6)}
    outlier = replace(model, parameters=model.parameters.with_arrays(arrays))
    assert page.measure_increase(outlier, "float16") == np.inf


def test_the_cells_of_the_registry_are_those_of_the_page() -> None:
    source = (FILES / "network.js").read_text("utf-8")
    assert {*re.findall(r"^  (\w+): \(m, ", source, re.MULTILINE)} == {*(page.FORMAT.cells or ())}


def test_the_page_says_what_the_model_is(browser: Browser, tmp_path: Path, model: Model) -> None:
    info = ModelInfo(
        "</title><b>",
        replace(model.snapshot(), validation_loss=1.4567),
        TextRecord("<i>plays", 12_345, 26, "0" * 64, []),
        date=date(2026, 11, 8),
    )
    file = tmp_path / "page.html"
    file.write_bytes(page.write(model, info, license="CC-BY-4.0", weights="float16"))
    with opened(browser, file) as opened_page:
        expect(opened_page).to_have_title("</title><b>: playground")
        assert opened_page.locator("footer dt, footer dd").all_text_contents() == [
            *("Trained on", "<i>plays, 12,345 characters"),
            *("Validation loss", "1.457 nats per character"),
            *("Date", "8 November 2026"),
            *("Licence", "CC-BY-4.0"),
            "Contents",
            "The weights in float16, and how often strings of up to 4 characters occur in the text: those that occur at"
            " least 2 times. The text is not in the page.",
            *("Made with", f"Elman {elman.__version__}"),
        ]


def test_a_table_that_is_not_pruned_is_refused_unless_the_text_may_be_in_the_page(model: Model) -> None:
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    unpruned = replace(model, parameters=replace(model.parameters, ngrams=replace(ngrams, min_count=1)))
    info = ModelInfo("stormy", model.snapshot())
    with pytest.raises(ElmanError, match=r"ngram_min_count=1\): pass include_text"):
        page.write(unpruned, info)
    packed = page.pack_model(unpruned, info, include_text=True)
    assert b"all of them, from which the text can be read" in packed
    off = {**model.parameters, "alpha": np.zeros(4, np.float32)}
    without_prior = replace(unpruned, parameters=unpruned.parameters.with_arrays(off))
    packed = page.pack_model(without_prior, info, weights="float32")
    assert b"The weights in float32. The text is not in the page." in packed


def test_a_model_with_very_many_weights_is_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_WEIGHTS", 1000)
    with pytest.raises(
        ElmanError, match=r"^a page can have at most 1,000 weights \(this model has 1,\d\d\d\); export to npz$"
    ):
        page.write(model, ModelInfo("stormy", model.snapshot()))
