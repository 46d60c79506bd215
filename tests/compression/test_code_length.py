"""The cross-entropy of a text under a mode of the codec."""

import dataclasses
import math

import pytest

import elman
from elman.compression.codec import score_code_length
from elman.compression.container import read_header
from elman.compression.modes import ModeName
from elman.errors import ElmanError
from elman.inference.fingerprint import fingerprint
from elman.text import Alphabet
from support.codec_models import ALPHABET, MODE_NAMES, TEXT, make_model
from support.small_blocks import small_blocks


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_it_is_the_length_of_the_payload_and_the_model_does_not_change(mode: ModeName) -> None:
    model, text, fractions = make_model(order=3), TEXT * 5, list[float]()
    before = fingerprint(model)
    score = score_code_length(model, text, mode, fractions.append)
    assert fingerprint(model) == before
    file = elman.compress(text, model, mode=mode)
    assert score.chars == len(text)
    assert abs(8 * len(file[read_header(file)[1] :]) - score.nats / math.log(2)) <= 64
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_a_long_text_has_a_single_substream() -> None:
    model, text = make_model(order=3), TEXT * 5
    expected = score_code_length(model, text, "mixture")
    with small_blocks():
        assert score_code_length(model, text, "mixture") == expected


def test_characters_outside_the_alphabet_are_counted() -> None:
    assert score_code_length(make_model(), "a cab, 漢字", "mixture").unknown == 3
    assert score_code_length(make_model(), "a cab, 漢字", "mixture").chars == 9
    assert score_code_length(make_model(), "\udcff\ud800a", "mixture").unknown == 2
    model = make_model(alphabet=Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True))
    score = score_code_length(model, "a cab, 漢字", "mixture")
    assert (score.chars, score.unknown) == (9, 0)


def test_what_cannot_be_scored_is_refused() -> None:
    model = make_model()
    with pytest.raises(ElmanError, match=r"^a text needs at least 2 characters to be scored \(got 1\)$"):
        model.score("a", adapt="mixture")
    of_lines = dataclasses.replace(model, parameters=dataclasses.replace(model.parameters, reset_at=0))
    with pytest.raises(ElmanError, match=r"^files cannot be compressed with a model of independent lines"):
        of_lines.score("ab", adapt="mixture")
