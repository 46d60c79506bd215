"""A network that has learned nothing, for tests that ask what becomes of characters, whatever is written."""

import numpy as np

from elman.engine import get_engine
from elman.inference import Model
from elman.network import architecture, initial_parameters
from elman.text import Alphabet


def astray() -> Model:
    """Return a network with numbers that are finite, and too large to compute with."""
    model = untrained("ab\n")
    model.parameters["V"][:] = 3e38
    model.parameters["b"][:] = 9
    return model


def untrained(characters: str, cell: str = "rnn", layers: int = 1, m: int = 4) -> Model:
    """Return a network in float32 whose alphabet is `characters`."""
    parameters = initial_parameters(len(characters), m, 1.0, np.random.RandomState(1), np.float32, cell, layers)
    h = np.zeros(architecture(parameters).state_size, np.float32)
    return Model(Alphabet(characters), parameters, h, get_engine("numpy"))
