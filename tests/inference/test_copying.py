"""How much of a text is copied, against a search for every run."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import elman
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.copying import RUN, Copying, measure_copying
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT


def slowly(text: str, source: str) -> tuple[int, float]:
    """Return the length of the longest common run and the copied share."""
    runs = [text[i : i + RUN] in source for i in range(len(text) - RUN + 1)]
    lengths = [n for n in range(len(text) + 1) if any(text[i : i + n] in source for i in range(len(text) - n + 1))]
    return max(lengths), sum(runs) / len(runs) if runs else 0.0


@settings(max_examples=50)
@given(
    st.text("ab漢", max_size=60), st.text("ab漢", max_size=60), st.integers(0, 60), st.sampled_from([3, 50, 1 << 20])
)
@example("", "", 0, 3)
@example("a" * 50, "a" * 23, 0, 3)
def test_it_finds_what_a_search_finds(text: str, source: str, copied: int, chunk: int) -> None:
    source += text[:copied]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elman.inference.copying.CHUNK", chunk)
        found = measure_copying(text, source)
    assert (len(found.longest_run), found.copied_share) == slowly(text, source)
    assert found.longest_run in text
    assert found.longest_run in source


def trained(ngram_order: int, out: Any = None) -> Model:
    return elman.train(
        Corpus.from_text(TEXT), preset="reference", hidden_size=4, seq_length=5, max_updates=3, engine="numpy",
        ngram_order=ngram_order, sample_every=0, out=out,
    ).model  # fmt: skip


def test_a_model_with_a_prior_contains_its_training_text() -> None:
    model, other = trained(3), "the rain in Spain"
    assert model.measure_copying(TEXT) == Copying(TEXT, 1.0)
    assert model.measure_copying(other) == measure_copying(other, TEXT)
    assert model.measure_copying(other, "Spain").longest_run == "Spain"


def test_a_model_without_one_needs_it() -> None:
    with pytest.raises(ElmanError, match=r"^measure_copying requires a model with an n-gram prior, .* with source$"):
        trained(0).measure_copying("the rain")
    assert trained(0).measure_copying("the rain", TEXT) == measure_copying("the rain", TEXT)


def test_sample_reports_it(tmp_path: Any, command: Command) -> None:
    plain, prior, file = tmp_path / "plain", tmp_path / "prior", tmp_path / "text.txt"
    trained(0, plain), trained(3, prior)
    file.write_text(TEXT, encoding="utf-8")
    arguments = ["--seed", 1, "--length", 90]
    text = elman.load(prior).sample(90, seed=1)
    found = measure_copying(text, TEXT)
    for option in (["--copied"], ["--copied-from", file]):
        ended = command("sample", prior, *arguments, *option)
        assert ended.out == text + "\n"
        assert ended.err == (
            f"copied: {found.copied_share:.1%} of the runs of 20 characters; the longest run has"
            f" {len(found.longest_run)} characters: {found.longest_run!r}\n"
        )
    assert command("sample", plain, *arguments, "--count", 2, "--copied-from", file).err.count("copied: ") == 2
    assert_refused(command("sample", plain, *arguments, "--copied"), "--copied requires a model with an n-gram prior")
