"""Fine-tuning: weights, alphabet, settings, counts and records of a run that starts from a trained model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import TrainState
from elman.errors import ElmanError
from elman.model import Model
from elman.model.loading import fingerprint, load
from elman.ngram.counting import count_ngrams
from elman.ngram.model import ngram_counts
from elman.runs.directory import ModelOrigin, RunDirectory
from elman.text import Alphabet, Corpus
from elman.text.unknown import replace_rare
from elman.training.initialization import initial_state
from elman.training.loop import start_run
from elman.training.pretrained import PretrainedModel, match_characters
from elman.training.run import Run
from support.cli import Command
from support.state import T
from support.training import EXACT, Listens, StopsAt, assert_same, train

OLD = "a cat sat on a mat, and then a rat came. " * 12
NEW = "xylophones & cats: 'no rats', said Zoe! " * 12
PRIOR: dict[str, Any] = {"ngram_order": 3, "ngram_folds": 3}


@pytest.fixture(scope="module")
def source() -> Run:
    """A run with an n-gram prior and an average of the weights."""
    return train(Corpus.from_text(OLD), **EXACT, **PRIOR, max_updates=30, ema_decay=0.9, optimizer="adam")


def start(model: Run | Model, text: str = NEW, **options: Any) -> Run:
    settings = {name: value for name, value in (EXACT | PRIOR | options).items() if name != "preset"}
    return start_run(None, Corpus.from_text(text), "reference", settings, model)


def initial(run: Run) -> TrainState:
    """Return the state that the run would start with without a model."""
    return initial_state(run.data, run.optimizer)


def test_weights_follow_their_characters(source: Run) -> None:
    run = start(source)
    state, fresh, weights = run.state.parameters, initial(run).parameters, source.model.parameters
    assert source.state.average
    np.testing.assert_array_equal(state["W"], source.state.average["W"])  # which the model is used with
    np.testing.assert_array_equal(state["W"], weights["W"])
    np.testing.assert_array_equal(state["b"], weights["b"])
    old, new = source.corpus.alphabet.characters, run.corpus.alphabet.characters
    assert set(new) & set(old)
    assert set(new) - set(old)
    for n, character in enumerate(new):
        expected = (weights, old.index(character)) if character in old else (fresh, n)
        np.testing.assert_array_equal(state["U"][:, n], expected[0]["U"][:, expected[1]])
        np.testing.assert_array_equal(state["V"][n], expected[0]["V"][expected[1]])
        assert state["c"][n] == expected[0]["c"][expected[1]]


@pytest.mark.parametrize(("min_count", "added"), [(0, "xylp&:'iZ!"), (20, "'")])
def test_the_characters_of_the_model_are_kept(source: Run, min_count: int, added: str, tmp_path: Path) -> None:
    """Also those that are rare in the text; a run that is resumed has them again, and the next model, too."""
    old, listens = source.corpus.alphabet.characters, Listens()
    options: dict[str, Any] = EXACT | {"init_from": source, "max_updates": 3, "min_count": min_count}
    run = train(Corpus.from_text(NEW), **options, out=tmp_path, callback=listens)
    alphabet = run.corpus.alphabet
    assert alphabet.characters[: len(alphabet) - alphabet.has_unknown] == old + added
    assert listens.notices[1] == f"added to the characters of the model: {added!r}"
    text = "".join(c if c in old + added else alphabet.characters[-1] for c in NEW)
    assert run.corpus.text == text
    assert train(Corpus.from_text(NEW), out=tmp_path, resume=True, max_updates=5).corpus.alphabet == alphabet
    again = start(run, OLD)
    assert (again.corpus.alphabet, again.config.min_count) == (alphabet, int(alphabet.has_unknown))
    assert len(again.notices) == 1


def test_characters_that_a_text_has_lost_are_dropped(source: Run) -> None:
    options = EXACT | PRIOR | {"min_count": 20, "max_updates": 1}
    run = train(replace_rare(Corpus.from_text(NEW), 20), **options, init_from=source)
    changed = ("added to", "'"), ("dropped from", "cm,dhr.")
    assert run.notices[-1] == "; ".join(f"{verb} the characters of the model: {text!r}" for verb, text in changed)
    alphabet, ngrams = run.corpus.alphabet, run.state.parameters.ngrams
    assert ngrams is not None
    assert ngrams.pretrained is not None
    after_t = ngram_counts(ngrams.pretrained).lookup((alphabet.characters.index("t"),), 0)[0]
    assert after_t[len(alphabet) - 1] > 0  # "t," and "then" are counted as a "t" before an unknown character


def test_the_rest_of_the_state_is_that_of_a_new_run(source: Run) -> None:
    state = start(source, optimizer="adam", ema_decay=0.5).state
    assert (state.update, state.epoch, state.seconds) == (0, 0, 0.0)
    assert not state.hidden.recurrent.any()
    assert not any(array.any() for group in (state.M, state.N) for array in group.values())
    assert set(state.average) == set(state.parameters)
    for name, array in state.average.items():
        np.testing.assert_array_equal(array, state.parameters[name])


def test_unknown_symbols_are_matched_and_are_no_characters() -> None:
    with_unknown, without = Alphabet("ab?", has_unknown=True), Alphabet("?ba")
    assert [list(indices) for indices in match_characters(with_unknown, without)] == [[1, 0], [1, 2]]
    assert [list(indices) for indices in match_characters(with_unknown, Alphabet("c!", True))] == [[2], [1]]
    assert [list(indices) for indices in match_characters(Alphabet("ab"), Alphabet("cd"))] == [[], []]


def test_the_shape_of_the_model_and_what_cannot_be_started_from(source: Run) -> None:
    model, text = source.model, Corpus.from_text(NEW)
    lstm = train(text, **EXACT | {"hidden_size": 3}, cell="lstm", layers=2, max_updates=1).model
    run = elman.train(text, init_from=lstm, preset="reference", engine="numpy", max_updates=1)
    assert (run.config.cell, run.config.hidden_size, run.config.layers) == ("lstm", 3, 2)  # those of the model
    large = replace(model, parameters=model.parameters.map(lambda array: array * 1e300))
    with pytest.raises(ElmanError, match=r"hidden_size and layers with init_from \(model: 4, given: 5; "):
        start(source, hidden_size=5, layers=2)
    with pytest.raises(ElmanError, match="not finite in float32"):
        start(large, dtype="float32")


def test_the_prior_has_the_counts_of_the_model_too(source: Run) -> None:
    run = start(source)
    ngrams = run.state.parameters.ngrams
    assert ngrams is not None
    assert ngrams.pretrained is not None
    assert f"order 3: {ngrams.table.nodes - 1:,} strings (those that occur at least 2 times)" in repr(run)
    alphabet = run.corpus.alphabet
    strings = {alphabet.decode(name) for name in ngram_counts(ngrams).nodes}
    assert {"on ", "xyl", "at ", "cat", "ran"} - strings == {"ran"}  # of both texts, and of neither
    np.testing.assert_array_equal(run.state.parameters["alpha"], source.model.parameters["alpha"])


def test_the_counts_of_the_model_and_the_text_are_limited_in_size(source: Run) -> None:
    ngrams = start(source).state.parameters.ngrams
    assert ngrams is not None
    with pytest.raises(ElmanError, match=r"^ngram_max_size must be at least 1 for the counts of the model and of the"):
        start(source, ngram_max_size=0.9 * ngrams.table.nbytes / 1e6)


@pytest.mark.parametrize("text", [OLD, OLD + NEW, OLD[:200]], ids=["same", "grown", "part"])
def test_a_text_that_overlaps_is_counted_once(source: Run, text: str) -> None:
    ngrams = start(source, text).state.parameters.ngrams
    assert ngrams is not None
    assert ngrams.pretrained is None
    counted = count_ngrams(Corpus.from_text(text).indices, ngrams.table.spec)
    assert counted is not None
    assert ngrams.table.nodes == counted.table.nodes


@pytest.mark.parametrize(("order", "taken"), [(2, [0, 1]), (5, [0, 1, 2, 2, 2])])
def test_the_weights_of_a_prior_of_another_order(source: Run, order: int, taken: list[int]) -> None:
    alpha = start(source, ngram_order=order).state.parameters["alpha"]
    np.testing.assert_array_equal(alpha, source.model.parameters["alpha"][taken])


def test_a_prior_only_one_of_both_has(source: Run) -> None:
    plain = start(source, ngram_order=0)
    assert plain.state.parameters.ngrams is None
    parameters = start(plain, OLD).state.parameters
    assert parameters.ngrams is not None
    assert ([*parameters["alpha"]], parameters.ngrams.pretrained) == ([0.5, 0.5, 0.5], None)


def test_it_learns_resumes_bit_for_bit_and_keeps_its_origin(source: Run, tmp_path: Path) -> None:
    source.model.save(tmp_path / "model.safetensors")
    options: dict[str, Any] = EXACT | PRIOR | {"init_from": tmp_path / "model.safetensors", "max_updates": 30}
    whole = train(Corpus.from_text(NEW), **options)
    train(Corpus.from_text(NEW), **options, out=tmp_path / "run", callback=StopsAt(10))
    origin = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["init_from"]
    assert origin == {"path": str(tmp_path / "model.safetensors"), "sha256": fingerprint(source.model).hex()}
    resumed = train(Corpus.from_text(NEW), out=tmp_path / "run", resume=True)
    assert_same(resumed, whole)
    assert resumed.init_from == whole.init_from
    assert json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["init_from"] == origin
    assert whole.metrics[-1].loss < whole.metrics[0].loss


@pytest.mark.parametrize("order", [0, 2, 5])
@pytest.mark.parametrize("text", [OLD, NEW], ids=["same", "new"])
def test_a_prior_of_another_order_is_loaded_and_resumed(source: Run, order: int, text: str, tmp_path: Path) -> None:
    options = EXACT | PRIOR | {"ngram_order": order, "max_updates": 6, "init_from": source.model}
    run = train(Corpus.from_text(text), **options, out=tmp_path)
    assert load(tmp_path).sample(20, seed=1) == run.model.sample(20, seed=1)
    assert train(Corpus.from_text(text), out=tmp_path, resume=True, max_updates=8).state.update == 8


@pytest.mark.parametrize("has_prior", [True, False])
def test_the_start_of_the_prior_is_announced_only_if_it_is_to_come(source: Run, has_prior: bool) -> None:
    plain = train(Corpus.from_text(OLD), **EXACT, max_updates=1)
    model = source.model if has_prior else plain.model
    run = elman.train(Corpus.from_text(NEW), init_from=model, preset="quick", engine="numpy", max_updates=1)
    assert run.config.ngram_start == 1.0
    assert any("start of the n-gram prior" in notice for notice in run.notices) is not has_prior


def test_the_origin_of_a_run(source: Run, corpus: Corpus, tmp_path: Path) -> None:
    plain = train(corpus, **EXACT, max_updates=1, out=tmp_path / "plain")
    assert RunDirectory(tmp_path / "plain").manifest().init_from is None
    assert start(plain).init_from == ModelOrigin(str(tmp_path / "plain"), fingerprint(plain.model).hex())
    assert start(source).init_from == ModelOrigin(None, fingerprint(source.model).hex())  # from memory
    assert PretrainedModel.open("builtin").origin.path == "builtin"


def test_the_command(source: Run, tmp_path: Path, command: Command) -> None:
    source.model.save(tmp_path / "old.safetensors")
    (tmp_path / "new.txt").write_text(NEW, encoding="utf-8")
    options = ["--seq-length", T, "--max-updates", 3, "--quiet", "--preset", "reference", "--engine", "numpy"]
    options += ["--init-from"]
    ended = command("train", tmp_path / "new.txt", "-o", tmp_path / "run", *options, tmp_path / "old.safetensors")
    assert (ended.code, ended.err) == (0, "")
    assert elman.load(tmp_path / "run").parameters["W"].shape == (4, 4)
