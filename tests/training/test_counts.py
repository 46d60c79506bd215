"""The preset ``counts``: a run and a model of n-gram counts alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.network import SamplingParams
from elman.ngram.language_model import compute_losses
from elman.ngram.model import read
from elman.training.validation import Validation
from support.tolerances import COUNTS_SESSION, largest_relative_error
from support.training import Listens, contents

TEXT = "the cat sat on the mat, and the dog sat on the log. " * 60
LINES = ["anna", "hannah", "ann", "hanna", "joanna"] * 40


@pytest.fixture(scope="module")
def run() -> elman.Run:
    return elman.train(elman.Corpus.from_text(TEXT), preset="counts", sample_every=0)


@pytest.fixture(scope="module")
def of_lines() -> elman.Model:
    return elman.train(elman.Corpus.from_lines(LINES), preset="counts", lines=True).model


def test_its_distributions_are_those_of_the_counts(run: elman.Run) -> None:
    model = run.model
    ngrams, x = model.parameters.ngrams, model.encode(TEXT[:50])
    assert ngrams is not None
    log_q, _, _ = read(ngrams, np.zeros((1, ngrams.context_length), np.int32), x[:, None])
    state = model.start()
    for n in range(len(x)):
        state, log_p = model.step(state, x[n : n + 1])
        np.testing.assert_allclose(log_p[0], log_q[n, 0], atol=1e-5)
    assert (run.state.update, run.stopped, len(run.metrics)) == (0, "counts", 0)
    assert (
        run.validation_loss
        == run.counts_loss
        == pytest.approx(
            compute_losses(ngrams, run.data.validation_sample).mean()  # type: ignore[arg-type]
        )
    )


def test_a_file_in_which_the_counts_are_off(run: elman.Run, tmp_path: Path) -> None:
    snapshot = run.model.snapshot()
    arrays = {name: np.zeros_like(array) for name, array in snapshot.parameters.items()}
    off = replace(snapshot, parameters=snapshot.parameters.with_arrays(arrays))
    (tmp_path / "off.safetensors").write_bytes(off.serialize())
    model = elman.load(tmp_path / "off.safetensors")
    assert model.score("the cat").nats_per_char == pytest.approx(np.log(len(model.alphabet)))
    assert len(model.sample(5, seed=1)) == 5


@pytest.mark.parametrize("kind", ["text", "lines", "growing"])
def test_the_compiled_session_agrees_with_the_reference(run: elman.Run, of_lines: elman.Model, kind: str) -> None:
    model = of_lines if kind == "lines" else run.model
    reference, compiled = (get_engine(name).session(model.parameters) for name in ("numpy", "numba"))
    x = model.encode("anna\nhan\njoxnna" if kind == "lines" else TEXT[:40])
    x = x[x < len(model.alphabet)]
    start = model.state.count(model.parameters.ngrams) if kind == "growing" else model.state
    pairs = x[:-1, None].repeat(2, 1), x[1:, None].repeat(2, 1)
    results = []
    for session in (reference, compiled):
        losses, state = session.losses(start.tile(2), *pairs)
        o, states = session.logits(state, x[:5, None].repeat(2, 1))
        starts, lengths = np.array([0, 3, 1, 7]), np.array([4, 2, 4, 0])
        segments = session.segment_losses(model.state, x, starts, lengths)
        characters, end = session.generate(
            states.select(-1), x[:2].astype(np.intp), np.random.default_rng(1).random((20, 2)), [SamplingParams()] * 2
        )
        results.append((losses, state.history, o, states.history, *segments, characters, end.history))
    for expected, found in zip(*results, strict=True):
        assert not expected.any() or largest_relative_error(found, expected) < COUNTS_SESSION


@pytest.mark.parametrize("validation", [0.0, 0.1])
def test_a_finished_run_that_is_resumed_keeps_its_records(tmp_path: Path, validation: float) -> None:
    text = elman.Corpus.from_text(TEXT)
    elman.train(text, preset="counts", validation=validation, out=tmp_path)
    before = contents(tmp_path)
    assert elman.train(text, out=tmp_path, resume=True).was_finished
    assert contents(tmp_path) == before


def test_a_run_is_used_like_any_other(run: elman.Run, tmp_path: Path) -> None:
    run = elman.train(elman.Corpus.from_text(TEXT), preset="counts", out=tmp_path / "run")
    model = elman.load(tmp_path / "run")
    assert model.sample(30, seed=1) == run.model.sample(30, seed=1)
    assert model.score(TEXT).nats_per_char < 0.2
    for name in ("explain", "compress"):
        pytest.importorskip(f"elman.apps.{name}")
    assert elman.explain(TEXT[:100], model).probes == []
    packed = elman.compress(TEXT, model, mode="static")
    assert elman.decompress(packed, model) == TEXT.encode()
    for name in ("m.npz", "m.html"):
        elman.export(model, tmp_path / name)
    assert elman.import_(tmp_path / "m.npz").score(TEXT) == model.score(TEXT)
    assert elman.train(run.corpus, out=tmp_path / "run", resume=True).was_finished


def test_a_run_that_is_killed_before_its_validation_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, options = elman.Corpus.from_lines(LINES), {"preset": "counts", "lines": True}
    expected = elman.train(corpus, **options)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr(Validation, "finish", Mock(side_effect=KeyError))
        with pytest.raises(KeyError):
            elman.train(corpus, out=tmp_path, **options)  # type: ignore[arg-type]
    run = elman.train(corpus, out=tmp_path, resume=True)
    assert (run.was_finished, run.stopped, run.validation_loss) == (False, "counts", expected.validation_loss)
    np.testing.assert_array_equal(elman.load(tmp_path).score_quantiles, expected.score_quantiles)


def test_counts_and_network_are_an_ensemble(run: elman.Run) -> None:
    pytest.importorskip("elman.apps.ensemble")
    options = {"preset": "quick", "max_updates": 5, "validation": 0.1, "hidden_size": 8}
    network = elman.train(elman.Corpus.from_text(TEXT), ngram_order=12, **options)  # type: ignore[arg-type]
    counts = run.model
    both = elman.ensemble([counts, network.model], weights=[0.7, 0.3])
    assert both.parameters.architecture.m == 8
    logits = [model.engine.session(model.parameters).logits(model.start(), counts.encode(TEXT[:9])[:, None])[0]
              for model in (counts, network.model, both)]  # fmt: skip
    np.testing.assert_allclose(logits[2], 0.7 * logits[0] + 0.3 * logits[1], atol=1e-4)
    twice = elman.ensemble([counts, counts])
    assert twice.score(TEXT).nats == pytest.approx(counts.score(TEXT).nats)


def test_the_counts_of_another_text_are_added(run: elman.Run) -> None:
    other = elman.Corpus.from_text("the sun is on the sea. " * 60)
    alone = elman.train(other, preset="counts").model
    added = elman.train(other, preset="counts", init_from=run.model).model
    assert added.score("the cat sat on the mat").nats < alone.score("the cat sat on the mat").nats
    with pytest.raises(elman.ElmanError, match=r"^init_from is a model of counts: add preset='counts'$"):
        elman.train(other, init_from=run.model, max_updates=1)
    network = elman.train(other, preset="reference", hidden_size=3, ngram_order=2, max_updates=1).model
    with pytest.raises(elman.ElmanError, match=r"^init_from is a model with a network, which preset='counts' does not"):
        elman.train(other, preset="counts", init_from=network)


def test_scores_of_lines(of_lines: elman.Model) -> None:
    scores = of_lines.score_lines(["hanna", "xqzvk", "hanna"])
    assert scores[0] == scores[2] < scores[1]
    total, mean = (of_lines.score_lines(["hanna"], by=by)[0] for by in ("sum", "mean"))
    assert total == pytest.approx(6 * mean) == pytest.approx(of_lines.score("hanna").nats)


@pytest.mark.parametrize(
    ("lines", "by", "message"),
    [
        (["a"], "x", "by must be one of worst5+mean, worst5, mean, max, sum (got x)"),
        (["a"], ["mean"], "by must be a string (got ['mean'])"),
        ("anna", "mean", "lines must be a list, an array or a column of strings (got 'anna')"),
        (None, "mean", "lines must be a list, an array or a column of strings (got None)"),
        (["a", None], "mean", "line 2 of the batch must be a string (got None)"),
        ([b"a"], "mean", "line 1 of the batch must be a string (got b'a')"),
        (["a\n", "b\n\n"], "mean", "line 2 of the batch contains a line feed: split it"),
    ],
    ids=str,
)
def test_lines_that_cannot_be_scored(of_lines: elman.Model, lines: Any, by: Any, message: str) -> None:
    with pytest.raises(elman.ElmanError, match=f"^{re.escape(message)}$"):
        of_lines.score_lines(lines, by=by)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0, "ngram_order": 0}, "hidden_size=0 requires ngram_order, such as 12"),
        ({"hidden_size": -1}, "hidden_size must be at least 0 (got -1)"),
    ],
)
def test_invalid_settings(options: dict[str, int], message: str) -> None:
    with pytest.raises(elman.ElmanError, match=re.escape(message)):
        elman.Config(**options)  # type: ignore[arg-type]


def test_what_counts_cannot_do(run: elman.Run, tmp_path: Path) -> None:
    for adapt in ("weights", "both"):
        with pytest.raises(elman.ElmanError, match="requires a network, and this model is its counts"):
            run.model.score(TEXT, adapt=adapt)
    with pytest.raises(elman.ElmanError, match="a model of counts alone cannot be exported to torch; export to npz"):
        elman.export(run.model, tmp_path / "m.safetensors")
    pytest.importorskip("matplotlib")
    with pytest.raises(elman.ElmanError, match="no losses to plot: a run of counts alone has none"):
        run.plot()


def test_a_preset_with_a_recipe_and_no_hidden_units_counts() -> None:
    listens = Listens()
    run = elman.train(elman.Corpus.from_text(TEXT), hidden_size=0, max_seconds=1e-4, callback=listens)
    assert (run.stopped, run.state.update) == ("counts", 0)
    assert re.fullmatch(r"the command took .* s instead of 0\.0001 s", "".join(listens.warnings))


@pytest.mark.parametrize("options", [{"seq_length": 64}, {"batch_size": 50}])
def test_a_short_text_is_counted_whatever_its_windows(options: dict[str, Any]) -> None:
    text = elman.Corpus.from_text(TEXT[:300])
    counted = [elman.train(text, preset="counts", **each).model.parameters.ngrams for each in ({}, options)]
    assert counted[0] is not None
    assert counted[1] is not None
    assert counted[0].table.nodes == counted[1].table.nodes


def test_counts_of_different_orders_are_not_joined(run: elman.Run) -> None:
    pytest.importorskip("elman.apps.ensemble")
    other = elman.train(elman.Corpus.from_text(TEXT), preset="counts", ngram_order=5).model
    with pytest.raises(elman.ElmanError, match=r"the same ngram_order and ngram_min_count; of independent"):
        elman.ensemble([run.model, other])
