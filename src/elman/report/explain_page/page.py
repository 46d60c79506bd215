"""A text as one page on which every character is coloured by what went on in a network while it read it.

The text stands in the page as text. Everything else is arrays, gzipped and in base64, which the page's script unpacks.
Each hidden unit is a block of its own, which is unpacked when it is chosen.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.inference import Model
from elman.inference.strangers import stranger_nats
from elman.interpret.activations import Explanation, Unit, activation, explain
from elman.interpret.probing import STRETCHES, Tracked, Tracker, chosen, track
from elman.network import Architecture, architecture
from elman.report.narrative.formatting import pluralize
from elman.report.render import visible
from elman.text import Alphabet, Corpus

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

BUDGET = 8_000_000
"""Activations in a page where it is not said how many units it shall hold: N times the units."""
BIT = 1024
"""Steps of a bit in which the page has the surprise."""
UNPREDICTED = 0xFFFF
"""Stands for the surprise of the first character that the model knows."""
_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"
_SIGNS = {" ": ("␣", "space"), "\n": ("↵", "line feed"), "\t": ("⇥", "tab"), "\r": ("␍", "carriage return")}


@dataclass(frozen=True, eq=False)
class Explained:
    """What a page is made of.

    Parameters
    ----------
    name : str
        Of the text.
    network : Architecture
    alphabet : Alphabet
        The model's, and behind it the characters of the text that the model does not know.
    explanation : Explanation
    tracked : list of Tracked
    """

    name: str
    network: Architecture
    alphabet: Alphabet
    explanation: Explanation
    tracked: list[Tracked]

    @classmethod
    def of(cls, model: Model, corpus: Corpus) -> Explained:
        """Read a text, and hold the units against what can be named.

        Parameters
        ----------
        model : Model
        corpus : Corpus
            Encoded in the model's alphabet, or in one that goes on behind it; see `elman.text.read_corpus`.

        Raises
        ------
        ElmanError
            If the text has fewer than two characters, or more than `elman.interpret.activations.LONGEST`.
        """
        explanation = explain(model.engine, model.parameters, model.h, corpus.indices)
        tracked = track(explanation.codes, corpus.text)
        return cls(corpus.name, architecture(model.parameters), corpus.alphabet, explanation, tracked)

    @property
    def unknown(self) -> int:
        """How many characters of the text the model does not know."""
        return int(np.sum(self.explanation.indices >= self.network.K))

    def columns(self, count: int | None = None) -> list[int]:
        """Return the units that a page holds: `count` of them, or as many as the budget allows; all, if it does."""
        N, D = self.explanation.codes.shape
        return sorted(chosen(self.tracked, D, max(1, BUDGET // N) if count is None else count))

    def figures(self) -> dict[str, Any]:
        """Return what ``elman explain --json`` prints of the text and the units."""
        unknown = {"unknown_chars": self.unknown} if self.unknown else {}
        return {
            "chars": self.explanation.chars,
            "nats_per_char": self.explanation.nats_per_char,
            "bits_per_char": self.explanation.bits_per_char,
            **unknown,
            "units": len(self.explanation.units),
            "things": [
                {
                    "name": found.nameable.name,
                    "measure": "auc" if found.nameable.holds else "rank_correlation",
                    "best": [asdict(self.explanation.units[best.unit]) | _score(best) for best in found.best],
                }
                for found in self.tracked
            ],
        }


def render_page(explained: Explained, units: int | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    explained : Explained
    units : int, optional
        Hidden units whose activations the page holds, the best of every thing first.
    """
    from markupsafe import Markup

    columns = explained.columns(units)
    style, script = _source("page.css"), _source("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            name=visible(explained.name),
            chars=pluralize(len(explained.explanation.indices), "character"),
            network=network_in_words(explained.network),
            explanation=explained.explanation,
            unknown=explained.unknown,
            unknown_bits=stranger_nats(explained.network.K) / math.log(2),
            rows=rows(explained.alphabet.decode(explained.explanation.indices)),
            tracked=explained.tracked,
            stretches=STRETCHES,
            held=len(columns),
            units=len(explained.explanation.units),
            facts=_as_json(facts(explained, columns)),
            blocks=[(name, _packed(array)) for name, array in blocks(explained, columns).items()],
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
            "form-action 'none'",
        )
    )


def rows(text: str) -> Markup:
    """Return the lines of a text as HTML, each that a line feed ends with a sign for it, and the line feed itself.

    The sign is seen, the line feed copied. Every other character stands for itself or has one other in its place, so
    that the page's script can count.
    """
    from markupsafe import Markup, escape

    table = {ord(character): stand_in(character) for character in set(text) - {"\n"}}
    lines = text.translate(table).split("\n")
    last = [Markup("<div>{}</div>").format(lines[-1])] if lines[-1] else []
    return Markup("\n").join([*(Markup(f"<div>{escape(line)}<b>↵</b>\n</div>") for line in lines[:-1]), *last])


def stand_in(character: str) -> str:
    """Return a character, or another in place of one that has no shape, moves others, or is half of one."""
    code, category = ord(character), unicodedata.category(character)
    if code < 0x20 and character != "\t":
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    shapeless = category in ("Cc", "Cs", "Zl", "Zp", "Cf") and character not in "\t" + _JOINERS
    return _STAND_IN if shapeless else character


def letter(character: str) -> tuple[str, str]:
    """Return a character as it is shown by itself, and its name."""
    if character in _SIGNS:
        return _SIGNS[character]
    code = f"U+{ord(character):04X}"
    name = f"{unicodedata.name(character).lower()}, {code}" if unicodedata.name(character, "") else code
    carried = unicodedata.combining(character) or character in _JOINERS
    return ("\N{DOTTED CIRCLE}" if carried else "") + stand_in(character), name


def network_in_words(network: Architecture) -> str:
    """Return which network it is."""
    cell = {"rnn": "a vanilla recurrent network", "gru": "a GRU", "lstm": "an LSTM"}[network.cell]
    layers = "" if network.layers == 1 else f"{network.layers} layers of "
    return f"{cell} of {layers}{pluralize(network.m, 'unit')}"


def unit_name(unit: Unit, network: Architecture) -> str:
    """Return a unit's name in this network: what all of its units have in common is left out."""
    layer = f"layer {unit.layer}, " if network.layers > 1 else ""
    return f"{layer}{unit.part if network.state_vectors > 1 else 'unit'} {unit.number}"


def facts(explained: Explained, columns: Sequence[int]) -> dict[str, Any]:
    """Return what the page's script has to know besides the arrays."""
    explanation, network = explained.explanation, explained.network
    held = {column: n for n, column in enumerate(columns)}
    reach = [float(np.abs(activation(explanation.codes[:, column])).max()) for column in columns]
    return {
        "chars": len(explanation.indices),
        "candidates": explanation.likeliest.shape[1],
        "bytes": explanation.indices.dtype.itemsize,
        "known": network.K,
        "letters": [letter(character) for character in explained.alphabet.characters],
        "units": [
            {"name": unit_name(explanation.units[column], network), "reach": round(most, 4)}
            for column, most in zip(columns, reach, strict=True)
        ],
        "things": [
            {
                "name": found.nameable.name,
                "says": found.nameable.says,
                "holds": found.nameable.holds,
                "best": [
                    {
                        "name": unit_name(explanation.units[best.unit], network),
                        "unit": held.get(best.unit),
                        **_score(best),
                    }
                    for best in found.best
                ],
            }
            for found in explained.tracked
        ],
    }


def _score(best: Tracker) -> dict[str, Any]:
    return {"rises": best.rises, "score": round(best.score, 4), "chance": round(best.chance, 4)}


def blocks(explained: Explained, columns: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return the page's arrays by the names of their elements; those of several rows (C, N), row by row."""
    explanation = explained.explanation
    index = explanation.indices.dtype.newbyteorder("<")
    steps = np.rint(explanation.surprise * BIT).clip(0, UNPREDICTED - 1)
    return {
        "indices": explanation.indices.astype(index),
        "surprise": np.nan_to_num(steps, nan=UNPREDICTED).astype("<u2"),
        "likeliest": explanation.likeliest.T.astype(index),
        "probabilities": np.rint(explanation.probabilities.T * 0xFFFF).astype("<u2"),
        **{
            f"thing-{n}": found.track.astype(np.uint8)
            for n, found in enumerate(explained.tracked)
            if found.nameable.holds and found.best
        },
        **{f"unit-{n}": explanation.codes[:, column] for n, column in enumerate(columns)},
    }


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(gzip.compress(array.tobytes(), 6, mtime=0)).decode()


def _as_json(value: Any) -> Markup:
    """Return a value as JSON in which nothing can end the element that it stands in."""
    from markupsafe import Markup

    return Markup(json.dumps(value).replace("<", "\\u003c"))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _source(name: str) -> str:
    return (files("elman.report.explain_page") / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("elman.report.explain_page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
