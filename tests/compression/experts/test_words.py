"""The word model counts what the reference counts, as far as its slots have room."""

import numpy as np
import pytest

from elman.compression.experts import words
from elman.compression.experts.reference import ReferenceWordModel
from elman.compression.experts.words import CHARACTERS, WIDTH, build_word_model, text_words, word_characters
from elman.text import Alphabet
from support.codec_models import ALPHABET, K, make_model
from support.tolerances import FIXED_FUNCTIONS

R, START = 3, 0
IS_WORD = np.array([False, True, True, False, True])


def test_bonuses_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    text, rows = rng.integers(0, 5, 200), rng.integers(0, 5, (60, R))
    slots = np.zeros((1 << 14, WIDTH), np.int32)
    words.count_text(text.astype(np.int32), IS_WORD, slots)
    model = build_word_model(slots, IS_WORD, START, R)
    reference = ReferenceWordModel(text.tolist(), IS_WORD, START, R)
    q = np.full((R, 5), 0.2) + rng.normal(0, 0.03, (R, 5))
    for x in rows:
        words.set_bonuses(model, np.log(q).astype(np.float32))
        for r in range(R):
            seen = model.characters[r] >= 0
            bonuses = dict(zip(model.characters[r][seen].tolist(), model.bonuses[r][seen].tolist(), strict=True))
            assert bonuses == pytest.approx(reference.bonuses(r, q[r]), rel=4 * FIXED_FUNCTIONS)
            assert (model.confidences[r] > 0) == bool(bonuses)
        words.read_characters(model, x, np.ones(R, np.bool_))
        reference.read(x.tolist())
    assert len(reference.counts) > 50


def test_a_full_slot_replaces_its_rarest_character() -> None:
    slots = np.zeros((2, WIDTH), np.int32)
    for x in range(CHARACTERS):
        words.count(slots, 1, x, 10 - x)
    words.count(slots, 1, 100, 2)
    characters = slots[1, 2::2].tolist()
    assert characters == [*range(1, CHARACTERS), 101]


def test_a_new_context_replaces_the_rarer_of_two() -> None:
    slots = np.zeros((2, WIDTH), np.int32)
    for context, times in ((2, 5), (4, 3), (6, 1)):
        words.count(slots, context, 0, times)
    assert sorted(slots[:, 0].tolist()) == [2, 6]


def test_counts_are_halved_before_they_overflow() -> None:
    slots = np.zeros((2, WIDTH), np.int32)
    words.count(slots, 1, 3, words.MAX_COUNT)
    words.count(slots, 1, 3, 1)
    assert slots[1, 1:4].tolist() == [words.MAX_COUNT // 2 + 1, 4, words.MAX_COUNT // 2 + 1]


def test_a_row_that_reads_nothing_keeps_its_context() -> None:
    model = build_word_model(np.zeros((1 << 14, WIDTH), np.int32), IS_WORD, START, 2)
    words.read_characters(model, np.array([1, 1]), np.ones(2, np.bool_))
    before = model.contexts.tolist()
    words.read_characters(model, np.array([2, 2]), np.array([True, False]))
    assert model.contexts[0] != before[0]
    assert model.contexts[1] == before[1]


def test_counting_changes_no_counts_of_the_training_text() -> None:
    ngrams = make_model(order=3).parameters.ngrams
    assert ngrams is not None
    slots = text_words(ngrams, ALPHABET)
    before = slots.copy()
    words.read_characters(
        build_word_model(slots, word_characters(ALPHABET), START, 1), np.array([1]), np.ones(1, np.bool_)
    )
    np.testing.assert_array_equal(text_words(ngrams, ALPHABET), before)
    assert not text_words(None, ALPHABET).any()


def test_words_are_letters_digits_and_what_is_beyond_ascii() -> None:
    alphabet = Alphabet("\n -.09AZ_azé")
    assert word_characters(alphabet).tolist() == [False] * 4 + [True] * 8
    assert word_characters(ALPHABET).sum() == K - 2
