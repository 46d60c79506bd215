"""The background n-gram model: counts of a text of the built-in model, of the training text, and of what is coded.

K  alphabet size      N  symbols of a file

A training text has few of the words of its language. The built-in model contains four million characters of English
prose and Python, as brotli contains a dictionary, and their counts predict words that a training text lacks. The model
has K + 1 symbols: a character that the alphabet lacks is the unknown character, if there is one, and else the escape.

Of a long text for a short file it counts only the end, `COUNTED` symbols for each symbol of the file, and rather the
training text than the other. The constants and the text are part of the file format.
"""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.inference.network_file import NGRAM_TEXT
from elman.network.ngram import NgramModel
from elman.storage.builtin import MODELS, unpack_builtin
from elman.storage.tensors import read_tensors
from elman.text import Alphabet

TEXT_MODEL = MODELS[0]
"""The built-in model that contains the text."""
ORDER, DISCOUNT = 7, 0.7
COUNTED = 64
MIN_COUNTED, MAX_TRAINING_TEXT = 1 << 14, 1 << 21
"""Symbols that are counted at least, if there are as many, and of the training text at most."""
MAX_KEPT = 1 << 20
"""Symbols counted up to which the counts are kept for the next file: those of a long text are large."""


class BackgroundText(NamedTuple):
    """A text as indices into its characters."""

    characters: str
    text: NDArray[np.uint8]


@functools.cache
def read_background_text() -> BackgroundText:
    """Return the text that the built-in model counts."""
    with unpack_builtin(TEXT_MODEL) as path:
        description, tensors = read_tensors(path)
    return BackgroundText(json.loads(description)["alphabet"], tensors[NGRAM_TEXT].astype(np.uint8))


def count_background(ngrams: NgramModel | None, alphabet: Alphabet, N: int) -> NgramModel:
    """Return the background model for a file of N symbols, given the n-gram model of the training text, if any."""
    training_text = np.zeros(0, np.uint8) if ngrams is None else ngrams.text
    background = read_background_text()
    room = max(MIN_COUNTED, COUNTED * N)
    of_training_text = min(len(training_text), room, MAX_TRAINING_TEXT)
    of_background = min(len(background.text), room - of_training_text)
    kept = {} if ngrams is None else ngrams.tables.setdefault("background", {})
    key = of_training_text, of_background
    model: NgramModel | None = kept.get(key)
    if model is None:
        parts = (
            _translate(background, alphabet)[len(background.text) - of_background :],
            training_text[len(training_text) - of_training_text :].astype(np.int32),
        )
        model = NgramModel(np.concatenate(parts).astype(np.uint32), len(alphabet) + 1, ORDER, DISCOUNT, folds=0)
        if sum(key) <= MAX_KEPT:
            kept.clear()
            kept[key] = model
    return model


def _translate(background: BackgroundText, alphabet: Alphabet) -> NDArray[np.int32]:
    """Return the text as symbols of an alphabet."""
    characters = alphabet.characters
    other = len(characters) - 1 if alphabet.has_unknown else len(characters)
    known = {c: k for k, c in enumerate(characters[: len(characters) - alphabet.has_unknown])}
    symbols = np.array([known.get(c, other) for c in background.characters], np.int32)
    translated: NDArray[np.int32] = symbols[background.text]
    return translated
