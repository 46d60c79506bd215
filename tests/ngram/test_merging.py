"""The sum of two n-gram models against sums of their dictionaries."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.ngram.counting import count_ngrams
from elman.ngram.merging import merge, overlap, translate
from elman.ngram.model import NgramModel, ngram_counts, read
from elman.ngram.table import CODES, NgramSpec, encode_counts
from support import tolerances as tolerances

K = 4
texts = st.lists(st.integers(0, K - 1), min_size=2, max_size=60)
ALL = 99
"""No fold."""


def counted(text: list[int], order: int = 2, folds: int = 0, min_count: int = 1) -> NgramModel:
    ngrams = count_ngrams(np.array(text, np.uint8), NgramSpec(K, order), folds, min_count)
    assert ngrams is not None
    return ngrams


def counts_of(ngrams: NgramModel, fold: int = ALL) -> dict[tuple[int, ...], tuple[Counter[int], int]]:
    counts = ngram_counts(ngrams)
    return {context: counts.lookup(context, fold) for context in counts.children}


def rounded(count: int) -> int:
    return int(CODES[encode_counts(count)])


@settings(deadline=None)
@given(texts, texts, st.sampled_from([0, 2]), st.integers(1, 2))
def test_weights_and_rests_are_added(first: list[int], second: list[int], folds: int, min_count: int) -> None:
    model, other = counted(first, min_count=min_count), counted(second, folds=folds, min_count=min_count)
    both = merge(model, other)
    assert both.pretrained is model
    np.testing.assert_array_equal(both.histogram, model.histogram + other.histogram)
    for fold in (*range(other.folds), ALL):
        of_model, of_other, of_both = counts_of(model), counts_of(other, fold), counts_of(both, fold)
        for context, (weights, rest) in of_both.items():
            (w1, r1), (w2, r2) = (of.get(context, (Counter[int](), 0)) for of in (of_model, of_other))
            assert weights == {k: rounded(w) for k, w in (w1 + w2).items()}
            assert rest == rounded(r1 + r2)
        x = np.array(second, np.uint8)
        log_q, _, _ = read(both, np.zeros(2, np.int32), x, np.full(len(x), min(fold, both.folds)))
        np.testing.assert_allclose(np.exp(log_q).sum(axis=1), 1, atol=1e-6)  # but for the smallest probability


@pytest.mark.parametrize(("order", "of_other"), [(1, 3), (3, 1)])
def test_another_order(order: int, of_other: int) -> None:
    """The longer strings are those of the one that has them."""
    text = np.random.default_rng(1).integers(0, K, 60).tolist()
    both = merge(counted(text, order), counted(text[::-1], of_other))
    assert both.context_length == of_other
    assert max(map(len, ngram_counts(both).nodes)) == of_other + 1


def test_a_model_in_another_alphabet() -> None:
    """The characters 0 and 1 are exchanged, 2 has no index, and 3 becomes 4."""
    model = counted(np.random.default_rng(1).integers(0, K, 80).tolist())
    index = np.array([1, 0, 9, 4])
    translated = translate(model, index, spec := NgramSpec(6, model.context_length, reset_at=5))
    assert (translated.table.spec, translated.pretrained) == (spec, None)
    before, after = counts_of(model), counts_of(translated)
    assert {tuple(index[list(c)]) for c in before if 2 not in c} == {*after}
    for context, (weights, rest) in before.items():
        if 2 not in context:
            expected = Counter({int(index[k]): w for k, w in weights.items() if k != 2}), rounded(rest + weights[2])
            assert after[tuple(index[list(context)])] == expected


def test_several_characters_become_one() -> None:
    """As those that an alphabet lacks become the unknown character."""
    model = counted([0, 1, 0, 2, 0, 3])
    translated = translate(model, np.array([0, 1, 1, 1]), NgramSpec(2, model.context_length))
    weights = counts_of(model)[0,][0]
    assert counts_of(translated)[0,][0] == {1: sum(weights.values())}


def test_texts_with_a_common_part() -> None:
    text = np.random.default_rng(1).integers(0, K, 300).tolist()
    first, part, other = counted(text, 5), counted(text[:100], 5), counted([0, 1, 2, 3] * 30, 5)
    assert overlap(first, first)
    assert overlap(first, part)
    assert overlap(part, first)
    assert not overlap(first, other)


@pytest.mark.parametrize(("before", "after"), [(n, m) for n in (1, 3, 5, 8) for m in (1, 3, 5, 8)])
def test_a_common_part_is_found_for_each_pair_of_orders(before: int, after: int) -> None:
    text = np.random.default_rng(1).integers(0, K, 300).tolist()
    old, new = counted(text, before), counted(text[20:], after)
    assert overlap(translate(old, np.arange(K), new.table.spec), new)
    other = counted(np.random.default_rng(2).integers(0, K, 300).tolist(), after)
    assert min(before, after) == 1 or not overlap(translate(old, np.arange(K), other.table.spec), other)
