"""The background n-gram model: counts of a text of the built-in model, of the training text, and of what is coded.

K  alphabet size      N  symbols of a file

A training text has few of the words of its language. The built-in model contains four million characters of English
prose and Python, as brotli contains a dictionary, and their counts predict words that a training text lacks. The model
has K + 1 symbols: a character that the alphabet lacks is the unknown character, if there is one, and else the escape.

For a short file it counts only the ends of long texts, `COUNTED_PER_SYMBOL` symbols for each symbol of the file: of the
training text up to `MAX_TRAINING_TEXT`, and of the other one what is left. The constants and the text are part of the
file format.
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
COUNTED_PER_SYMBOL = 64
MAX_TRAINING_TEXT = 1 << 21


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
    room = COUNTED_PER_SYMBOL * max(1, N)
    of_training_text = min(len(training_text), room, MAX_TRAINING_TEXT)
    of_background = min(len(background.text), room - of_training_text)
    end = BackgroundText(background.characters, background.text[len(background.text) - of_background :])
    text = (_translate(end, alphabet), training_text[len(training_text) - of_training_text :].astype(np.uint32))
    return NgramModel(np.concatenate(text), len(alphabet) + 1, ORDER, DISCOUNT, folds=0)


def _translate(background: BackgroundText, alphabet: Alphabet) -> NDArray[np.uint32]:
    """Return the text as symbols of an alphabet."""
    characters = alphabet.characters
    other = len(characters) - 1 if alphabet.has_unknown else len(characters)
    known = {c: k for k, c in enumerate(characters[: len(characters) - alphabet.has_unknown])}
    symbols = np.array([known.get(c, other) for c in background.characters], np.uint32)
    translated: NDArray[np.uint32] = symbols[background.text]
    return translated
