"""Validation: what is evaluated and when, which network is selected, and early stopping."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.config import make_config
from elman.engine import get_engine
from elman.engine.protocol import Engine, Indices
from elman.errors import ElmanError
from elman.model.loading import load
from elman.model.score import Score, score
from elman.network import Parameters
from elman.network.parameters import Array
from elman.runs.checkpoint import load_checkpoint, load_network
from elman.runs.directory import RunDirectory
from elman.runs.plots import LossCurve
from elman.runs.texts import PIECES, TrainingData
from elman.text import Corpus
from elman.text.lines import shuffle_corpus
from elman.training import validation
from elman.training.run import Run
from elman.training.saved_runs import SavedRun
from support import reference_impl
from support import tolerances as tolerances
from support.state import TEXT, T, snapshot
from support.training import EXACT, StopsAt, assert_same, assert_saved, network, results_of, train

SHARE = 20 / len(TEXT)
PER_SHORTER_EPOCH = (len(TEXT) - 20 - 1) // T
OPTIONS: dict[str, Any] = EXACT | {"validation": SHARE, "validate_every": 3, "epochs": 100}


def scored(run: Run | SavedRun) -> dict[int, float]:
    return {row.update: row.validation_loss for row in run.metrics if row.validation_loss is not None}


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The validation losses that a run is told, one after the other; the last one from then on."""
    left: list[float] = []

    def score(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> Score:
        return Score(1, left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(validation, "score", score)
    return left


def test_the_validation_set_is_never_trained_on(corpus: Corpus) -> None:
    texts = (TEXT[:-20] + tail for tail in ("the rain and a storm", "rrrr nnnn tttt eeee "))
    one, other = (train(Corpus.from_text(text), **EXACT, validation=SHARE, epochs=2) for text in texts)
    assert snapshot(one.state) == snapshot(other.state)
    assert one.validation_loss != other.validation_loss


@pytest.mark.parametrize("option", [{}, {"ema_decay": 0.9}, {"batch_size": 2}], ids=str)
def test_the_validation_set_is_the_end_of_the_text(corpus: Corpus, option: dict[str, Any]) -> None:
    """It is read from a zero state, as by `elman eval`."""
    options = EXACT | option | {"validate_every": 100, "max_updates": PER_SHORTER_EPOCH // 2}
    run = train(corpus, **options, validation=SHARE)
    kept = corpus.indices[-20:]
    h0 = np.zeros(run.config.hidden_size)
    expected = reference_impl.loss(run.state.eval_parameters, h0, kept[:-1], kept[1:]) / 19
    assert run.validation_loss == pytest.approx(expected, rel=tolerances.NAIVE)
    assert run.results()["validation_loss"] == run.validation_loss


def test_when_the_validation_loss_is_computed(corpus: Corpus) -> None:
    run = train(corpus, **OPTIONS, max_updates=10)  # after every three updates, and at the end
    assert list(scored(run)) == [3, 6, 9, 10]
    assert [row.update for row in run.metrics] == [*range(1, 11)]
    run = train(corpus, **EXACT, validation=SHARE, epochs=2)  # ten times per run
    assert list(scored(run)) == [3, 6, 9, 12, 15, 18, 22]
    plain = snapshot(run.state)
    assert plain == snapshot(train(corpus, **EXACT, validation=SHARE, epochs=2, validate_every=7).state)
    run = train(corpus, **EXACT, validation=SHARE, epochs=20)  # once per epoch
    assert list(scored(run)) == [PER_SHORTER_EPOCH * epoch for epoch in range(1, 21)]


@pytest.mark.parametrize("chars", [5000, 5001, 100_000])
def test_validations_read_pieces_that_are_spread_evenly(chars: int) -> None:
    text = Corpus.from_text("".join(f"line {n:06}\n" for n in range(20_000)))
    config = make_config("reference", {"validation": 0.5, "validation_chars": chars})
    data = TrainingData(config, text)
    assert data.validation_set is not None
    assert data.validation_sample is not None
    assert len(data.validation_sample) == chars // PIECES * PIECES if chars > 50_000 else chars // 5 * 5
    read = [int(word) for word in re.findall(r"line (\d{6})", text.alphabet.decode(data.validation_sample))]
    assert len(set(read)) == len(read)
    gaps = np.diff([10_000, *read, 20_000])
    assert max(gaps) <= 10_000 / min(PIECES, chars // 1000) + 1
    starts = np.cumsum([0, *[chars // 5] * 4]) if chars < 50_000 else [0]
    assert all(text.alphabet.decode(data.validation_sample[n : n + 5]) == "line " for n in starts)
    whole = TrainingData(replace(config, validation_chars=len(data.validation_set)), text)
    assert whole.validation_sample is whole.validation_set


def test_validations_of_lines_read_lines_that_are_spread_evenly() -> None:
    text = Corpus.from_lines([f"line {n:06}" for n in range(1000)])
    config = make_config("reference", {"validation": 0.5, "validation_chars": 600, "lines": True})
    data = TrainingData(config, shuffle_corpus(text, 1))
    assert data.validation_set is not None
    assert data.validation_sample is not None
    held_out, read = (text.alphabet.decode(each) for each in (data.validation_set, data.validation_sample))
    assert (len(held_out), len(read)) == (6001, 601 - 12)
    lines = held_out[1:-1].split("\n")
    assert read == "\n".join(["", *(lines[n * 500 // 49] for n in range(49)), ""])


@pytest.mark.parametrize(("limit", "is_whole"), [(1, False), (0, True)])
def test_the_last_validation_reads_all_where_it_takes_little_time(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, is_whole: bool
) -> None:
    monkeypatch.setattr(validation, "CHARS_PER_VALIDATED", 10**6 * limit)
    run = train(corpus, **OPTIONS | {"validation_chars": 8, "max_updates": 10}, out=tmp_path)
    assert run.data.validation_sample is not None
    kept = [row.validation_loss for row in run.metrics if run.selected and row.update == run.selected.update]
    assert run.selected is not None
    whole = score(get_engine("numpy"), run.selected.parameters, run.model.state, corpus.indices[-20:]).nats_per_char
    assert run.validation_loss == pytest.approx(whole if is_whole else kept[-1])
    assert kept[-1] != pytest.approx(whole)
    chars = 20 if is_whole else 8
    assert (run.results()["validation_chars"], run.manifest.validation_chars) == (chars, chars)
    saved, again = elman.open_run(tmp_path), train(corpus, out=tmp_path, resume=True)
    assert saved.manifest["validation_chars"] == chars
    assert saved.validation_loss == run.validation_loss == again.validation_loss
    assert results_of(again) == results_of(run) | {"advice": again.advice}
    assert_saved(tmp_path, run)
    longer = train(corpus, out=tmp_path, resume=True, max_updates=20)
    assert_same(longer, train(corpus, **OPTIONS | {"validation_chars": 8, "max_updates": 20}))


def test_the_final_validation_is_in_the_last_row(corpus: Corpus, tmp_path: Path, scores: list[float]) -> None:
    scores += [3.0, 2.0, 2.5, 1.5]
    seen = list[float | None]()
    options = OPTIONS | {"max_updates": 10, "log": ["jsonl"], "out": tmp_path, "progress": False}
    run = train(corpus, **options, on_update=lambda run: seen.append(run.history.latest_validation_loss))
    expected = {3: 3.0, 6: 2.0, 9: 2.5, 10: 1.5}
    assert (run.validation_loss, run.results()["kept_update"], seen[-1]) == (1.5, 10, 1.5)
    saved = elman.open_run(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    for rows in (scored(run), scored(saved), {row["update"]: row["validation_loss"] for row in map(json.loads, lines)}):
        assert {update: loss for update, loss in rows.items() if loss is not None} == expected
    assert saved.validation_loss == 1.5
    assert LossCurve.of_directory(RunDirectory(tmp_path)).points("validation_loss") == (
        list(expected), [*expected.values()]
    )  # fmt: skip


def test_a_run_shorter_than_its_first_validation_has_one(corpus: Corpus) -> None:
    run = train(corpus, **OPTIONS | {"validate_every": 1000, "max_updates": 7})
    assert scored(run) == {7: run.validation_loss}
    interrupted = train(corpus, **OPTIONS | {"validate_every": 1000}, callback=StopsAt(4))
    assert scored(interrupted) == {}


PATIENT = OPTIONS | {"patience": 3, "learning_rate": 1.0}
"""With too large a step, so that the scores soon rise and patience ends the run."""


@pytest.mark.parametrize("update", [1, 6, 8])
@pytest.mark.parametrize("options", [EXACT | {"validation": SHARE, "max_updates": 23, "patience": 9}, PATIENT])
def test_a_resumed_run_validates_and_stops_where_one_that_was_not_stopped_does(
    corpus: Corpus, tmp_path: Path, update: int, options: dict[str, Any]
) -> None:
    expected = train(corpus, **options)
    assert expected.stopped == ("patience" if options is PATIENT else "max_updates")
    train(corpus, **options, out=tmp_path, callback=StopsAt(update))
    assert_same(train(corpus, out=tmp_path, resume=True), expected)
    assert_saved(tmp_path, expected)


def test_the_best_network_is_kept(corpus: Corpus, tmp_path: Path, scores: list[float]) -> None:
    scores += [3.0, 2.0, 2.0]
    at_the_best = train(corpus, **OPTIONS, max_updates=6)
    scores[:] = [3.0, 2.0, 2.5, 2.4]
    run = train(corpus, **OPTIONS, max_updates=10, out=tmp_path)
    assert run.selected is not None
    assert (run.selected.update, run.validation_loss) == (6, 2.0)
    assert (run.results()["validation_loss"], run.results()["kept_update"]) == (2.0, 6)
    for found in (run.model, load(tmp_path), load(tmp_path / "best.safetensors")):
        assert found.sample(50, seed=1) == at_the_best.model.sample(50, seed=1)
    assert load(tmp_path / "checkpoint.safetensors").sample(50, seed=1) != run.model.sample(50, seed=1)


def test_what_ended_a_shorter_run_is_not_in_a_longer_one(corpus: Corpus, tmp_path: Path, scores: list[float]) -> None:
    scores += [3.0, 1.0]  # the second is asked for at the end, update 4
    run = train(corpus, **OPTIONS, max_updates=4, out=tmp_path)
    assert run.selected is not None  # the finished network is kept where it is the best
    assert (run.selected.update, run.validation_loss) == (4, 1.0)
    assert network(load_network(tmp_path / "best.safetensors")) == network(run.selected)
    assert load(tmp_path / "checkpoint.safetensors").score(TEXT) == load(tmp_path).score(TEXT)
    scores[:] = [2.0, 2.5]
    run = train(corpus, out=tmp_path, resume=True, max_updates=8)
    assert run.selected is not None
    assert (run.selected.update, run.validation_loss) == (6, 2.0)
    assert_saved(tmp_path, run)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_never_the_best(corpus: Corpus, scores: list[float], bad: float) -> None:
    scores += [bad, 3.0, bad]
    run = train(corpus, **OPTIONS, max_updates=9)
    assert (run.validation_loss, run.results()["kept_update"]) == (3.0, 6)
    scores[:] = [bad]
    assert train(corpus, **OPTIONS, max_updates=9).validation_loss is None


def test_a_network_is_no_run_that_can_be_resumed(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, max_updates=9, out=tmp_path)
    with pytest.raises(ElmanError, match="contains only a network"):
        load_checkpoint(tmp_path / "best.safetensors")


def test_a_run_stops_when_its_patience_is_over(corpus: Corpus, scores: list[float]) -> None:
    scores += [3.0, 2.0, 2.5, 2.0, 1.0]  # as good as the best is no better
    run = train(corpus, **OPTIONS, patience=2)
    assert (run.state.update, run.stopped, run.interrupted) == (12, "patience", False)
    assert (run.validation_loss, run.results()["stopped"]) == (2.0, "patience")
    scores[:] = [float("nan")]  # counts from the start where no loss is finite
    assert train(corpus, **OPTIONS, patience=2).state.update == 6


def test_a_run_out_of_patience_continues_only_with_more(corpus: Corpus, tmp_path: Path, scores: list[float]) -> None:
    scores += [2.0]
    stopped = train(corpus, **OPTIONS, patience=2, out=tmp_path)
    assert (stopped.state.update, stopped.stopped) == (9, "patience")
    assert train(corpus, out=tmp_path, resume=True, max_updates=20).state.update == 9
    assert train(corpus, out=tmp_path, resume=True, patience=3, max_updates=20).state.update == 12
    assert train(corpus, out=tmp_path, resume=True, patience=0, max_updates=20).stopped == "max_updates"
