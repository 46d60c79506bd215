"""Models with random weights, for tests to which the quality of the model does not matter."""

import numpy as np

from elman.engine import get_engine
from elman.model import Model
from elman.network.parameters import Architecture, Parameters
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Alphabet
from support.networks import make_parameters, state_of


def overflowing_model() -> Model:
    model = random_model("ab\n")
    model.parameters["V"][:] = 3e38
    model.parameters["b"][:] = 9
    return model


def random_model(characters: str, cell: str = "rnn", layers: int = 1, m: int = 4, ngram_order: int = 0) -> Model:
    """Return a model in float32 whose alphabet is `characters`; an n-gram prior counts the alphabet, twice."""
    K, generator = len(characters), np.random.RandomState(1)
    ngrams = count_ngrams(np.resize(np.arange(K, dtype=np.uint8), 2 * K), NgramSpec(K, max(0, ngram_order - 1)))
    parameters = make_parameters(K, m, 1.0, generator, np.float32, cell, layers, ngrams=ngrams)
    return Model(Alphabet(characters), parameters, parameters.architecture.zero_state(np.float32), get_engine("numpy"))


def random_prior_model(
    text: str, cell: str = "rnn", layers: int = 1, order: int = 3, dtype: np.typing.DTypeLike = np.float32, m: int = 4
) -> Model:
    """Return a model with an n-gram prior: the counts of `text`, random weights and a random state."""
    alphabet, generator = Alphabet.from_text(text), np.random.RandomState(1)
    indices, K = alphabet.encode(text), len(alphabet)
    ngrams = count_ngrams(indices, NgramSpec(K, order))
    parameters = make_parameters(K, m, 0.7, generator, dtype, cell, layers, ngrams=ngrams)
    parameters["alpha"][:] = np.linspace(0.3, 0.9, order + 1)
    recurrent = np.tanh(generator.randn(parameters.architecture.state_size)).astype(dtype)
    return Model(alphabet, parameters, state_of(parameters, recurrent), get_engine("numpy"))


def normal_model(alphabet: str, cell: str, layers: int, dtype: str = "float32", m: int = 4, std: float = 0.5) -> Model:
    net, generator = Architecture(len(alphabet), m, cell, layers), np.random.default_rng(1)
    arrays = {name: (generator.normal(size=shape) * std).astype(dtype) for name, shape in net.shapes().items()}
    parameters, recurrent = Parameters(net, arrays), (generator.normal(size=net.state_size) * std).astype(dtype)
    return Model(Alphabet(alphabet), parameters, state_of(parameters, recurrent), get_engine("numpy"))
