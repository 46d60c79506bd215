"""The playground, a web page that computes with the network in JavaScript.

The page that `write` returns contains the model and needs no server. The page of ``elman serve`` is the same, but
requests the model from the server. A model is stored as a line of JSON, which describes it, and its arrays one after
the other: the parameters, the initial state, and the table of the n-gram prior as in the model file. Matrices in a page
have the smallest type with which the model predicts texts that it generates nearly as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from elman._version import __version__
from elman.errors import ElmanError, option, quote
from elman.formats.contents import describe_prior, require_pruned
from elman.formats.format import Format, IncludeText, License, ModelInfo, Weights
from elman.formats.web import STATIC_FILES, dump_json, encode_bytes, inline_modules, render_file
from elman.model import Model
from elman.network import SamplingParams, list_sampling_options
from elman.network.parameters import Array, Parameters
from elman.ngram.model import NgramModel
from elman.text.masks import describe_symbols

MAX_WEIGHTS = 50_000_000  # a browser holds two copies of the weights in float32: 400 MB
MAX_NUMBER = 100_000  # the largest maximum of a sampling option in the form
MAX_INCREASE = 0.002  # allowed increase of the loss by rounded weights, in nats per character
_TEXTS, _LENGTH = 16, 250  # number and length of the generated texts on which this is measured
_SOURCES = " 'wasm-unsafe-eval'; worker-src blob:; img-src data:"
"""Sources that the page needs: WebAssembly for products of matrices, the worker, which is in the page, and the icon."""
_FILES = Path(__file__).parent / "static"


def write(
    model: Model, info: ModelInfo, *, license: License = "", weights: Weights = "", include_text: IncludeText = False
) -> bytes:
    """Return the page with a model in it."""
    packed = pack_model(model, info, license=license, weights=weights, include_text=include_text)
    return render_page(f"{info.name}: playground", packed).encode("utf-8", "surrogatepass")


def render_page(title: str, packed: bytes | None = None) -> str:
    """Return the page with a model that `pack_model` returned, or a page that requests its models from its server."""
    return render_file(
        _FILES / "page.html",
        [STATIC_FILES / "base.css", _FILES / "page.css"],
        _FILES / "page.js",
        _SOURCES if packed else f"{_SOURCES}; connect-src 'self'",
        version=__version__,
        title=title,
        icon=(_FILES / "icon.svg").read_text("utf-8"),
        worker=Markup(inline_modules(_FILES / "worker.js")),
        sampling=Markup(dump_json(list_sampling_fields())),
        packed=packed and encode_bytes(packed),
    )


def list_sampling_fields() -> list[dict[str, Any]]:
    """Return the sampling options as inputs of the form."""
    names = ("name", "label", "help", "default", "start", "minimum", "step")
    return [
        {name: getattr(option, name) for name in names} | {"maximum": min(MAX_NUMBER, option.request_maximum)}
        for option in list_sampling_options()
    ]


def count_weights(model: Model) -> int:
    """Return the number of weights, which a page limits."""
    return sum(array.size for array in model.parameters.values())


def pack_model(
    model: Model, info: ModelInfo, *, license: str = "", weights: str = "", include_text: bool = False
) -> bytes:
    """Return the bytes of a model in a page; raise ElmanError if a page cannot contain it."""
    network, ngrams = model.parameters.architecture, model.parameters.prior.model
    FORMAT.require("page", network)
    require_pruned(ngrams, include_text)
    if ngrams is not None:
        ngrams.require_counts()
    if (size := count_weights(model)) > MAX_WEIGHTS:
        raise ElmanError(f"a page can have at most {MAX_WEIGHTS:,} weights (this model has {size:,}); export to npz")
    weights = weights or choose_weights(model)
    if weights not in WEIGHTS:
        raise ElmanError(f"{option.weights} must be one of {', '.join(WEIGHTS)} (got {quote(weights)})")
    arrays, data = _pack_arrays(model, ngrams, weights)
    groups = [(layer, vector) for layer in range(1, network.layers + 1) for vector in network.spec.state]
    described = {
        "id": info.name,
        "facts": _list_facts(info, license, ngrams, weights),
        "cell": network.cell,
        "cell_title": network.spec.title,
        "symbols": {} if model.masker is None else describe_symbols(model.masker.legend()),
        "layers": network.layers,
        "hidden_size": network.m,
        "characters": list(model.alphabet.characters),
        "has_unknown": model.alphabet.has_unknown,
        "first": model.alphabet.start_char,  # read in place of an empty prompt
        "lines": model.is_of_lines,
        "units": [{"layer": layer, "part": v.part, "name": v.name, "count": network.m} for layer, v in groups],
        "ngrams": None if ngrams is None else describe_prior(ngrams) | {"discounts": ngrams.discounts.tolist()},
        "arrays": arrays,
    }
    return dump_json(described).encode("ascii") + b"\n" + data


def _list_facts(info: ModelInfo, license: str, ngrams: NgramModel | None, weights: str) -> list[tuple[str, str]]:
    """Return the page's description of the model: titles and values."""
    text, loss = info.text, info.snapshot.validation_loss
    contents, absent = f"The weights in {weights}", "The text is not in the page."
    if ngrams is None:
        contents = f"{contents}. {absent}"
    else:
        which = f"those that occur at least {ngrams.min_count} times. {absent}"
        which = which if ngrams.min_count > 1 else "all of them, from which the text can be read."
        contents += f", and how often strings of up to {ngrams.order} characters occur in the text: {which}"
    facts = {
        "Trained on": text and f"{text.name}, {text.chars:,} characters",
        "Validation loss": loss and f"{loss:.3f} nats per character",
        "Date": info.date and f"{info.date:%d %B %Y}".lstrip("0"),
        "Licence": license,
        "Contents": contents,
        "Made with": f"Elman {__version__}",
    }
    return [(title, value) for title, value in facts.items() if value]


# --- Arrays ---


def _round_int8(array: Array) -> tuple[Array, NDArray[np.int8]]:
    """Return a factor for each row of a matrix, and the integers that the factors multiply."""
    largest, tiny = np.abs(array).max(axis=1, keepdims=True, initial=0), np.finfo(np.float32).tiny
    factors = np.maximum(largest / 127, tiny).astype(np.float32)
    return factors, np.rint(array / factors).astype(np.int8)


WEIGHTS: dict[str, tuple[Callable[[Array], bytes], Callable[[Array], Array]]] = {
    "int8": (
        lambda array: b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in _round_int8(array)),
        lambda array: np.multiply(*_round_int8(array)),
    ),
    "float16": (lambda array: array.astype("<f2").tobytes(), lambda array: array.astype(np.float16)),
    "float32": (lambda array: array.astype("<f4").tobytes(), lambda array: array),
}
"""By type, functions that return the bytes of a matrix and the matrix that they represent; the smallest type first."""


def choose_weights(model: Model) -> str:
    """Return the smallest type that increases the loss by at most `MAX_INCREASE`; otherwise float32."""
    return next(kind for kind in WEIGHTS if kind == "float32" or measure_increase(model, kind) <= MAX_INCREASE)


def round_weights(parameters: Parameters, kind: str) -> Parameters:
    """Return the parameters as a page with this type of weights represents them."""
    return parameters.map(lambda array: WEIGHTS[kind][1](array).astype(array.dtype) if array.ndim == 2 else array)


@np.errstate(over="ignore", invalid="ignore")  # a weight may be too large for float16
def measure_increase(model: Model, kind: str) -> float:
    """Return by how many nats per character rounded weights increase the loss of texts that the model generates."""
    start = np.repeat(model.alphabet.encode(model.alphabet.start_char), _TEXTS)
    state, uniforms = model.start(_TEXTS), np.random.default_rng(1).random((_LENGTH, _TEXTS))
    generated, _ = model.engine.session(model.parameters).generate(state, start, uniforms, [SamplingParams()] * _TEXTS)
    text = np.concatenate([start[None], generated]).astype(model.alphabet.dtype)
    sessions = map(model.engine.session, (model.parameters, round_weights(model.parameters, kind)))
    before, after = (session.losses(state, text[:-1], text[1:])[0].mean() for session in sessions)
    return float(after - before) if np.isfinite(after) else np.inf


def _pack_arrays(model: Model, ngrams: NgramModel | None, weights: str) -> tuple[list[dict[str, Any]], bytes]:
    """Return name, type, shape and size of each array, and the bytes of all of them."""
    matrices = {**model.parameters, "h": model.state.recurrent}
    kinds = {name: weights if array.ndim == 2 else "float32" for name, array in matrices.items()}
    packed = [(name, kind, matrices[name].shape, WEIGHTS[kind][0](matrices[name])) for name, kind in kinds.items()]
    tables = {} if ngrams is None else ngrams.table.arrays()
    packed += [(name, "uint32", words.shape, words.astype("<u8").tobytes()) for name, words in tables.items()]
    arrays = [{"name": name, "type": kind, "shape": shape, "size": len(data)} for name, kind, shape, data in packed]
    return arrays, b"".join(data for *_, data in packed)


FORMAT = Format(".html", "web page", write, cells=("rnn", "gru", "lstm"))
