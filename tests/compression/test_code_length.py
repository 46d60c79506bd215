"""The cross-entropy of a text under a model of the codec."""

import dataclasses
import math
from typing import get_args

import pytest

from elman.compression import blocks, compress, fingerprint
from elman.compression.code_length import score_code_length
from elman.compression.container import read_header
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference.score import Score
from elman.text import Alphabet
from support.codec_models import ALPHABET, TEXT, make_model
from support.small_blocks import small_blocks

KINDS = pytest.mark.parametrize("adapt", get_args(CodecAdapt))


@KINDS
def test_it_is_the_length_of_the_payload(adapt: CodecAdapt) -> None:
    model, text = make_model(order=3), TEXT * 5
    score = score_code_length(model, text, adapt)
    file = compress(model, text.encode(), adapt=adapt)
    payload = file[read_header(file)[1] :]
    assert score.chars == len(text)
    assert 0 <= 8 * len(payload) - score.nats / math.log(2) <= 64


def test_a_long_text_has_a_single_substream(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = make_model(order=3), TEXT * 5
    monkeypatch.setattr(blocks, "MAX_COUNTING_SUBSTREAMS", 7)
    expected = score_code_length(model, text, "mixture")
    with small_blocks():
        assert score_code_length(model, text, "mixture") == expected


def test_a_mixture_without_a_prior() -> None:
    assert (
        score_code_length(make_model(), TEXT * 5, "all").nats
        < score_code_length(make_model(), TEXT * 5, "weights").nats
    )


def test_characters_outside_the_alphabet_are_counted() -> None:
    assert score_code_length(make_model(), "a cab, 漢字", "mixture").unknown == 3
    assert score_code_length(make_model(), "a cab, 漢字", "mixture").chars == 9
    assert score_code_length(make_model(), "\udcff\ud800a", "mixture").unknown == 2


def test_an_unknown_symbol_leaves_no_character_unknown() -> None:
    model = make_model(alphabet=Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True))
    score = score_code_length(model, "a cab, 漢字", "mixture")
    assert (score.chars, score.unknown) == (9, 0)


def test_progress_is_a_fraction() -> None:
    fractions: list[float] = []
    score_code_length(make_model(), TEXT * 5, "weights", on_progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@KINDS
def test_the_model_does_not_change(adapt: CodecAdapt) -> None:
    model = make_model(order=3)
    before = fingerprint(model)
    first: Score = score_code_length(model, TEXT, adapt)
    assert score_code_length(model, TEXT, adapt) == first
    assert fingerprint(model) == before


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"^a text needs at least 2 characters to be scored \(got 1\)$"):
        score_code_length(make_model(), "a", "mixture")
    with pytest.raises(ElmanError, match=r"^adapt counts requires a model with an n-gram prior"):
        score_code_length(make_model(), "ab", "counts")
    model = make_model()
    of_lines = dataclasses.replace(model, parameters=dataclasses.replace(model.parameters, reset_at=0))
    error = r"^adapt mixture cannot be used with a model of independent lines: train without lines=True$"
    with pytest.raises(ElmanError, match=error):
        score_code_length(of_lines, "ab", "mixture")
