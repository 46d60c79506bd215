"""A long text read in segments costs what it costs read sequentially; the cost of unknown characters."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elman.engine import get_engine
from elman.errors import ElmanError
from elman.model import score as scoring
from elman.model.score import Score, score, score_windows
from elman.model.score_lines import score_lines
from elman.network import Parameters
from elman.network.cells import CELLS
from elman.network.output import softmax
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Alphabet, with_unknown
from elman.text.unknown import KNOWN_PENALTY_NATS, drop_unknown, unknown_nats
from support.networks import make_parameters, state_of, window_loss
from support.random_model import overflowing_model

K, M, N = 5, 6, 3_000
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


@pytest.fixture(autouse=True)
def _short_texts_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the small networks and texts of these tests read in segments."""
    sizes = {"MIN_SEGMENTED_CHARS": 500, "MIN_SEGMENTED_WEIGHTS": 0, "SEGMENTS": 7, "WARM_UP": 60}
    for name, value in {**sizes, "SLICE_LOSSES": 7 * 32}.items():
        monkeypatch.setattr(scoring, name, value)


def made(cell: str, std: float = 0.5, layers: int = 1) -> tuple[Parameters, State]:
    generator = np.random.RandomState(1)
    parameters = make_parameters(K, M, std, generator, np.float64, cell, layers)
    return parameters, state_of(parameters, np.tanh(generator.randn(parameters.architecture.state_size)))


def text(n: int = N) -> Any:
    return np.random.default_rng(2).integers(K, size=n, dtype=np.uint8)


def score_recorded(parameters: Parameters, start: State, indices: Any, engine: str = "numpy") -> list[tuple[int, ...]]:
    """Score a text, which must cost what it costs read at once; return the shapes of what was read."""
    used, shapes = get_engine(engine), list[tuple[int, ...]]()

    def open_session(parameters: Parameters) -> Any:
        session = used.session(parameters)

        def losses(state: State, x: Any, y: Any) -> Any:
            shapes.append(x.shape)
            return session.losses(state, x, y)

        return SimpleNamespace(losses=losses)

    recording: Any = SimpleNamespace(session=open_session)
    found = score(recording, parameters, start, indices)
    expected, _ = window_loss(parameters, start, indices[:-1], indices[1:])
    assert found.chars == len(indices) - 1
    assert found.nats == pytest.approx(expected, rel=1e-6)
    assert max(map(math.prod, shapes)) <= scoring.SLICE_LOSSES
    return shapes


def count_steps(shapes: list[tuple[int, ...]], rows: int) -> int:
    return sum(T for T, B in shapes if rows == B)


@ENGINES
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("n", [N - 3, N + 1])
def test_segments_cost_what_the_whole_text_costs(engine: str, cell: str, layers: int, n: int) -> None:
    shapes = score_recorded(*made(cell, 0.3, layers), text(n), engine)
    assert count_steps(shapes, 7) == 60 + (n - 1) // 7
    assert count_steps(shapes, 1) == (n - 1) % 7


def test_segments_are_read_again_after_too_short_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WARM_UP", 1)
    shapes = score_recorded(*made("lstm", 0.3), text())
    assert count_steps(shapes, 7) == 1 + 2 * ((N - 1) // 7)  # read twice, and no more


def test_a_network_that_never_forgets_reads_sequentially() -> None:
    parameters, start = made("lstm")
    parameters["b"][:] = np.repeat([50.0, 50.0, 0.1, 0.0], M)  # both gates open, so that the cell state is a sum
    assert count_steps(score_recorded(parameters, start, text()), 1) == N - 1


@pytest.mark.parametrize(("name", "value"), [("MIN_SEGMENTED_CHARS", 5_000), ("MIN_SEGMENTED_WEIGHTS", 40)])
def test_what_is_small_is_read_sequentially(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(scoring, name, value)
    shapes = score_recorded(*made("rnn"), text())
    assert (count_steps(shapes, 7), count_steps(shapes, 1)) == (0, N - 1)


def test_the_metrics_of_a_score() -> None:
    found = Score(chars=4, nats=8.0)
    assert (found.nats_per_char, found.bits_per_char) == (2, 2 / math.log(2))
    assert found.perplexity == math.exp(2) == pytest.approx(2**found.bits_per_char)
    assert Score(chars=1, nats=1e6).perplexity == math.inf
    assert type(found.perplexity) is float


# Unknown characters: indices of K and more


@ENGINES
def test_unknown_characters_are_skipped_at_a_fixed_cost(engine: str) -> None:
    (parameters, start), indices = made("gru"), text(40)
    expected = score(get_engine(engine), parameters, start, indices)
    found = score(get_engine(engine), parameters, start, np.insert(indices, [0, 9, 9, 40], [K, K, K + 3, K]))
    assert (found.chars, found.unknown) == (expected.chars + 4, 4)
    extra = 4 * (16 * math.log(2) + math.log(0x110000 - K))
    assert found.nats == pytest.approx(expected.nats + extra - 39 * math.log1p(-(2.0**-16)))


def test_unknown_characters_are_scored_and_all_probabilities_sum_to_one() -> None:
    parameters, start = made("rnn")
    found = score(get_engine("numpy"), parameters, start, np.full(3, K, np.uint8))
    assert found == Score(3, 3 * unknown_nats(K), 3)
    o, _ = get_engine("numpy").session(parameters).logits(start.reshape(1), np.array([[2]], np.uint8))
    known = softmax(o[0, 0]) * math.exp(-KNOWN_PENALTY_NATS)
    assert known.sum() + (0x110000 - K) * math.exp(-unknown_nats(K)) == pytest.approx(1)


@pytest.mark.parametrize(("alphabet", "read"), [(Alphabet("ab"), [0, 2, 1, 2]), (Alphabet("ab\ufffd"), [0, 3, 1, 2])])
def test_an_alphabet_with_unknown_characters_encodes_every_text(alphabet: Alphabet, read: list[int]) -> None:
    assert with_unknown(alphabet).encode("a漢b\ufffd").tolist() == read
    with_symbol = Alphabet("ab\ufffd", has_unknown=True)
    assert with_unknown(with_symbol) is with_symbol


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_an_output_that_is_not_finite_is_rejected() -> None:
    model = overflowing_model()
    calls: list[Callable[[], object]] = [
        lambda: model.score("abab\n" * 20),
        lambda: model.score("abab\n" * 20, adapt="weights"),
        lambda: model.step(model.step(model.start(), "a")[0], "b"),
        lambda: list(score_lines(model, ["ab\nba\n"])),
        lambda: list(score_lines(model, ["ab\nba\n"], carry_state=True)),
    ]
    for call in calls:
        with pytest.raises(ElmanError, match=r"^the output of this network is not finite"):
            call()


def windows_by_hand(parameters: Parameters, indices: Any, window: int) -> float:
    zeros = parameters.architecture.zero_state(np.float64)
    parts = [indices[start : start + window + 1] for start in range(0, len(indices) - 1, window)]
    return float(sum(window_loss(parameters, zeros, part[:-1], part[1:])[0] for part in parts))


@ENGINES
@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize(("n", "window"), [(400, 16), (401, 16), (2, 16), (50, 1), (300, 299), (300, 1000), (400, 33)])
def test_windows_begin_at_zeros(engine: str, order: int, n: int, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WINDOW_CHARS", 100)
    ngrams = count_ngrams(text(90), NgramSpec(K, order))
    parameters = make_parameters(K, M, 0.5, np.random.RandomState(1), np.float64, "gru", ngrams=ngrams)
    found = score_windows(get_engine(engine), parameters, text(n), window)
    assert found.chars == n - 1
    assert found.nats == pytest.approx(windows_by_hand(parameters, text(n), window), rel=1e-9)


def test_unknown_characters_cost_the_same_in_windows() -> None:
    parameters, _ = made("gru")
    indices = text(100)
    indices[[3, 40]] = K
    found = score_windows(get_engine("numpy"), parameters, indices, 16)
    known = windows_by_hand(parameters, drop_unknown(indices, K), 16)
    assert (found.chars, found.unknown) == (99, 2)
    assert found.nats == pytest.approx(known + 2 * unknown_nats(K) + 97 * KNOWN_PENALTY_NATS)
