"""Generating text with a trained model, and scoring text."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.engine import get_engine
from elman.errors import ElmanError
from elman.inference import Model, Score, generate
from elman.inference.generate import cut_at_stop
from elman.text import Alphabet, Corpus
from support import reference_impl
from support import tolerances as tolerances
from support.state import TEXT, T
from support.training import train


@pytest.fixture(scope="module", params=["numba", "numpy"])
def model(request: pytest.FixtureRequest) -> Model:
    """A small trained model in float64, on either engine."""
    options: dict[str, Any] = {"hidden_size": 6, "seq_length": T, "dtype": "float64", "engine": "numpy"}
    trained = train(Corpus.from_text(TEXT), **options, epochs=20).model
    return replace(trained, engine=get_engine(request.param))


def probabilities(model: Model, read: str) -> reference_impl.Array:
    """Return the naive code's p of the character that follows `read`."""
    return reference_impl.forward(model.parameters, model.h, model.alphabet.encode(read))[1][-1]


# --- Sampling ---


def test_the_same_seed_gives_the_same_text(model: Model) -> None:
    assert model.sample(100, seed=1) == model.sample(100, seed=1)


def test_another_seed_gives_another_text(model: Model) -> None:
    assert model.sample(100, seed=1) != model.sample(100, seed=2)


def test_without_a_seed_every_text_is_another(model: Model) -> None:
    assert model.sample(100) != model.sample(100)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 600])
def test_a_text_has_the_length_asked_for(model: Model, length: int) -> None:
    assert len(model.sample(length, seed=1)) == length


def test_a_shorter_text_is_the_beginning_of_a_longer_one(model: Model) -> None:
    assert model.sample(600, seed=1)[:300] == model.sample(300, seed=1)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_text_does_not_depend_on_how_it_is_cut(model: Model, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    expected = model.sample(300, prompt="the ", seed=1)
    monkeypatch.setattr(generate, "_FIRST_CHUNK", chunk)
    monkeypatch.setattr(generate, "_MAX_CHUNK", chunk)
    pieces = list(model.stream(300, prompt="the ", seed=1))
    assert "".join(pieces) == expected
    assert max(map(len, pieces)) == min(chunk, 300)


def test_both_engines_write_the_same_text(model: Model) -> None:
    texts = [replace(model, engine=get_engine(name)).sample(300, seed=1) for name in ("numba", "numpy")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("prompt", ["t", "the rain", "I", TEXT * 4], ids=len)
def test_the_first_character_is_sampled_from_what_follows_the_prompt(model: Model, prompt: str) -> None:
    running = np.cumsum(probabilities(model, prompt))
    uniforms = [np.random.default_rng(n).random() for n in range(30)]
    expected = [model.alphabet.characters[np.searchsorted(running, uniform)] for uniform in uniforms]
    assert [model.sample(1, prompt=prompt, seed=n) for n in range(30)] == expected


def test_the_text_depends_on_the_prompt(model: Model) -> None:
    assert len({model.sample(50, prompt=prompt, seed=1) for prompt in ("t", "n", "at", "it")}) == 4


def test_without_a_prompt_the_network_begins_a_line(model: Model) -> None:
    assert model.sample(50, seed=1) == model.sample(50, prompt="\n", seed=1)


def test_without_a_line_feed_it_begins_with_the_first_of_its_characters() -> None:
    model = train(Corpus.from_text("abcabcabc"), hidden_size=2, seq_length=3, epochs=1, engine="numpy").model
    assert model.sample(50, seed=1) == model.sample(50, prompt="a", seed=1)


def test_a_text_continues_where_its_own_beginning_is_the_prompt(model: Model) -> None:
    whole = model.sample(40, prompt="the ", temperature=0)
    assert model.sample(30, prompt="the " + whole[:10], temperature=0) == whole[10:]


def test_top_k_leaves_the_k_most_likely(model: Model) -> None:
    most_likely = np.argsort(-probabilities(model, "t"))[:3]
    drawn = {model.sample(1, prompt="t", top_k=3, seed=n) for n in range(100)}
    assert drawn == {model.alphabet.characters[index] for index in most_likely}


def test_top_p_leaves_the_most_likely_that_reach_it(model: Model) -> None:
    p = probabilities(model, "t")
    order = np.argsort(-p)
    nucleus = order[: 1 + int(np.argmax(np.cumsum(p[order]) >= 0.5))]
    drawn = {model.sample(1, prompt="t", top_p=0.5, seed=n) for n in range(100)}
    assert drawn == {model.alphabet.characters[index] for index in nucleus}


def test_a_low_temperature_takes_the_most_likely(model: Model) -> None:
    assert model.sample(30, temperature=1e-9, seed=1) == model.sample(30, temperature=0)


def test_writing_does_not_change_the_network(model: Model) -> None:
    before = model.h.copy()
    model.sample(50, prompt="the ")
    np.testing.assert_array_equal(model.h, before)


# --- Stop sequences ---


@settings(deadline=None)
@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=5), st.lists(st.integers(0, 30), max_size=6))
def test_a_text_ends_before_the_stop_however_it_is_cut(text: str, stop: str, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(text)]
    pieces = (text[begin:end] for begin, end in pairwise(ends))
    assert "".join(cut_at_stop((stop,), pieces)) == text.partition(stop)[0]


@settings(deadline=None)
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


def test_what_follows_the_stop_is_not_drawn() -> None:
    def pieces() -> Iterator[str]:
        yield "ab."
        raise AssertionError("the stop was there already")

    assert list(cut_at_stop((".",), pieces())) == ["ab"]


def test_a_sample_ends_before_its_stop(model: Model) -> None:
    whole = model.sample(600, seed=1)
    stop = whole[254:258]  # across two calls of the engine
    assert model.sample(600, stop=stop, seed=1) == whole.partition(stop)[0]


def test_a_stop_that_never_comes(model: Model) -> None:
    assert model.sample(300, stop="ttttttttt", seed=1) == model.sample(300, seed=1)


# --- Batches and beam search ---


@pytest.mark.parametrize("options", [{}, {"prompt": "the ", "temperature": 0.7, "top_k": 9, "min_p": 0.1}], ids=str)
def test_texts_of_a_batch_are_those_sampled_alone(model: Model, options: Any) -> None:
    texts = model.samples(3, 150, seed=5, **options)
    assert texts == [model.sample(150, seed=5 + n, **options) for n in range(3)]
    assert texts[:1] == model.samples(1, 150, seed=5, **options)


def test_several_texts_each_end_before_the_stop(model: Model) -> None:
    whole = model.samples(4, 100, seed=1)
    assert model.samples(4, 100, stop="e", seed=1) == [text.partition("e")[0] for text in whole]


def test_without_a_seed_all_texts_differ(model: Model) -> None:
    assert len(set(model.samples(5, 100))) == 5


def test_several_texts_of_no_length(model: Model) -> None:
    assert model.samples(2, 0) == ["", ""]


@pytest.mark.parametrize("count", [0, 10_001])
def test_too_few_or_too_many_texts(model: Model, count: int) -> None:
    with pytest.raises(ElmanError, match=rf"^count must be from 1 to 10,000 \(got {count}\)$"):
        model.samples(count, 1)


def test_more_characters_than_memory_may_hold(model: Model) -> None:
    with pytest.raises(
        ElmanError, match=r"^count times length must be at most 100,000,000 characters \(got 100,000,002\)"
    ):
        model.samples(2, 50_000_001)


def test_a_beam_of_one_is_greedy(model: Model) -> None:
    pieces = list(model.beam(1, 80, prompt="the "))
    assert "".join(pieces) == model.sample(80, prompt="the ", temperature=0)
    assert all(len(piece) == 1 for piece in pieces[:-1])  # each is certain at once


def log_probability(model: Model, text: str) -> float:
    """Return the log-probability of a text behind "t", by the naive code."""
    read = model.alphabet.encode("t" + text)
    return -float(reference_impl.loss(model.parameters, model.h, read[:-1], read[1:]))


def test_a_beam_that_holds_everything_finds_the_most_likely_text(model: Model) -> None:
    characters = model.alphabet.characters
    texts = ["".join(text) for text in product(characters, repeat=2)]
    most_likely = max(texts, key=lambda text: log_probability(model, text))
    assert "".join(model.beam(len(texts), 2, prompt="t")) == most_likely


def test_a_wider_beam_finds_a_text_that_is_no_less_likely(model: Model) -> None:
    found = [log_probability(model, "".join(model.beam(width, 12, prompt="t"))) for width in (1, 30)]
    assert found[1] >= found[0]


def test_a_beam_ends_before_its_stop(model: Model) -> None:
    whole = "".join(model.beam(3, 40))
    assert "".join(model.beam(3, 40, stop=whole[20:22])) == whole.partition(whole[20:22])[0]


@pytest.mark.parametrize("width", [0, 1001])
def test_a_beam_of_a_width_out_of_range(model: Model, width: int) -> None:
    with pytest.raises(ElmanError, match=rf"^width must be from 1 to 1,000 \(got {width}\)$"):
        model.beam(width)


# --- Options out of range ---


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"length": -1}, "length must be at least 0 (got -1)"),
        ({"temperature": -0.1}, "temperature must be at least 0 and finite (got -0.1)"),
        ({"temperature": math.nan}, "temperature must be at least 0 and finite (got nan)"),
        ({"temperature": math.inf}, "temperature must be at least 0 and finite (got inf)"),
        ({"top_k": -1}, "top_k must be at least 0 (got -1)"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1 (got 0.0)"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1 (got 1.1)"),
        ({"top_p": math.nan}, "top_p must be above 0 and at most 1 (got nan)"),
        ({"min_p": -0.1}, "min_p must be from 0 to 1 (got -0.1)"),
        ({"min_p": 1.1}, "min_p must be from 0 to 1 (got 1.1)"),
        ({"seed": -1}, "seed must be at least 0 (got -1)"),
    ],
    ids=str,
)
def test_an_option_out_of_range(model: Model, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        model.stream(**options)  # at once, before anything is drawn


@pytest.mark.parametrize("top_k", [1000, 10**30])
def test_more_than_all_characters_are_all(model: Model, top_k: int) -> None:
    assert model.sample(50, top_k=top_k, seed=1) == model.sample(50, seed=1)


def test_a_prompt_of_another_alphabet(model: Model) -> None:
    with pytest.raises(ElmanError, match=r"^'Q' \(U\+0051\) is not among the model's 26 characters: "):
        model.sample(10, prompt="the Quick")


# --- Scoring ---


@pytest.mark.parametrize("text", ["it", "the rain", TEXT, TEXT * 5], ids=len)
def test_a_score_is_the_surprise_of_every_character_after_the_first(model: Model, text: str) -> None:
    read = model.alphabet.encode(text)
    expected = reference_impl.loss(model.parameters, model.h, read[:-1], read[1:])
    score = model.score(text)
    assert score.chars == len(text) - 1
    assert score.nats == pytest.approx(expected, rel=tolerances.COMPILED)


def test_the_figures_of_a_score() -> None:
    score = Score(chars=4, nats=8.0)
    assert score.nats_per_char == 2
    assert score.bits_per_char == 2 / math.log(2)
    assert score.perplexity == math.exp(2) == pytest.approx(2**score.bits_per_char)


def test_a_network_that_knows_nothing_hesitates_among_all(model: Model) -> None:
    nothing = model.parameters.map(np.zeros_like)
    score = replace(model, parameters=nothing).score(TEXT)
    assert score.perplexity == pytest.approx(26)
    assert score.bits_per_char == pytest.approx(math.log2(26))


def test_a_surprise_beyond_all_numbers() -> None:
    assert Score(chars=1, nats=1e6).perplexity == math.inf


@pytest.mark.parametrize(("text", "count"), [("", 0), ("t", 1)])
def test_a_text_that_holds_nothing_to_predict(model: Model, text: str, count: int) -> None:
    expected = f"a text needs at least 2 characters to be scored (got {count})"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        model.score(text)


def test_the_alphabet_of_a_model_is_its_texts(model: Model) -> None:
    assert model.alphabet == Alphabet.from_text(TEXT)
