"""The background model counts the end of two texts, and predicts words that the training text lacks."""

import numpy as np
import pytest

import elman
from elman.compression import decompress
from elman.compression.bitwise import background
from elman.compression.bitwise.background import count_background, read_background_text
from elman.compression.codec import compress_in_mode
from elman.compression.container import Mode
from elman.network.ngram import NgramModel
from elman.text import Alphabet
from support.codec_models import make_model

ALPHABET = Alphabet("\nabcdefghijklmnopqrstuvwxyz ")
K = len(ALPHABET)
ENGLISH = "in the evening they were sitting near the window of the old house\nand nobody thought of the children\n"
LENGTH = len(read_background_text().text)


def training(length: int) -> NgramModel:
    return NgramModel(ALPHABET.encode(("a bad egg had a leg\n" * (length // 20 + 1))[:length]), K, 3)


def test_its_text_is_the_one_that_the_built_in_model_counts() -> None:
    model = elman.load("builtin")
    assert model.parameters.ngrams is not None
    assert read_background_text().characters == model.alphabet.characters
    np.testing.assert_array_equal(read_background_text().text, model.parameters.ngrams.text)


@pytest.mark.parametrize(("has_unknown", "other"), [(False, K), (True, K - 1)])
def test_characters_that_the_alphabet_lacks_are_one_symbol(has_unknown: bool, other: int) -> None:
    alphabet = Alphabet(ALPHABET.characters, has_unknown=has_unknown)
    model = count_background(None, alphabet, 200)
    end = read_background_text().text[-len(model.text) :]
    expected = [
        alphabet.characters.find(c) if c in alphabet.characters[: K - has_unknown] else other
        for c in (read_background_text().characters[k] for k in end[:2000])
    ]
    assert model.K == K + 1
    assert other in expected
    assert model.text[:2000].tolist() == expected


@pytest.mark.parametrize(
    ("training_length", "N", "expected"),
    [
        (0, 0, (0, 64)),
        (50, 10, (50, 640 - 50)),
        (50, 1000, (50, 64_000 - 50)),
        (100_000, 1000, (64_000, 0)),
        (100, 1 << 40, (100, LENGTH)),
        (background.MAX_TRAINING_TEXT + 7, 1 << 40, (background.MAX_TRAINING_TEXT, LENGTH)),
    ],
)
def test_of_long_texts_a_short_file_counts_the_end(training_length: int, N: int, expected: tuple[int, int]) -> None:
    ngrams = training(training_length) if training_length else None
    model = count_background(ngrams, ALPHABET, N)
    of_training_text, of_background = expected
    assert len(model.text) == of_training_text + of_background
    if ngrams is not None:
        np.testing.assert_array_equal(model.text[of_background:], ngrams.text[-of_training_text:])


def test_english_words_cost_less_than_without() -> None:
    model, data = make_model(alphabet=ALPHABET, order=4), ENGLISH.encode()
    sizes = []
    for mode in (Mode.BITWISE_PARAGRAPHS, Mode.BITWISE_BACKGROUND):
        file = compress_in_mode(model, data, mode)
        assert decompress(model, file) == data
        sizes.append(len(file))
    assert sizes[1] < sizes[0]


def test_a_model_without_an_n_gram_prior_has_a_background_model() -> None:
    model, data = make_model(alphabet=ALPHABET), ENGLISH.encode()
    file = compress_in_mode(model, data, Mode.BITWISE_BACKGROUND)
    assert decompress(model, file) == data
    assert len(file) < len(compress_in_mode(model, data, Mode.BITWISE_PARAGRAPHS))
