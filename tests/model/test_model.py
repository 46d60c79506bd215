"""The public step of a model: what it predicts, its rows, what it refuses, and what a model shares between threads."""

import copy
import dataclasses
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import get_engine
from elman.engine.numba.kernels import Workspace
from elman.engine.numba.workspace import BatchedNetwork
from elman.model import Model
from elman.model.adaptation import ADAPTATIONS
from elman.model.loading import fingerprint
from elman.network.parameters import Array
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramModel
from elman.ngram.table import NgramSpec
from elman.text import Alphabet
from support.codec_models import ALPHABET, COUNTED, make_model
from support.random_model import random_prior_model
from support.state import TEXT
from support.tolerances import COMPILED, PROBABILITY


@pytest.fixture(scope="module", params=["numba", "numpy"])
def model(request: pytest.FixtureRequest) -> Model:
    made = random_prior_model(TEXT, "gru", dtype=np.float64)
    return replace(made, engine=get_engine(request.param))


def read(model: Model, text: str, n: int = 1) -> tuple[State, Array]:
    """Read a text in each of n rows; return the states, and log p after every character, (T, n, K)."""
    state, found = model.start(n), []
    for character in text:
        state, log_p = model.step(state, character * n)
        found.append(log_p)
    return state, np.array(found)


def test_steps_predict_what_the_score_says(model: Model) -> None:
    _, log_p = read(model, TEXT)
    y = model.alphabet.encode(TEXT)[1:]
    assert -log_p[np.arange(len(y)), 0, y].sum() == pytest.approx(model.score(TEXT).nats, rel=COMPILED)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, atol=PROBABILITY)
    found = model.next_char(TEXT)
    assert [*found.values()] == sorted(found.values(), reverse=True)
    p = np.exp(log_p[-1, 0])
    assert found == {c: pytest.approx(p[k]) for k, c in enumerate(model.alphabet.characters)}


def test_a_row_does_not_depend_on_the_others(model: Model) -> None:
    x = np.random.default_rng(1).integers(len(model.alphabet), size=(5, 1000))
    states = model.start(1000), model.start()
    for t in range(5):
        (many, log_p), (one, alone) = model.step(states[0], x[t]), model.step(states[1], x[t, 700:701])
        np.testing.assert_allclose(log_p[700], alone[0], rtol=COMPILED)
        np.testing.assert_array_equal(many.history[700], one.history[0])
        states = many, one


def test_few_networks_read_batches_of_many_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make_workspaces = [], BatchedNetwork._make_workspaces

    def make(self: BatchedNetwork) -> Workspace:
        made.append(self.B)
        return make_workspaces(self)

    monkeypatch.setattr(BatchedNetwork, "_make_workspaces", make)
    model = replace(random_prior_model(TEXT, "gru"), engine=get_engine("numba"))
    x = np.random.default_rng(1).integers(len(model.alphabet), size=(2, 119))
    one = [read_indices(model, x[:, n : n + 1]) for n in range(119)]
    for B in [*range(119, 1, -5), *range(1, 10)]:
        np.testing.assert_array_equal(read_indices(model, x[:, :B]), np.concatenate(one[:B]))
    assert len(made) == 6, "for 1, 2, 3, 4 to 7, 8 to 63, and more rows"


def read_indices(model: Model, x: NDArray[np.integer]) -> Array:
    state, _ = model.step(model.start(x.shape[1]), x[0])
    return model.step(state, x[1])[1]


def test_a_state_is_continued_in_several_ways(model: Model) -> None:
    state, _ = model.step(model.start(2), "tr")
    selected, log_p = model.step(state.select([1, 0, 1, 1]), "aha ")
    for row, text in enumerate(("ra", "th", "ra", "r ")):
        np.testing.assert_allclose(log_p[row], read(model, text)[1][-1, 0], rtol=COMPILED)
    _, again = model.step(state.select([1, 0, 1, 1]), model.alphabet.encode("aha "))  # nothing that was read changed it
    np.testing.assert_array_equal(again, log_p)

    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return model.alphabet.encode("aha ")

    np.testing.assert_array_equal(model.step(state.select([1, 0, 1, 1]), Tensor())[1], log_p)  # type: ignore[arg-type]
    assert len(selected.select(slice(1, 3))) == 2


def test_threads_step_through_one_model(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_slowly() -> Any:
        time.sleep(0.05)
        return Lock()

    texts, shared = [TEXT[n : n + 40] for n in range(8)], replace(model)
    with ThreadPoolExecutor(4) as pool:
        with monkeypatch.context() as slow:
            slow.setattr("elman.model.generate.Lock", make_slowly)
            steps = set(pool.map(lambda _: shared._steps, range(4)))
            assert len({id(each.session) for each in steps}) == len(steps)  # a session has one lock
        found = pool.map(lambda text: read(shared, text)[1], texts)
        for log_p, text in zip(found, texts, strict=True):
            np.testing.assert_array_equal(log_p, read(model, text)[1])


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_in_use_is_copied(model: Model, make_copy: Any) -> None:
    expected = read(model, TEXT)[1]
    for adapt in ADAPTATIONS:
        model.score(TEXT, adapt=adapt)
    model.samples(2, 5)
    copied = make_copy(model)
    np.testing.assert_array_equal(read(copied, TEXT)[1], expected)
    copied.parameters["c"][:] = 0
    np.testing.assert_array_equal(read(model, TEXT)[1], expected)


def with_ngrams(model: Model, ngrams: NgramModel | None) -> Model:
    return dataclasses.replace(model, parameters=dataclasses.replace(model.parameters, ngrams=ngrams))


def test_models_that_differ_have_different_ones() -> None:
    model = make_model(order=3)
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    text, K = ALPHABET.encode(COUNTED.replace(",", "")), len(ALPHABET)
    two, three = NgramSpec(K, 2), NgramSpec(K, 3)
    counted = [count_ngrams(text, two), count_ngrams(text, three, min_count=1), count_ngrams(text[::-1], three)]
    others = [
        make_model(order=3, seed=1),
        make_model("lstm", order=3),
        make_model(order=3, layers=2),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters[::-1])),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters, has_unknown=True)),
        with_ngrams(model, None),
        *(with_ngrams(model, other) for other in counted),
        with_ngrams(model, dataclasses.replace(ngrams, histogram=ngrams.histogram + 1)),
    ]
    assert len({fingerprint(other) for other in [model, *others]}) == len(others) + 1
    assert fingerprint(make_model(order=3)) == fingerprint(model)


def test_it_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    model = make_model(order=3)
    swapped = model.parameters.map(lambda array: array.astype(array.dtype.newbyteorder("S")))
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    arrays: dict[str, Any] = {
        name: array.astype(array.dtype.newbyteorder("S")) for name, array in ngrams.table.arrays().items()
    }
    ngrams = dataclasses.replace(ngrams, table=dataclasses.replace(ngrams.table, **arrays))
    other = with_ngrams(dataclasses.replace(model, parameters=swapped), ngrams)
    assert fingerprint(other) == fingerprint(model)
