"""The n-gram model against counting by brute force, and the network with an n-gram prior."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.engine.protocol import training_folds
from elman.network import loss_and_gradients
from elman.network.cells import CELLS
from elman.network.output import logits
from elman.network.parameters import INITIAL_ALPHA, Architecture, Parameters
from elman.network.state import PriorValues, State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import MIN_PROB, TYPICAL_DISCOUNTS, NgramModel, ngram_counts, read, start_folds
from elman.ngram.table import CODES, NgramSpec, encode_counts
from elman.text import Windows
from support import reference_impl
from support import tolerances as tolerances
from support.networks import make_parameters, make_state, state_of, window_loss
from support.ngram_counting import count_text

K = 4
Codes = NDArray[np.uint8]
String = tuple[int, ...]

texts = st.lists(st.integers(0, K - 1), min_size=1, max_size=60)
orders = st.integers(1, 4)
min_counts = st.integers(1, 3)
feeds = st.sampled_from([None, 0])


def encode(text: list[int] | str) -> Codes:
    return np.array([ord(c) - ord("a") for c in text] if isinstance(text, str) else text, np.uint8)


def counted(
    text: list[int] | str, order: int, min_count: int = 1, folds: int = 0, reset_at: int | None = None
) -> NgramModel:
    return count_text(encode(text), NgramSpec(K, order, reset_at), folds, min_count)


def rounded(count: int) -> int:
    return int(CODES[encode_counts(count)])


def find_strings(text: list[int], order: int, reset_at: int | None) -> dict[String, list[int]]:
    """Return where each string of up to n + 1 characters begins; none goes on after `reset_at` but at its start."""
    found: dict[String, list[int]] = {}
    for start in range(len(text)):
        for end in range(start + 1, min(start + order + 1, len(text)) + 1):
            s = tuple(text[start:end])
            if reset_at not in s[1:-1]:
                found.setdefault(s, []).append(start)
    return found


class BruteForce:
    """Equations (1) to (3) by a search through the text, without the strings that begin in one fold."""

    def __init__(self, ngrams: NgramModel, text: list[int], fold: int | None = None) -> None:
        fold_of = ngrams.folds_at(np.arange(len(text))).tolist()
        feed, self.weights, self.rests = ngrams.reset_at, dict[String, int](), Counter[String]()
        for s, starts in find_strings(text, ngrams.context_length, feed).items():
            left = [i for i in starts if fold is None or fold_of[i] != fold]
            is_kept = len({i if feed is None else text[: i + 1].count(feed) for i in left}) >= ngrams.min_count
            is_raw = len(s) == ngrams.context_length + 1 or (len(s) > 1 and s[0] == feed)
            weight = len(left) if is_raw else len({text[i - 1] if i else None for i in left})
            if is_kept:
                self.weights[s] = rounded(weight)
            else:
                self.rests[s[:-1]] += weight
        self.rests = Counter({s: rest for s, rest in self.rests.items() if not s or s in self.weights})

    def distribution(self, ngrams: NgramModel, history: list[int]) -> tuple[NDArray[np.float64], int]:
        """Return q and the matched length, (4) to (7)."""
        q, matched = np.full(K, 1 / K), 0
        if ngrams.reset_at in history:
            history = history[len(history) - 1 - history[::-1].index(ngrams.reset_at) :]
        for o in range(min(ngrams.context_length, len(history)) + 1):
            context = tuple(history[len(history) - o :])
            w = np.array([self.weights.get((*context, k), 0) for k in range(K)])
            if not w.any():
                break
            D = np.append(0, ngrams.discounts[o])[np.minimum(w, 3)]
            first = np.maximum(w - D, 0) / (w.sum() + rounded(self.rests[context]))
            q, matched = first + (1 - first.sum()) * q, o
        return q, matched


def distributions(ngrams: NgramModel, history: list[int], x: list[int], left_out: list[int] | None = None) -> Any:
    """Return exp log q after each of x, read after `history`, and the matched lengths."""
    codes = np.array(([0] * ngrams.context_length + [k + 1 for k in history])[-ngrams.context_length :], np.int32)
    log_q, matched, _ = read(ngrams, codes, encode(x), None if left_out is None else np.array(left_out))
    return np.exp(log_q), matched


# --- Counts of a text ---


def test_a_small_text_by_hand() -> None:
    """In abab, a and b have two continuation counts each: a begins the text and follows b; b follows a only."""
    q, matched = distributions(counted("abab", order=2), [], encode("ab").tolist())
    D1, D2, _ = TYPICAL_DISCOUNTS
    q0 = np.array([2 - D2, 1 - D1, 0, 0]) / 3 + (D1 + D2) / 3 / 4
    q1 = np.array([0, 2 - D2, 0, 0]) / 2 + D2 / 2 * q0  # ab, which begins the text and follows b
    np.testing.assert_allclose(q[0], q1, tolerances.NAIVE)
    after_b = np.array([1 - D1, 0, 0, 0]) + D1 * q0
    np.testing.assert_allclose(q[1], np.array([1 - D1, 0, 0, 0]) + D1 * after_b, tolerances.NAIVE)
    assert matched.tolist() == [1, 2]


def test_of_lines_the_lines_are_counted() -> None:
    """Within a line a string may occur often: the model keeps what two lines have."""
    ngrams = counted("abbbbacbbacba", order=2, min_count=2, reset_at=0)
    strings = [name for name in ngram_counts(ngrams).nodes if name]
    assert (1, 1, 1) not in strings
    assert (2, 1) in strings


@settings(deadline=None)
@given(texts, texts, orders, min_counts, st.sampled_from([0, 2, 5]), feeds)
def test_distributions_are_those_of_brute_force(
    text: list[int], x: list[int], order: int, min_count: int, folds: int, reset_at: int | None
) -> None:
    ngrams = counted(text, order, min_count, folds, reset_at)
    for fold in range(ngrams.folds + 1):
        expected = BruteForce(ngrams, text, fold if fold < ngrams.folds else None)
        q, matched = distributions(ngrams, [], x, [fold] * len(x))
        for t in range(len(x)):
            q_t, order_t = expected.distribution(ngrams, x[: t + 1])
            np.testing.assert_allclose(q[t], np.maximum(q_t, MIN_PROB), atol=tolerances.PROBABILITY)
            assert matched[t] == order_t
            assert q_t.sum() == pytest.approx(1, abs=tolerances.PROBABILITY)


def test_discounts_are_those_of_chen_and_goodman() -> None:
    """Y = n1 / (n1 + 2 n2), D(k) = k - (k + 1) Y n(k + 1) / n(k); typical ones where there are too few strings."""
    histogram = np.array([[100, 50, 30, 20], [100, 50, 30, 19]])
    ngrams = NgramModel(counted("ab", 1).table, histogram)
    Y = 100 / 200
    expected = [1 - 2 * Y * 50 / 100, 2 - 3 * Y * 30 / 50, 3 - 4 * Y * 20 / 30]
    np.testing.assert_allclose(ngrams.discounts, [expected, TYPICAL_DISCOUNTS], tolerances.NAIVE)


def test_the_histogram_has_strings_that_are_not_kept_too() -> None:
    first, second = (counted("abcabdab", 2, min_count) for min_count in (1, 3))
    np.testing.assert_array_equal(first.histogram, second.histogram)
    assert first.histogram.tolist() == [[3, 0, 1, 0], [4, 0, 1, 0], [6, 0, 0, 0]]


def test_probabilities_are_bounded_from_below() -> None:
    ngrams = NgramModel(counted("a" * 30, order=1).table, np.tile([100, 1000, 1000, 1000], (2, 1)))
    log_q, _, _ = read(ngrams, np.zeros(1, np.int32), encode("a"))
    assert log_q.min() >= np.log(MIN_PROB)


def test_the_minimum_count_is_raised_until_the_table_is_small_enough() -> None:
    assert count_ngrams(encode("abc"), NgramSpec(K, 0)) is None  # no model at all
    text = np.random.default_rng(1).integers(0, K, 2000).astype(np.uint8)
    ngrams = count_ngrams(text, NgramSpec(K, 5), max_size=1000)
    assert ngrams is not None
    assert ngrams.min_count > 2
    assert ngrams.table.nbytes < 1500
    assert ngrams.describe().endswith(f"strings (those that occur at least {ngrams.min_count} times)")


def test_a_minimum_count_above_the_length_of_the_text() -> None:
    ngrams = count_ngrams(encode("abab"), NgramSpec(K, 2), min_count=2**53)
    assert ngrams is not None
    assert (ngrams.table.nodes, ngrams.min_count) == (1, 2**53)


# --- What is read ---


@given(texts, texts, st.data(), orders)
def test_a_text_in_parts_is_the_text_at_once(text: list[int], x: list[int], data: st.DataObject, order: int) -> None:
    ngrams, border = counted(text, order), data.draw(st.integers(0, len(x)))
    start = np.zeros(order, np.int32)
    log_q, matched, last = read(ngrams, start, encode(x))
    first, first_matched, middle = read(ngrams, start, encode(x[:border]))
    second, second_matched, end = read(ngrams, middle, encode(x[border:]))
    np.testing.assert_array_equal(np.concatenate([first, second]), log_q)
    np.testing.assert_array_equal(np.concatenate([first_matched, second_matched]), matched)
    np.testing.assert_array_equal(end, last)
    np.testing.assert_array_equal(last, ([0] * order + [k + 1 for k in x])[-order:])


def test_rows_of_a_batch_are_sequences_of_their_own() -> None:
    ngrams, x = counted("abcabcabdd", order=2), np.array([[0, 1], [1, 2], [2, 0]], np.uint8)
    histories = np.array([[0, 0], [1, 3]], np.int32)
    log_q, matched, last = read(ngrams, histories, x, dtype=np.float32)
    assert log_q.dtype == np.float32
    assert log_q.shape == (3, 2, K)
    for b in range(2):
        alone = read(ngrams, histories[b], x[:, b], dtype=np.float32)
        for array, of_row in zip((log_q[:, b], matched[:, b], last[b]), alone, strict=True):
            np.testing.assert_array_equal(array, of_row)


# --- Cross-fitting ---


@pytest.mark.parametrize(
    ("length", "folds", "usable"), [(99, 0, 0), (99, 1, 0), (23, 10, 0), (24, 10, 2), (999, 99, 83)]
)
def test_a_fold_has_many_times_the_order(length: int, folds: int, usable: int) -> None:
    ngrams = counted([0] * length, 2, folds=folds)
    assert ngrams.folds == usable
    assert set(ngrams.folds_at(np.arange(length)).tolist()) == set(range(max(usable, 1)))


def test_folds_are_contiguous_and_of_equal_length_and_those_of_lines_begin_at_lines() -> None:
    fold_of = counted([0] * 83, 2, folds=4).folds_at(np.arange(83))
    assert (np.diff(fold_of) >= 0).all()
    assert sorted(np.bincount(fold_of).tolist()) == [20, 21, 21, 21]
    text = encode("abcabbbca" * 9)
    starts = start_folds(text, 3, NgramSpec(K, 2, reset_at=0))
    assert len(starts) == 3
    assert (text[starts] == 0).all()


def test_the_fold_of_a_target_is_left_out() -> None:
    text = np.arange(60, dtype=np.uint8) % K
    parameters = Parameters(Architecture(K, M, context_length=2), {}, counted(text.tolist(), 2, folds=3))
    for batch_size in (1, 2):
        windows = Windows(text, 4, batch_size, cross_fit=True)
        folds = training_folds(parameters, windows, 4)
        assert folds is not None
        assert folds.shape == windows.at(4)[1].shape
        np.testing.assert_array_equal(text[windows.target_positions(4)], windows.at(4)[1])
        np.testing.assert_array_equal(folds, windows.target_positions(4) // 20)
    assert training_folds(parameters, Windows(text, 4), 4) is None


# --- Growing counts ---


@settings(deadline=None)
@given(texts, st.lists(st.integers(0, K - 1), max_size=5), texts, orders)
def test_what_is_read_is_counted(text: list[int], history: list[int], x: list[int], order: int) -> None:
    """A character that has been read adds 1 after each context that has been read, before the next is predicted."""
    base = counted(text, order, 2)
    grown, seen = BruteForce(base, text), set[String]()
    q, matched = distributions(base.continued(), history, x)
    for t in range(len(x)):
        known = [*history[len(history) - order :], *x[:t]] if len(history) > order else [*history, *x[:t]]
        for o in range(min(order, len(known)), -1, -1):
            s = (*known[len(known) - o :], x[t])
            if o == 0 or s[:-1] in seen:
                grown.weights[s] = grown.weights.get(s, 0) + 1
                seen.add(s)
        q_t, order_t = grown.distribution(base, [*known, x[t]])
        np.testing.assert_allclose(q[t], np.maximum(q_t, MIN_PROB), atol=tolerances.PROBABILITY)
        assert matched[t] == order_t
    assert ngram_counts(base).lookup((), 0) == ngram_counts(counted(text, order, 2)).lookup((), 0)


def test_a_continued_model_may_be_continued_and_frozen_counts_do_not_grow() -> None:
    first = counted("abab", 2).continued()
    distributions(first, [], encode("cd").tolist())
    first = first.frozen()
    second = first.continued()
    before = distributions(first, [], [0, 1, 2])
    distributions(second, [], encode("dddd").tolist())
    after = distributions(second.frozen(), [], [0, 1, 2])
    np.testing.assert_array_equal(distributions(first, [], [0, 1, 2])[0], before[0])
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(distributions(second.frozen(), [], [0, 1, 2])[0], after[0])


# --- The network with a prior ---

M, T, ORDER = 3, 6, 3
TEXT = np.random.default_rng(5).integers(0, K, 50).astype(np.uint8)
UNSEEN = np.random.default_rng(6).integers(0, K, 30).astype(np.uint8)
"""A text of which the first has some contexts and lacks others."""
cells = pytest.mark.parametrize("cell", CELLS)
layer_counts = pytest.mark.parametrize("layers", [1, 2])


def example(cell: str = "rnn", layers: int = 1, batch_size: int = 1, folds: int = 0) -> tuple[Parameters, State]:
    """Return parameters and an initial state, none of them zero."""
    generator = np.random.default_rng(1)
    ngrams = count_ngrams(TEXT, NgramSpec(K, ORDER), folds, min_count=1)
    parameters = make_parameters(K, M, 0.5, np.random.RandomState(1), np.float64, cell, layers, ngrams=ngrams)
    for array in parameters.values():
        array += 0.2 * generator.normal(size=array.shape)
    network = parameters.architecture
    recurrent = generator.normal(size=(batch_size, network.state_size)) / 2
    state = state_of(parameters, recurrent, generator.integers(1, K + 1, (batch_size, ORDER)))
    return parameters, state.select(0) if batch_size == 1 else state


def test_alpha_begins_as_one_number_for_every_matched_length() -> None:
    ngrams = count_ngrams(TEXT, NgramSpec(K, ORDER))
    with_prior, without = (
        make_parameters(K, M, 0.5, np.random.RandomState(1), np.float32, "gru", 2, ngrams=prior)
        for prior in (ngrams, None)
    )
    assert {name: array.shape for name, array in with_prior.items()} == Architecture(K, M, "gru", 2, ORDER).shapes()
    assert [*with_prior] == [*without, "alpha"]
    np.testing.assert_array_equal(with_prior["alpha"], np.full(ORDER + 1, INITIAL_ALPHA, np.float32))
    for name, array in without.items():
        np.testing.assert_array_equal(with_prior[name], array)


@cells
@layer_counts
@pytest.mark.parametrize(
    ("batch_size", "left_out"),
    [(1, None), (2, 1), *(pytest.param(*both, marks=pytest.mark.slow) for both in ((1, 1), (2, None)))],
)
def test_gradients_are_central_differences(cell: str, layers: int, batch_size: int, left_out: int | None) -> None:
    parameters, state = example(cell, layers, batch_size, folds=3)
    x, y = Windows(UNSEEN, T, batch_size).at(0)
    folds = None if left_out is None else np.full(x.shape, left_out)
    result = loss_and_gradients(parameters, state, x, y, folds=folds)
    for name, array in parameters.items():
        numeric = reference_impl.central_differences(
            lambda: loss_and_gradients(parameters, state, x, y, folds=folds).loss, array, tolerances.CENTRAL_STEP
        )
        np.testing.assert_allclose(
            result.gradients[name], numeric, tolerances.CENTRAL, tolerances.CENTRAL_ABSOLUTE, err_msg=name
        )
    assert np.count_nonzero(result.gradients["alpha"]) > 1


def test_the_prior_multiplies_the_distribution_of_the_network() -> None:
    """(1'): p is proportional to q^alpha e^(V h + c)."""
    parameters, state = example()
    prior = PriorValues(np.log([[0.5, 0.25, 0.125, 0.125]]), np.array([2]))
    h = state.recurrent[None, :M]
    ratio = np.exp(logits(parameters, h, prior) - logits(parameters, h))
    np.testing.assert_allclose(ratio, np.exp(prior.log_q) ** parameters["alpha"][2], tolerances.NAIVE)
    half = np.exp(logits(parameters, h, prior, 0.5) - logits(parameters, h))
    np.testing.assert_allclose(half, np.sqrt(ratio), tolerances.NAIVE)
    np.testing.assert_array_equal(logits(parameters, h, prior, 0.0), logits(parameters, h))


def test_without_alpha_the_loss_is_that_of_the_network_alone() -> None:
    parameters, state = example("lstm")
    parameters["alpha"][:] = 0
    x, y = Windows(TEXT, T).at(T)
    arrays = {name: array for name, array in parameters.items() if name != "alpha"}
    alone = Parameters(parameters.architecture._replace(context_length=0), arrays)
    loss, final = window_loss(alone, state_of(alone, state.recurrent), x, y)
    with_prior, also_final = window_loss(parameters, state, x, y)
    assert with_prior == loss
    np.testing.assert_array_equal(also_final.recurrent, final.recurrent)


def test_a_copy_of_a_state_has_the_same_counts() -> None:
    ngrams = count_ngrams(TEXT, NgramSpec(K, ORDER), 3)
    state = make_state(K, M, 0.5, 1, np.float32, ngrams=ngrams)
    other = copy.deepcopy(state)
    assert other.parameters.ngrams is ngrams
    assert other.parameters["alpha"] is not state.parameters["alpha"]
