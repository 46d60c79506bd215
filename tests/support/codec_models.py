"""Fixtures for the codec's tests: tiny untrained models, and inputs of every kind."""

import numpy as np

from elman.engine import get_engine
from elman.inference import Model
from elman.network import initial_parameters
from elman.network.parameters import architecture
from elman.text import Alphabet

ALPHABET = Alphabet("\nabcdefghij klmé")
K, M = len(ALPHABET.characters), 5
TEXT = "\nabe had a bad face, ok?\nhe filed a claim: kaﬀee é egg\r\n" * 3

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
) -> Model:
    """Return a model with random weights, biases and state."""
    generator = np.random.RandomState(seed)
    parameters = initial_parameters(len(alphabet), M, std, generator, np.float64, cell, layers)
    parameters = parameters.map(lambda array: array + 0.1 * generator.randn(*array.shape))
    h = np.tanh(generator.randn(architecture(parameters).state_size))
    rounded = parameters.map(lambda array: array.astype(dtype))
    return Model(alphabet, rounded, h.astype(dtype), get_engine("numpy"))
