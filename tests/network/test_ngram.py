"""The n-gram model against counting by brute force, and the network with an n-gram prior."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.engine import TrainState
from elman.engine.protocol import training_folds
from elman.network import loss_and_gradients, model
from elman.network.cells import CELLS
from elman.network.ngram import MAX_ORDER, MIN_PROB, READ_COUNT, NgramModel, count_training_text, ngram_counts, read
from elman.network.output import Prior, logits
from elman.network.parameters import INITIAL_ALPHA, Array, Parameters, architecture, initial_parameters, shapes
from elman.text import Windows
from support import reference_impl
from support import tolerances as tolerances

K = 4
Codes = NDArray[np.uint8]
Position = tuple[tuple[int, ...], int]
"""A character of a text after all that precede it."""

texts = st.lists(st.integers(0, K - 1), min_size=1, max_size=40)
orders = st.integers(1, 5)
discounts = st.sampled_from([0.0, 0.3, 0.9, 0.999])
folds = st.sampled_from([0, 1, 2, 3, 10])


def encode(text: list[int] | str) -> Codes:
    return np.array([ord(c) - ord("a") for c in text] if isinstance(text, str) else text, np.uint8)


def counted(text: list[int] | str, order: int, discount: float = 0.5, folds: int = 0, **options: Any) -> NgramModel:
    ngrams = count_training_text(encode(text), K, order, discount, folds, **options)
    assert ngrams is not None
    return ngrams


def positions_of(text: list[int]) -> list[Position]:
    return [(tuple(text[:t]), y) for t, y in enumerate(text)]


def brute_force(
    positions: list[Position], history: list[int], order: int, discount: float
) -> tuple[NDArray[np.float64], int]:
    """Return q and the matched order, by a search through all counted positions for every context length."""
    q, matched = np.full(K, 1 / K), 0
    for o in range(min(order, len(history)) + 1):
        context = tuple(history[len(history) - o :])
        found = [y for before, y in positions if len(before) >= o and before[len(before) - o :] == context]
        if not found:
            break
        counts = np.bincount(found, minlength=K)
        q = (np.maximum(counts - discount, 0) + discount * np.count_nonzero(counts) * q) / counts.sum()
        matched = o
    return q, matched


def distributions(ngrams: NgramModel, history: list[int], x: list[int], left_out: list[int] | None = None) -> Any:
    """Return exp log q after each of x, read after `history`, and the matched orders."""
    codes = np.array(([0] * ngrams.order + [k + 1 for k in history])[-ngrams.order :], np.float64)
    log_q, matched, _ = read(ngrams, codes, encode(x), None if left_out is None else np.array(left_out))
    return np.exp(log_q), matched


def assert_counts(
    ngrams: NgramModel, positions: list[Position], history: list[int], x: list[int], fold: int | None = None
) -> None:
    """Assert that the distributions after each of x are those of counting `positions`."""
    q, matched = distributions(ngrams, history, x, None if fold is None else [fold] * len(x))
    for t in range(len(x)):
        expected, order = brute_force(positions, [*history, *x[: t + 1]], ngrams.order, ngrams.discount)
        np.testing.assert_allclose(q[t], np.maximum(expected, MIN_PROB), atol=tolerances.PROBABILITY)
        assert matched[t] == order


# --- Counts of a text ---


def test_a_small_text_by_hand() -> None:
    """In abab a is counted twice, and b after a twice, of which D is given up."""
    q, matched = distributions(counted("abab", order=2), [], encode("ab").tolist())
    # Order 0: N = 4, S = 2, so 0.5 * 2 / 4 / 4 of the uniform, and (2 - 0.5) / 4 of a and of b.
    q0 = np.array([0.4375, 0.4375, 0.0625, 0.0625])
    # After a: N = 2, S = 1.
    q1 = np.array([0, 0.75, 0, 0]) + 0.25 * q0
    np.testing.assert_allclose(q[0], q1, tolerances.NAIVE)
    # After b, N = 1 (the last b precedes nothing); after ab the same.
    after_b = np.array([0.5, 0, 0, 0]) + 0.5 * q0
    np.testing.assert_allclose(q[1], np.array([0.5, 0, 0, 0]) + 0.5 * after_b, tolerances.NAIVE)
    assert matched.tolist() == [1, 2]


def test_a_character_never_seen_alone() -> None:
    q, matched = distributions(counted("aaab", order=3), [], encode("cd").tolist())
    assert matched.tolist() == [0, 0]
    np.testing.assert_array_equal(q[0], q[1])


@given(texts, texts, orders, discounts)
def test_distributions_are_those_of_brute_force(text: list[int], x: list[int], order: int, discount: float) -> None:
    assert_counts(counted(text, order, discount), positions_of(text), [], x)


@given(texts, texts, orders, discounts, folds)
def test_distributions_sum_to_one(text: list[int], x: list[int], order: int, discount: float, folds: int) -> None:
    counts = ngram_counts(counted(text, order, discount, folds))
    for t in range(len(x) + 1):
        for fold in range(counts.model.folds + 1):
            q, matched = counts.distribution(encode(x[:t]), fold)
            assert q.min() >= 0
            assert q.sum() == pytest.approx(1, abs=tolerances.PROBABILITY)
            assert 0 <= matched <= min(order, t)


@pytest.mark.parametrize("order", [1, MAX_ORDER])
@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 60])
def test_the_shortest_and_longest_order(order: int, length: int) -> None:
    text = np.random.default_rng(length).integers(0, 2, length).tolist()
    ngrams = counted(text, order, 0.9)
    assert_counts(ngrams, positions_of(text), [], text)
    assert distributions(ngrams, [], text)[1].max() == min(order, length - 1)


def test_without_a_discount_the_longest_context_decides() -> None:
    q, matched = distributions(counted("abacab", order=3, discount=0.0), [], encode("aba").tolist())
    assert matched[-1] == 3
    np.testing.assert_allclose(q[-1], [MIN_PROB, MIN_PROB, 1, MIN_PROB], tolerances.NAIVE)


def test_near_a_discount_of_one_single_occurrences_count_for_nothing() -> None:
    text = encode("abcd").tolist()
    q, _ = distributions(counted(text, order=3, discount=0.999999), [], text)
    np.testing.assert_allclose(q, 1 / K, atol=1e-5)


def test_probabilities_are_bounded_from_below() -> None:
    log_q, _, _ = read(counted("a" * 30, order=1, discount=0.0), np.zeros(1), encode("a"))
    np.testing.assert_array_equal(log_q[0, 1:], np.log(MIN_PROB))


def test_order_zero_is_no_model() -> None:
    assert count_training_text(encode("abc"), K, 0, 0.9, 10) is None


# --- What is read ---


@given(texts, texts, st.data(), orders)
def test_a_text_in_parts_is_the_text_at_once(text: list[int], x: list[int], data: st.DataObject, order: int) -> None:
    ngrams, border = counted(text, order), data.draw(st.integers(0, len(x)))
    start = np.zeros(order)
    log_q, matched, last = read(ngrams, start, encode(x))
    first, first_matched, middle = read(ngrams, start, encode(x[:border]))
    second, second_matched, end = read(ngrams, middle, encode(x[border:]))
    np.testing.assert_array_equal(np.concatenate([first, second]), log_q)
    np.testing.assert_array_equal(np.concatenate([first_matched, second_matched]), matched)
    np.testing.assert_array_equal(end, last)
    np.testing.assert_array_equal(last, ([0] * order + [k + 1 for k in x])[-order:])


def test_rows_of_a_batch_are_sequences_of_their_own() -> None:
    ngrams, x = counted("abcabcabdd", order=2), np.array([[0, 1], [1, 2], [2, 0]], np.uint8)
    histories = np.array([[0, 0], [1, 3]], np.float32)
    log_q, matched, last = read(ngrams, histories, x, dtype=np.float32)
    assert log_q.dtype == np.float32
    assert log_q.shape == (3, 2, K)
    assert last.dtype == np.float32
    for b in range(2):
        alone = read(ngrams, histories[b], x[:, b], dtype=np.float32)
        for array, of_row in zip((log_q[:, b], matched[:, b], last[b]), alone, strict=True):
            np.testing.assert_array_equal(array, of_row)


# --- Cross-fitting ---


@given(texts, texts, orders, discounts, folds)
def test_a_fold_is_left_out(text: list[int], x: list[int], order: int, discount: float, folds: int) -> None:
    ngrams = counted(text, order, discount, folds)
    fold_of = ngrams.folds_at(np.arange(len(text)))
    for fold in range(ngrams.folds):
        rest = [position for position, f in zip(positions_of(text), fold_of, strict=True) if f != fold]
        assert_counts(ngrams, rest, [], x, fold)
    assert_counts(ngrams, positions_of(text), [], x)


def test_leaving_the_last_fold_out_is_counting_the_text_before_it() -> None:
    """Its contexts may begin in the fold before, but no character of that one is counted with it."""
    text = np.random.default_rng(1).integers(0, K, 40).tolist()
    whole, before = counted(text, 3, folds=4), counted(text[:30], 3)
    for array, expected in zip(
        distributions(whole, [], text, [3] * len(text)), distributions(before, [], text), strict=True
    ):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(("length", "folds", "usable"), [(9, 0, 0), (9, 1, 0), (9, 10, 0), (10, 10, 10), (9, 2, 2)])
def test_a_text_shorter_than_its_folds_is_not_divided(length: int, folds: int, usable: int) -> None:
    ngrams = counted([0] * length, 2, folds=folds)
    assert ngrams.folds == usable
    assert set(ngrams.folds_at(np.arange(length)).tolist()) == set(range(max(usable, 1)))


def test_folds_are_contiguous_and_of_equal_length() -> None:
    fold_of = counted([0] * 23, 2, folds=4).folds_at(np.arange(23))
    assert (np.diff(fold_of) >= 0).all()
    lengths = np.bincount(fold_of)
    assert len(lengths) == 4
    assert lengths.max() - lengths.min() <= 1


def test_the_fold_of_a_target_is_left_out() -> None:
    text = np.arange(30, dtype=np.uint8) % K
    parameters = Parameters("rnn", {}, counted(text.tolist(), 2, folds=3))
    for batch_size in (1, 2):
        windows = Windows(text, 4, batch_size, cross_fit=True)
        folds = training_folds(parameters, windows, 4)
        assert folds is not None
        assert folds.shape == windows.at(4)[1].shape
        np.testing.assert_array_equal(text[windows.target_positions(4)], windows.at(4)[1])
        np.testing.assert_array_equal(folds, windows.target_positions(4) // 10)
    assert training_folds(parameters, Windows(text, 4), 4) is None


# --- Long texts ---


@pytest.mark.parametrize("limit", [1, 7, 19, 20, 21])
@pytest.mark.parametrize("folds", [0, 3])
def test_only_the_last_characters_are_counted(limit: int, folds: int) -> None:
    text = np.random.default_rng(2).integers(0, K, 20).tolist()
    ngrams, last = counted(text, 3, folds=folds, limit=limit), text[-limit:]
    assert (ngrams.offset, ngrams.text.tolist()) == (max(0, 20 - limit), last)
    assert ngrams.text.base is None  # so that the rest of the text may be freed
    assert_counts(ngrams, positions_of(last), [], text)
    fold_of = ngrams.folds_at(np.arange(20))
    assert (fold_of[: ngrams.offset] == ngrams.folds).all()
    np.testing.assert_array_equal(
        fold_of[ngrams.offset :], counted(last, 3, folds=folds).folds_at(np.arange(len(last)))
    )


def test_beyond_the_counted_text_nothing_is_left_out() -> None:
    ngrams = counted([0] * 20, 3, folds=4, limit=12)
    assert ngrams.folds_at(np.array([0, 7, 8, 19, 20, 1000])).tolist() == [4, 4, 0, 3, 4, 4]


# --- Growing counts ---


@given(texts, texts, texts, orders, discounts)
def test_what_is_read_is_counted(
    text: list[int], history: list[int], x: list[int], order: int, discount: float
) -> None:
    """A character that has been read is counted after the context that preceded it, before the next is predicted."""
    base = counted(text, order, discount)
    grown = base.continued()
    codes = np.array(([0] * order + [k + 1 for k in history])[-order:], np.float64)
    log_q, matched, _ = read(grown, codes, encode(x))
    known = history[-order:]
    for t in range(len(x)):
        added = [(tuple([*known, *x[:s]][-order:]), x[s]) for s in range(t + 1)]
        q, order_found = brute_force(positions_of(text) + added * READ_COUNT, [*known, *x[: t + 1]], order, discount)
        np.testing.assert_allclose(np.exp(log_q[t]), np.maximum(q, MIN_PROB), atol=tolerances.PROBABILITY)
        assert matched[t] == order_found
    assert_counts(base, positions_of(text), history, x)


@given(texts, texts, orders)
def test_counts_that_grow_are_those_of_the_text_and_twice_those_of_what_was_read(
    text: list[int], more: list[int], order: int
) -> None:
    grown = counted(text, order).continued()
    codes = np.array(([0] * order + [k + 1 for k in text])[-order:], np.float64)
    read(grown, codes, encode(more))
    whole = text + more
    new = positions_of(whole)[len(text) :]
    assert_counts(grown.frozen(), positions_of(text) + new * READ_COUNT, [], whole)


def test_frozen_counts_do_not_grow() -> None:
    grown = counted("abcd", 2).continued()
    before = distributions(grown.frozen(), [], [1, 1, 1])
    distributions(grown, [], encode("bbbb").tolist())
    after = distributions(grown.frozen(), [], [1, 1, 1])
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(distributions(grown.frozen(), [], [1, 1, 1])[0], after[0])


def test_a_continued_model_may_be_continued() -> None:
    first = counted("abab", 2).continued()
    distributions(first, [], encode("cd").tolist())
    first = first.frozen()
    second = first.continued()
    before = distributions(first, [], [0, 1, 2])
    distributions(second, [], encode("dddd").tolist())
    np.testing.assert_array_equal(distributions(first, [], [0, 1, 2])[0], before[0])
    added = [((), 2), ((2,), 3), ((), 3), ((3,), 3), ((3, 3), 3), ((3, 3, 3), 3)]
    assert_counts(second.frozen(), positions_of(encode("abab").tolist()) + added * READ_COUNT, [], [0, 1, 2, 3, 3])


# --- The network with a prior ---

M, T, ORDER = 3, 6, 3
TEXT = np.random.default_rng(5).integers(0, K, 50).astype(np.uint8)
UNSEEN = np.random.default_rng(6).integers(0, K, 30).astype(np.uint8)
"""A text of which the first has some contexts and lacks others."""
cells = pytest.mark.parametrize("cell", CELLS)
layer_counts = pytest.mark.parametrize("layers", [1, 2])


def example(cell: str = "rnn", layers: int = 1, batch_size: int = 1, folds: int = 0) -> tuple[Parameters, Array]:
    """Return parameters and an initial state, none of them zero."""
    generator = np.random.default_rng(1)
    ngrams = count_training_text(TEXT, K, ORDER, 0.6, folds)
    parameters = initial_parameters(K, M, 0.5, np.random.RandomState(1), np.float64, cell, layers, ngrams=ngrams)
    for array in parameters.values():
        array += 0.2 * generator.normal(size=array.shape)
    network = architecture(parameters)
    h0 = generator.normal(size=(batch_size, network.state_size)) / 2
    h0[:, network.recurrent_size :] = generator.integers(1, K + 1, (batch_size, ORDER))
    return parameters, h0[0] if batch_size == 1 else h0


def test_alpha_begins_as_one_number_for_every_matched_order() -> None:
    ngrams = count_training_text(TEXT, K, ORDER, 0.6, 0)
    with_prior, without = (
        initial_parameters(K, M, 0.5, np.random.RandomState(1), np.float32, "gru", 2, ngrams=prior)
        for prior in (ngrams, None)
    )
    assert {name: array.shape for name, array in with_prior.items()} == shapes(K, M, "gru", 2, ORDER)
    assert [*with_prior] == [*without, "alpha"]
    np.testing.assert_array_equal(with_prior["alpha"], np.full(ORDER + 1, INITIAL_ALPHA, np.float32))
    for name, array in without.items():
        np.testing.assert_array_equal(with_prior[name], array)


@cells
@layer_counts
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("left_out", [None, 1])
def test_every_gradient_is_that_of_central_differences(
    cell: str, layers: int, batch_size: int, left_out: int | None
) -> None:
    parameters, h0 = example(cell, layers, batch_size, folds=3)
    x, y = Windows(UNSEEN, T, batch_size).at(0)
    folds = None if left_out is None else np.full(x.shape, left_out)
    result = loss_and_gradients(parameters, h0, x, y, folds=folds)
    recurrent = architecture(parameters).recurrent_size
    for name, array in parameters.items():
        numeric = reference_impl.central_differences(
            lambda: loss_and_gradients(parameters, h0, x, y, folds=folds).loss, array, tolerances.CENTRAL_STEP
        )
        np.testing.assert_allclose(
            result.gradients[name], numeric, tolerances.CENTRAL, tolerances.CENTRAL_ABSOLUTE, err_msg=name
        )
    np.testing.assert_array_equal(result.dh0[..., recurrent:], 0)
    assert np.count_nonzero(result.gradients["alpha"]) > 1


def test_the_prior_multiplies_the_distribution_of_the_network() -> None:
    """(1'): p is proportional to q^alpha e^(V h + c)."""
    parameters, h0 = example()
    prior = Prior(np.log([[0.5, 0.25, 0.125, 0.125]]), np.array([2]))
    h = h0[None, :M]
    ratio = np.exp(logits(parameters, h, prior) - logits(parameters, h))
    np.testing.assert_allclose(ratio, np.exp(prior.log_q) ** parameters["alpha"][2], tolerances.NAIVE)
    half = np.exp(logits(parameters, h, prior, 0.5) - logits(parameters, h))
    np.testing.assert_allclose(half, np.sqrt(ratio), tolerances.NAIVE)
    np.testing.assert_array_equal(logits(parameters, h, prior, 0.0), logits(parameters, h))


def test_without_alpha_the_loss_is_that_of_the_network_alone() -> None:
    parameters, h0 = example("lstm")
    parameters["alpha"][:] = 0
    x, y = Windows(TEXT, T).at(T)
    alone = parameters.with_arrays({name: array for name, array in parameters.items() if name != "alpha"})
    loss, h = model.loss(alone.with_ngrams(None), h0[:-ORDER], x, y)
    assert model.loss(parameters, h0, x, y)[0] == loss
    np.testing.assert_array_equal(model.loss(parameters, h0, x, y)[1][:-ORDER], h)


@settings(max_examples=20)
@given(st.integers(1, 8))
def test_the_state_ends_with_the_last_characters(length: int) -> None:
    parameters, h0 = example("gru")
    _, h = model.logits(parameters, h0, TEXT[:length])
    np.testing.assert_array_equal(h[-ORDER:], [*h0[-ORDER:], *(TEXT[:length] + 1)][-ORDER:])


def test_a_copy_of_a_state_has_the_same_counts() -> None:
    ngrams = count_training_text(TEXT, K, ORDER, 0.6, 3)
    state = TrainState.initial(K, M, 0.5, 1, np.float32, ngrams=ngrams)
    other = copy.deepcopy(state)
    assert other.parameters.ngrams is ngrams
    assert other.parameters["alpha"] is not state.parameters["alpha"]
