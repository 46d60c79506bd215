"""Generating text with a trained model, and scoring text."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.engine import get_engine
from elman.errors import ElmanError
from elman.model import Model, generate
from elman.model.generate import cut_at_stop
from elman.text import Corpus
from support import reference_impl
from support import tolerances as tolerances
from support.state import TEXT, T
from support.training import train


@pytest.fixture(scope="module", params=["numba", "numpy"])
def model(request: pytest.FixtureRequest) -> Model:
    options: dict[str, Any] = {"hidden_size": 6, "seq_length": T, "dtype": "float64", "engine": "numpy"}
    trained = train(Corpus.from_text(TEXT), **options, epochs=20).model
    return replace(trained, engine=get_engine(request.param))


def probabilities(model: Model, read: str) -> reference_impl.Array:
    """Return the naive code's p of the character that follows `read`."""
    return reference_impl.forward(model.parameters, model.state.recurrent, model.alphabet.encode(read))[1][-1]


def test_a_seed_determines_the_text(model: Model) -> None:
    assert model.sample(100, seed=1) == model.sample(100, seed=1) != model.sample(100, seed=2)
    assert model.sample(100) != model.sample(100)
    assert len(set(model.samples(5, 100))) == 5


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 600])
def test_a_text_is_the_beginning_of_a_longer_one(model: Model, length: int) -> None:
    assert model.sample(length, seed=1) == model.sample(700, seed=1)[:length]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_text_does_not_depend_on_the_chunks(model: Model, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    expected = replace(model, engine=get_engine("numpy")).sample(300, prompt="the ", seed=1)
    monkeypatch.setattr(generate, "FIRST_CHUNK", chunk)
    monkeypatch.setattr(generate, "MAX_CHUNK", chunk)
    pieces = list(model.stream(300, prompt="the ", seed=1))
    assert "".join(pieces) == expected
    assert max(map(len, pieces)) == min(chunk, 300)


@pytest.mark.parametrize("prompt", ["t", "the rain", "I", TEXT * 4], ids=len)
def test_the_first_character_is_sampled_from_what_follows_the_prompt(model: Model, prompt: str) -> None:
    running = np.cumsum(probabilities(model, prompt))
    uniforms = [np.random.default_rng(n).random() for n in range(30)]
    expected = [model.alphabet.characters[np.searchsorted(running, uniform)] for uniform in uniforms]
    assert [model.sample(1, prompt=prompt, seed=n, temperature=1) for n in range(30)] == expected


def test_without_a_prompt_the_text_begins_a_line_or_follows_the_first_character(model: Model) -> None:
    assert model.sample(50, seed=1) == model.sample(50, prompt="\n", seed=1)
    other = train(Corpus.from_text("abcabcabc"), hidden_size=2, seq_length=3, epochs=1, engine="numpy").model
    assert other.sample(50, seed=1) == other.sample(50, prompt="a", seed=1)


def test_filters_leave_the_most_likely_characters(model: Model) -> None:
    drawn = {model.sample(1, prompt="t", seed=n, top_k=3) for n in range(100)}
    assert drawn == {model.alphabet.characters[index] for index in np.argsort(-probabilities(model, "t"))[:3]}
    assert model.sample(30, temperature=1e-9, seed=1) == model.sample(30, temperature=0)
    assert model.sample(50, top_k=2**53, seed=1) == model.sample(50, seed=1)


STOPS = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


@given(st.text("ab", max_size=40), STOPS, st.lists(st.integers(0, 40), max_size=6))
def test_a_text_ends_before_the_first_stop_in_any_chunks(text: str, stops: list[str], cuts: list[int]) -> None:
    """Before the first that is complete; of those that end together, before the longest."""
    ends = [0, *sorted(cuts), len(text)]
    found = "".join(cut_at_stop(tuple(stops), (text[begin:end] for begin, end in pairwise(ends))))
    for end in range(1, len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            assert found == text[: end - max(map(len, complete))]
            return
    assert found == text


@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=5))
def test_no_more_is_held_back_than_may_begin_the_stop(text: str, stop: str) -> None:
    given: list[str] = []

    def pieces() -> Iterator[str]:
        for character in text:
            given.append(character)
            yield character

    passed = ""
    for piece in cut_at_stop((stop,), pieces()):
        passed += piece
        held = "".join(given)[len(passed) :]
        assert len(held) < len(stop) or held == stop


def test_nothing_after_the_stop_is_sampled() -> None:
    def pieces() -> Iterator[str]:
        yield "ab."
        raise AssertionError("the stop was there already")

    assert list(cut_at_stop((".",), pieces())) == ["ab"]


def test_samples_end_before_their_stop(model: Model) -> None:
    whole = model.sample(600, seed=1)
    stop = whole[254:258]  # across two calls of the engine
    assert model.sample(600, stop=stop, seed=1) == whole.partition(stop)[0]
    assert model.sample(300, stop="ttttttttt", seed=1) == model.sample(300, seed=1)
    batch = model.samples(4, 100, seed=1)
    assert model.samples(4, 100, stop="e", seed=1) == [text.partition("e")[0] for text in batch]
    beam = "".join(model.beam(3, 40))
    assert "".join(model.beam(3, 40, stop=beam[20:22])) == beam.partition(beam[20:22])[0]


@pytest.mark.parametrize("options", [{}, {"prompt": "the ", "temperature": 0.7, "top_k": 9, "min_p": 0.1}], ids=str)
def test_texts_of_a_batch_are_those_sampled_alone(model: Model, options: Any) -> None:
    texts = model.samples(3, 150, seed=5, **options)
    assert texts == [model.sample(150, seed=5 + n, **options) for n in range(3)]
    assert texts[:1] == model.samples(1, 150, seed=5, **options)
    assert model.samples(2, 0) == ["", ""]


def test_a_beam_of_one_is_greedy(model: Model) -> None:
    pieces = list(model.beam(1, 80, prompt="the "))
    assert "".join(pieces) == model.sample(80, prompt="the ", temperature=0)
    assert all(len(piece) == 1 for piece in pieces[:-1])  # each is certain at once


def log_probability(model: Model, text: str) -> float:
    read = model.alphabet.encode("t" + text)
    return -float(reference_impl.loss(model.parameters, model.state.recurrent, read[:-1], read[1:]))


def test_a_beam_that_holds_everything_finds_the_most_likely_text(model: Model) -> None:
    characters = model.alphabet.characters
    texts = ["".join(text) for text in product(characters, repeat=2)]
    most_likely = max(texts, key=lambda text: log_probability(model, text))
    assert "".join(model.beam(len(texts), 2, prompt="t")) == most_likely


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.sample(4, stop=5), r"stop must be a string or a sequence of strings \(got 5\)"),
        (lambda model: model.samples(2, 4, stop=["a", 5]), "stop must be a string or a sequence"),
        (lambda model: model.beam(2, 4, stop=None), "stop must be a string or a sequence"),
        (lambda model: model.stream(4, stop=b"a"), "stop must be a string or a sequence"),
        (lambda model: model.samples(True, 4), r"count must be an integer \(got True\)"),
    ],
)
def test_odd_options_are_one_line(model: Model, call: Any, message: str) -> None:
    with pytest.raises(ElmanError, match=f"^{message}"):
        list(call(model))


def test_a_beam_wider_than_all_texts(model: Model) -> None:
    assert "".join(model.beam(1000, 1)) == model.sample(1, temperature=0)
    assert "".join(model.beam(1000, 0)) == ""
