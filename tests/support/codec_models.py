"""Fixtures for the codec's tests: tiny untrained models, and inputs of every kind."""

from dataclasses import replace

import numpy as np

from elman.engine import get_engine
from elman.model import Model
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Alphabet
from support.networks import make_parameters, state_of

ALPHABET = Alphabet("\nabcdefghij klmé")
K, M = len(ALPHABET.characters), 5
TEXT = "\nabe had a bad face, ok?\nhe filed a claim: kaﬀee é egg\r\n" * 3
COUNTED = "\nabe had a cab, he filed a claim\na bad egg had a leg\n"
"""The text that the n-gram prior counts."""

INPUTS = {
    "empty": b"",
    "one byte": b"a",
    "one strange byte": b"\xff",
    "text": TEXT.encode(),
    "line feeds": b"\n" * 300,
    "carriage returns": b"a line\r\n" * 40,
    "another script": "Привет, мир! Как дела? ".encode() * 10,
    "broken UTF-8": b"abc\xc3(\xe2\x82 \xed\xa0\x80 \xf0\x9f\x98\x80\x80\x80",
    "every byte": bytes(range(256)) * 2,
    "noise": np.random.default_rng(0).bytes(700),
    "long": (TEXT * 9).encode(),
}


def make_model(
    cell: str = "gru",
    layers: int = 1,
    *,
    alphabet: Alphabet = ALPHABET,
    std: float = 0.7,
    seed: int = 0,
    dtype: type[np.floating] = np.float32,
    order: int = 0,
    m: int = M,
    lines: bool = False,
) -> Model:
    """Return a model with random weights, biases and state, and with an n-gram prior unless `order` is 0."""
    generator = np.random.RandomState(seed)
    text = "".join(character for character in COUNTED if character in alphabet.characters)
    ngrams = count_ngrams(alphabet.encode(text), NgramSpec(len(alphabet), order, 0 if lines else None), 2)
    parameters = make_parameters(len(alphabet), m, std, generator, np.float64, cell, layers, ngrams=ngrams)
    parameters = parameters.map(lambda array: array + 0.1 * generator.randn(*array.shape))
    recurrent = np.tanh(generator.randn(parameters.architecture.state_size)).astype(dtype)
    rounded = parameters.map(lambda array: array.astype(dtype))
    if lines:
        rounded = replace(rounded, architecture=rounded.architecture.for_lines(alphabet))
    return Model(alphabet, rounded, state_of(rounded, recurrent), get_engine("numpy"))
