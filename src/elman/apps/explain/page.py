"""The page of `elman explain`: a text whose characters are coloured by surprisal or by the activation of a unit.

The page contains the text as text. All other data are arrays, gzipped and in base64, which the page's script decodes.
Each hidden unit is a separate block, which is decoded when the unit is selected.
"""

from __future__ import annotations

import hashlib
import math
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from elman.apps.explain.explanation import (
    Explanation,
    PriorExplanation,
    Unit,
    check_length,
    dequantize,
    explain_indices,
)
from elman.apps.explain.probing import MIN_ONSETS, FeatureProbe, UnitScore, probe_units, select_units
from elman.errors import check_range, checks_types, format_count
from elman.formats.web import STATIC_FILES, dump_json, encode_bytes, pluralize, render_file
from elman.model import Model, check_is_model
from elman.network import Architecture
from elman.notebook import MAX_CHARS, render_figure, render_table
from elman.storage import write_output
from elman.text import Alphabet, Corpus, Masker, describe_symbols, encode_chunks, unknown_nats, visible

MAX_DEFAULT_ACTIVATIONS = 8_000_000  # activations in a page, N times the units, unless the number of units is given
STEPS_PER_BIT = 1024  # resolution of the surprisal in the page
NO_SURPRISAL = 0xFFFF  # represents the surprisal of the first known character, which nothing precedes
_FILES = Path(__file__).parent / "static"


@checks_types
def explain(
    text: str, model: Model, *, out: str | os.PathLike[str] | None = None, units: int | None = None
) -> ExplainPage:
    """Read a text with a model; record surprisal, predictions and activations of every character, and probe the units.

    Parameters
    ----------
    text : str
        At most a million characters. With a model of independent lines, the page has a line feed before the first line,
        and no empty lines.
    model : Model
    out : path, optional
        The HTML page to write, as ``elman explain`` does; an existing file is replaced.
    units : int, optional
        Number of hidden units whose activations the page contains; by default as many as make eight million
        activations.

    Returns
    -------
    ExplainPage
        ``page.explanation`` has arrays with an entry per character; ``page.as_dict()`` has the results.

    Raises
    ------
    ElmanError
        If `model` is not a model, the text has fewer than two characters or too many, `units` is less than 1, or the
        file cannot be written.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> page = elman.explain("the cat sat on the mat.", model, out="page.html")
    >>> page.explanation.surprisal.shape
    (23,)
    """
    check_is_model(model)
    text = replace(model, masker=None).normalize(text)
    if units is not None:
        check_range("units", units, 1)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    corpus = Corpus("text", *encode_chunks([text], "text", model.alphabet, extend=True), digest, "utf-8")
    page = ExplainPage.from_corpus(model, corpus)
    if out is not None:
        write_output(Path(out), render_page(page, units).encode())
    return page


@dataclass(frozen=True, eq=False, repr=False)
class ExplainPage:
    """The content of a page."""

    name: str
    network: Architecture
    alphabet: Alphabet  # the model's, followed by the unknown characters of the text
    explanation: Explanation
    probes: list[FeatureProbe]
    legend: dict[str, str] = field(default_factory=dict)  # descriptions of the symbols of the model's masks
    replaced: dict[int, str] = field(default_factory=dict)  # the characters that each symbol replaces, by its position

    @classmethod
    def from_corpus(cls, model: Model, corpus: Corpus) -> ExplainPage:
        """Read a text, encoded in the model's alphabet or in an extension of it, and probe the units for features."""
        # It is not masked yet.
        check_length(len(corpus.indices))
        if model.is_of_lines:  # the first line follows a line feed, too; as in `Model.arrange`, there is no empty line
            lines = "\n".join(["", *filter(None, corpus.text.split("\n")), ""])
            alphabet, indices = encode_chunks([lines], corpus.label, corpus.alphabet, extend=True)
            corpus = replace(corpus, alphabet=alphabet, indices=indices)
        legend, replaced = dict[str, str](), dict[int, str]()
        if model.masker is not None:
            legend, replaced = model.masker.legend(), _find_replaced(model.masker, corpus.text)
            masked = model.masker.mask_text(corpus.text)
            alphabet, indices = encode_chunks([masked], corpus.label, model.alphabet, extend=True)
            corpus = replace(corpus, alphabet=alphabet, indices=indices)
        explanation = explain_indices(model.engine, model.parameters, model.state, corpus.indices)
        probes = probe_units(explanation.quantized, corpus.text) if len(explanation.units) else []
        return cls(corpus.name, model.parameters.architecture, corpus.alphabet, explanation, probes, legend, replaced)

    def __repr__(self) -> str:
        """Summarize the page in one line."""
        found = self.explanation
        mean = f"{format_count(found.chars, 'character')} predicted, {found.bits_per_char:.3f} bits per character"
        return f"<ExplainPage of {self.name!r}: {mean}, {format_count(len(found.units), 'unit')}>"

    def _repr_html_(self) -> str:
        explanation = self.explanation
        rows = {"characters predicted": explanation.chars, "bits per character": explanation.bits_per_char}
        table = render_table(f"Explanation of {self.name}", rows | {"units": len(explanation.units)})
        text = visible(self.alphabet.decode(explanation.indices))
        return table + render_surprisal("surprisal, from 0 to 8 bits", text, explanation.surprisal.tolist())

    @property
    def num_unknown(self) -> int:
        """Number of unknown characters in the text."""
        return int(np.sum(self.explanation.indices >= self.network.K))

    def select_columns(self, count: int | None = None) -> list[int]:
        """Return the units of a page: `count` of them, or by default as many as `MAX_DEFAULT_ACTIVATIONS` allows."""
        N, D = self.explanation.quantized.shape
        return sorted(select_units(self.probes, D, count or max(1, MAX_DEFAULT_ACTIVATIONS // N)))

    def as_dict(self) -> dict[str, Any]:
        """Return the results for text and units as ``elman explain --json`` prints them."""
        found, prior = self.explanation, self.explanation.prior
        results: dict[str, Any] = {name: getattr(found, name) for name in ("chars", "nats_per_char", "bits_per_char")}
        if self.num_unknown:
            results["unknown_chars"] = self.num_unknown
        if prior is not None:
            means = prior.means() | {"bits_per_char": prior.means()["nats_per_char"] / math.log(2)}
            results["ngram"] = {"order": prior.order, **means, "mean_matched_length": prior.mean_matched_length}
        features = [
            {"name": each.feature.name, "measure": "auc" if each.feature.is_binary else "rank_correlation"}
            | {"best": [self.describe_score(score) for score in each.best]}
            for each in self.probes
        ]
        return results | {"units": len(found.units), "features": features}

    def describe_score(self, score: UnitScore) -> dict[str, Any]:
        """Return a unit and its score for a feature as JSON."""
        unit = self.explanation.units[score.unit]
        rounded = {"rises": score.rises, "score": round(score.score, 4), "null_score": round(score.baseline, 4)}
        return {"layer": unit.layer, "number": unit.number, "part": unit.vector.part} | rounded


def render_page(page: ExplainPage, units: int | None = None) -> str:
    """Render the page as HTML, with the activations of so many units, the best of every feature first."""
    columns, prior = page.select_columns(units), page.explanation.prior
    return render_file(
        _FILES / "page.html",
        [STATIC_FILES / "base.css", _FILES / "page.css"],
        _FILES / "page.js",
        name=visible(page.name),
        chars=pluralize(len(page.explanation.indices), "character"),
        network=describe_network(page.network),
        page=page,
        shares=None if prior is None else summarize_prior(prior),
        unknown_bits=unknown_nats(page.network.K) / math.log(2),
        lines=render_lines(page.alphabet.decode(page.explanation.indices), describe_symbols(page.legend)),
        legend=dict(describe_symbols(page.legend).values()),
        min_onsets=MIN_ONSETS,
        units_in_page=len(columns),
        data=Markup(dump_json(page_data(page, columns))),
        blocks=[(name, encode_bytes(array.tobytes())) for name, array in array_blocks(page, columns).items()],
    )


def summarize_prior(prior: PriorExplanation) -> dict[str, float]:
    """Return the means of the page's summary in bits per character, and the percentage that counting contributes."""
    uniform, alone, counting, network = (nats / math.log(2) for nats in prior.means().values())
    total = max(0.0, counting) + max(0.0, network)
    percent = 100 * max(0.0, counting) / total if total else 50.0
    means = {"alone": alone, "counting": counting, "network": network, "percent": percent}
    return means | {"order": prior.order, "uniform": uniform, "matched": prior.mean_matched_length}


def render_lines(text: str, symbols: Mapping[str, tuple[str, str]]) -> Markup:
    """Return the lines of a text as HTML; a line feed is shown as a sign, and is followed by the line feed itself."""
    # The sign is visible, and the line feed is copied. Every other character is represented by exactly one, so that the
    # page's script can count. The symbols of masks are letters in frames, because few fonts have circled letters.
    html = str(escape(visible(text)))
    for symbol, (letter, _) in symbols.items():
        html = html.replace(symbol, f'<i class="mask">{letter}</i>')
    lines = html.split("\n")
    last = [f"<div>{lines[-1]}</div>"] if lines[-1] else []
    return Markup("\n".join([*(f"<div>{line}<b>↵</b>\n</div>" for line in lines[:-1]), *last]))


def describe_network(network: Architecture) -> str:
    """Return cell, layers and hidden size in words."""
    if not network.m:
        return "n-gram counts alone"
    layers = "" if network.layers == 1 else f"{network.layers} layers of "
    return f"{network.spec.title} with {layers}{pluralize(network.m, 'unit')}"


def format_unit(unit: Unit, network: Architecture) -> str:
    """Return the name of a unit, without the parts that all units of the network share."""
    layer = f"layer {unit.layer}, " if network.layers > 1 else ""
    return f"{layer}{unit.vector.name if network.state_vectors > 1 else 'unit'} {unit.number}"


def page_data(page: ExplainPage, columns: Sequence[int]) -> dict[str, Any]:
    """Return the data of the page's script, except the arrays."""
    explanation = page.explanation
    names = [format_unit(unit, page.network) for unit in explanation.units]
    block_of = {column: n for n, column in enumerate(columns)}
    ranges = np.abs(dequantize(explanation.quantized[:, columns])).max(axis=0).tolist()

    def describe(probe: FeatureProbe) -> dict[str, Any]:
        best = [
            {"name": names[n := each.unit], "unit": block_of.get(n)} | page.describe_score(each) for each in probe.best
        ]
        about = {"name": probe.feature.name, "description": probe.feature.description}
        return about | {"isBinary": probe.feature.is_binary, "best": best}

    return {
        "chars": len(explanation.indices),
        "candidates": explanation.candidates.shape[1],
        "indexBytes": explanation.indices.dtype.itemsize,
        "knownChars": page.network.K,
        "order": 0 if explanation.prior is None else explanation.prior.order,
        "symbols": describe_symbols(page.legend),
        "replaced": {position: visible(text) for position, text in page.replaced.items()},
        "alphabet": [(character, unicodedata.name(character, "").lower()) for character in page.alphabet.characters],
        "units": [{"name": names[n], "range": round(largest, 4)} for n, largest in zip(columns, ranges, strict=True)],
        "features": [*map(describe, page.probes)],
    }


def array_blocks(page: ExplainPage, columns: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return the page's arrays by the ids of their elements; the arrays of shape (C, N) are stored row by row."""
    explanation = page.explanation
    index = explanation.indices.dtype.newbyteorder("<")
    blocks = {
        "indices": explanation.indices.astype(index),
        "surprisal": encode_surprisal(explanation.surprisal),
        "candidates": explanation.candidates.T.astype(index),
        "probabilities": np.rint(explanation.probabilities.T * 0xFFFF).astype("<u2"),
    } | ({} if explanation.prior is None else prior_blocks(explanation.prior))
    shown = ((n, each) for n, each in enumerate(page.probes) if each.feature.is_binary and each.best)
    blocks |= {f"feature-{n}": probe.values.astype(np.uint8) for n, probe in shown}
    return blocks | {f"unit-{n}": explanation.quantized[:, column] for n, column in enumerate(columns)}


def encode_surprisal(bits: NDArray[np.floating]) -> NDArray[Any]:
    """Return surprisals (N,) in the page's format."""
    steps = np.rint(bits * STEPS_PER_BIT).clip(0, NO_SURPRISAL - 1)
    return np.asarray(np.nan_to_num(steps, nan=NO_SURPRISAL), "<u2")


def prior_blocks(prior: PriorExplanation) -> dict[str, NDArray[Any]]:
    """Return the arrays of the n-gram prior, each (N,); a contribution that is not defined is 0."""
    steps = np.rint(np.nan_to_num([prior.counting, prior.network]) * STEPS_PER_BIT).clip(-0x7FFF, 0x7FFF)
    contributions = dict(zip(("prior-counting", "prior-network"), steps.astype("<i2"), strict=True))
    return {"prior-surprisal": encode_surprisal(prior.surprisal), "prior-matched": prior.matched} | contributions


FULL_BITS = 8  # surprisal above which the colour of a character no longer changes


def render_surprisal(title: str, text: str, bits: Iterable[float]) -> str:
    """Return a text with characters coloured by their surprisal, unless that is NaN; a long text is cut.

    Examples
    --------
    >>> render_surprisal("bits", "a<", [float("nan"), 4])[:80]
    '<figure><figcaption>bits</figcaption><pre style="white-space: pre-wrap">a<span t'
    """

    def color(character: str, bits: float) -> str:
        shown, opacity = "↵\n" if character == "\n" else str(escape(character)), min(bits, FULL_BITS) / FULL_BITS
        style = f"background: rgba(230, 110, 40, {opacity:.2f})"
        return shown if math.isnan(bits) else f'<span title="{bits:.2f} bits" style="{style}">{shown}</span>'

    shown = "".join(map(color, text[:MAX_CHARS], bits))
    return render_figure(title, shown, is_cut=len(text) > MAX_CHARS)


def _find_replaced(masker: Masker, text: str) -> dict[int, str]:
    """Return the characters that symbols replace when a text is masked, by the symbols' positions in the result."""
    replaced, offset = dict[int, str](), 0
    lines = text.split("\n")
    for line, masked in zip(lines, masker.mask_lines(lines), strict=True):
        for start, end in masked.matches:
            replaced[offset + start] = line[start:end]
            offset -= end - start - 1
        offset += len(line) + 1
    return replaced
