"""The training loop: the order of data and state, the metrics, the samples, and runs that are resumed bit for bit.

The network is tiny (m = 4, T = 5), and the text short enough that most runs go through it several times.
"""

import json
import math
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elman.engine import TrainState, get_engine
from elman.engine.numpy_engine import NumpyEngine
from elman.errors import ElmanError, NonFiniteLossError
from elman.model.loading import load
from elman.network import Optimizer
from elman.network.cells import CELLS
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import Array
from elman.runs.directory import RunDirectory
from elman.storage.tensors import read_tensors
from elman.text import Alphabet, Corpus, Windows
from elman.training import checkpoints, records
from elman.training.records import FINAL_LENGTH, due_rows, generate_final_sample, next_row
from support import reference_impl
from support import tolerances as tolerances
from support.networks import make_state
from support.state import PER_EPOCH, TEXT, T, snapshot
from support.tensors import save_tensors
from support.tolerances import largest_relative_error
from support.training import EXACT, ROWS, SMALL, M, StopsAt, assert_same, assert_saved, contents, train

ENGINES = pytest.mark.parametrize("engine", ["numba", "numpy"])


def losses_of(corpus: Corpus, updates: int, engine: str = "numpy") -> list[float]:
    """Return the losses that the engine computes in one call."""
    state = make_state(len(corpus.alphabet), M, 0.1, 400, np.float64)
    losses = get_engine(engine).advance(state, Windows(corpus.indices, T), updates, Optimizer(0.1, 5.0))
    return [float(loss) for loss in losses]


def smoothed(losses: list[float]) -> list[float]:
    """Return S after every update, from its definition."""
    S = [losses[0]]
    for L in losses[1:]:
        S.append(0.999 * S[-1] + 0.001 * L)
    return S


# --- The order of data and state ---


@ENGINES
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_trajectory_is_that_of_the_naive_code(corpus: Corpus, epochs: int, engine: str) -> None:
    updates, tolerance = epochs * PER_EPOCH, tolerances.NAIVE if engine == "numpy" else tolerances.COMPILED_TRAJECTORY
    expected = reference_impl.trajectory(corpus.indices, len(corpus.alphabet), M, T, 0.1, 5.0, 0.1, 400, updates)
    run = train(corpus, **EXACT | {"engine": engine, "epochs": epochs, "metrics_every": 1})
    assert (run.state.update, run.state.epoch) == (updates, epochs)
    assert [T * row.loss for row in run.metrics] == pytest.approx(expected.losses, rel=tolerance)
    assert largest_relative_error(run.state.hidden.recurrent, expected.h) <= tolerance
    for name in expected.parameters:
        assert largest_relative_error(run.state.parameters[name], expected.parameters[name]) <= tolerance, name
        assert largest_relative_error(run.state.M[name], expected.M[name]) <= tolerance, name


def test_the_settings_reach_the_update(corpus: Corpus) -> None:
    expected = reference_impl.trajectory(corpus.indices, len(corpus.alphabet), 3, 7, 0.05, 0.2, 0.3, 9, 10)
    options = {"hidden_size": 3, "seq_length": 7, "learning_rate": 0.05, "grad_clip": 0.2, "init_std": 0.3}
    run = train(corpus, **EXACT | options | {"seed": 9, "max_updates": 10, "metrics_every": 1})
    assert [7 * row.loss for row in run.metrics] == pytest.approx(expected.losses, rel=tolerances.NAIVE)


@pytest.mark.parametrize(
    "options",
    [{"sample_every": 0}, {"sample_every": 3}, {"sample_length": 1}, {"metrics_every": 1}, {"metrics_every": 1000}],
    ids=str,
)
def test_what_is_written_on_the_way_does_not_change_the_network(corpus: Corpus, options: dict[str, int]) -> None:
    one, other = (train(corpus, **SMALL | options, max_updates=50).state for options in ({}, options))
    names = ("parameters", "M", "hidden", "counters", "figures")
    assert [snapshot(one)[name] for name in names] == [snapshot(other)[name] for name in names]


@pytest.mark.parametrize(
    ("name", "value"),
    [("limits.TICK_SECONDS", 1e-12), ("limits.TICK_SECONDS", 1e12), ("checkpoints.CHECKPOINT_SECONDS", -1)],
)
def test_neither_the_calls_of_the_engine_nor_checkpoints_change_the_run(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: float
) -> None:
    expected = train(corpus, **SMALL, max_updates=50)
    monkeypatch.setattr(f"elman.training.{name}", value)
    assert_same(train(corpus, **SMALL, max_updates=50, out=tmp_path), expected)
    assert_saved(tmp_path, expected)


def test_a_seed_is_a_run(corpus: Corpus) -> None:
    one, other, again = (train(corpus, **EXACT, max_updates=3, seed=n) for n in (1, 2, 1))
    assert snapshot(one.state)["parameters"] != snapshot(other.state)["parameters"]
    assert one.samples[0].text != other.samples[0].text
    assert_same(again, one)


def test_the_rows_and_the_results_are_those_of_the_state(corpus: Corpus) -> None:
    # A large step makes the curve rise at first, so its minimum is not at the end.
    run = train(corpus, **EXACT | {"metrics_every": 1, "learning_rate": 2.0}, epochs=2)
    assert [row.epoch for row in run.metrics] == [round(n / PER_EPOCH, 4) for n in range(1, 2 * PER_EPOCH + 1)]
    curve = [row.smooth_loss for row in run.metrics]
    assert run.state.minimum_smooth_loss / T == min(curve) < curve[-1] == run.state.smooth_loss / T
    assert run.results().items() >= {
        "updates": 2 * PER_EPOCH, "epochs": 2, "smooth_loss": curve[-1], "validation_loss": None,
        "minimum_smooth_loss": min(curve), "minimum_at": 1 + curve.index(min(curve)),
    }.items()  # fmt: skip


def test_a_row_at_every_so_many_updates_and_once_at_the_last(corpus: Corpus) -> None:
    run, losses = train(corpus, **EXACT, max_updates=25), losses_of(corpus, 25)
    expected = [(n, losses[n - 1] / T, smoothed(losses)[n - 1] / T) for n in (*ROWS[:15], 25)]
    assert [(row.update, row.loss, row.smooth_loss) for row in run.metrics] == expected
    assert [row.update for row in train(corpus, **EXACT, max_updates=14).metrics] == ROWS[:11]


@pytest.mark.parametrize(("every", "after", "dense"), [(1000, 10_000, 54), (50, 1000, 48), (1, 40, 40)])
def test_rows_are_dense_at_first_and_then_at_multiples_of_the_interval(every: int, after: int, dense: int) -> None:
    updates = [*due_rows(after + 3 * every, every)]
    assert updates[:8] == [*range(1, 9)]
    assert sum(update <= after for update in updates) == dense
    assert set(range(every, after + 3 * every + 1, every)) <= set(updates)
    assert updates[dense:] == [after + n * every for n in (1, 2, 3)]
    assert all(next_row(update - 1, every) in updates for update in range(1, after))  # from anywhere
    assert all(later - update <= max(1, update / 4) for update, later in pairwise(updates))


def test_a_sample_before_the_first_update_and_after_every_so_many_and_at_the_end(corpus: Corpus) -> None:
    run = train(corpus, **EXACT | {"sample_every": 7}, max_updates=15)
    assert [sample.update for sample in run.samples] == [0, 7, 14, 15]
    assert {len(sample.text) for sample in run.samples[:3]} == {20}
    assert run.samples[3].text == generate_final_sample(run)
    assert [sample.smooth_loss for sample in run.samples] == [None, *(run.metrics[n].smooth_loss for n in (6, -2, -1))]
    assert len(train(corpus, **EXACT | {"sample_every": 7}, max_updates=14).samples) == 3
    assert len(train(corpus, **EXACT, callback=StopsAt(5)).samples) == 1
    assert train(corpus, **EXACT | {"sample_every": 0}, max_updates=5).samples == []


def test_a_sample_starts_with_the_next_character_of_the_text(corpus: Corpus) -> None:
    run = train(corpus, **EXACT | {"sample_every": 1}, max_updates=2 * PER_EPOCH)
    # After the last window of an epoch it is the character that follows the window.
    ends = [0] + [T * n for _ in range(2) for n in range(1, PER_EPOCH + 1)]
    assert [sample.text[0] for sample in run.samples] == [TEXT[end] for end in ends]


def test_the_final_sample_does_not_change_the_run(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FINAL_LENGTH", FINAL_LENGTH)
    run = train(corpus, **EXACT, max_updates=20)
    before = snapshot(run.state)
    assert (
        generate_final_sample(run)
        == generate_final_sample(run)
        != generate_final_sample(run, 1.0)
        == generate_final_sample(run, 1.0)
    )
    assert len(generate_final_sample(run)) == 1000
    assert snapshot(run.state) == before


# --- Stopping and resuming ---


@st.composite
def cut_runs(draw: st.DrawFn) -> tuple[int, int, int, dict[str, Any]]:
    """Return where a run is stopped, how far it continued until it was killed, where it ends, and its settings."""
    cut = draw(st.integers(1, 40))
    killed = draw(st.integers(cut, 50))
    choices: dict[str, list[Any]] = {
        "metrics_every": [1, 2, 5, 7, 12],
        "sample_every": [0, 1, 3, 10],
        "validation": [0.0, 0.25],
        "dtype": ["float32", "float64"],
        "cell": [*CELLS],
        "layers": [1, 2],
        "batch_size": [1, 3],
        "optimizer": [*OPTIMIZERS],
        "grad_clip_mode": ["value", "norm"],
        "weight_decay": [0.0, 0.01],
        "warmup": [0, 10],
        "ema_decay": [0.0, 0.9],
        "dropout": [0.0, 0.5],
        "dropout_kind": ["variational", "plain"],
        "weight_dropout": [0.0, 0.3],
        "init": ["normal", "orthogonal"],
        "ngram_order": [0, 3],
        "ngram_folds": [0, 4],
    }
    options = {name: draw(st.sampled_from(values)) for name, values in choices.items()} | {"learning_rate": 0.01}
    if options["validation"]:
        options |= {"validate_every": draw(st.sampled_from([2, 3])), "patience": draw(st.sampled_from([0, 2]))}
    return cut, killed, draw(st.integers(killed + 1, 60)), options


@settings(max_examples=15)
@example(case=(10, 10, 25, {"metrics_every": 7, "sample_every": 5}), torn=None)
@example(case=(PER_EPOCH, PER_EPOCH, 2 * PER_EPOCH, {}), torn=None)
@example(case=(1, 1, 2, {"validation": 0.25, "validate_every": 2, "ngram_order": 4}), torn=None)
@given(case=cut_runs(), torn=st.sampled_from([None, b"", b"9", b'{"update": 1, "text": "\xc3']))
def test_a_run_of_any_kind_that_is_stopped_or_killed_is_resumed_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[int, int, int, dict[str, Any]], torn: bytes | None
) -> None:
    cut, killed, end, given = case
    out, corpus = tmp_path_factory.mktemp("run"), Corpus.from_text(TEXT)
    options = SMALL | given | {"engine": "numpy", "epochs": 100}
    expected = train(corpus, **options, max_updates=end)
    train(corpus, **options, max_updates=cut, out=out)
    if torn is not None:
        left_behind(out, corpus, killed, torn)
    assert_same(train(corpus, out=out, resume=True, max_updates=end), expected)
    assert_saved(out, expected)


def test_a_prior_that_counts_another_text_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, ngram_order=4, max_updates=10, out=tmp_path)
    text, tensors = read_tensors(tmp_path / "checkpoint.safetensors")
    tensors["ngrams.strings"][0] ^= 1
    save_tensors(tmp_path / "checkpoint.safetensors", json.loads(text), tensors)
    with pytest.raises(ElmanError, match="the n-gram prior of the checkpoint was not counted on the training text"):
        train(corpus, out=tmp_path, resume=True)


def left_behind(out: Path, corpus: Corpus, killed: int, torn: bytes) -> None:
    """Leave what a run leaves that is killed after writing its records and before the checkpoint that covers them."""
    checkpoint = out / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    train(corpus, out=out, resume=True, max_updates=killed)
    checkpoint.write_bytes(before)
    for name in ("metrics.csv", "samples.jsonl"):
        with (out / name).open("ab") as file:
            file.write(torn)


ADAM = {"optimizer": "adam", "learning_rate": 0.01, "warmup": 5}
PRIOR = {"cell": "lstm", "ngram_order": 4}


@ENGINES
@pytest.mark.parametrize(
    ("options", "update"),
    [
        ({}, 1),
        ({}, 40),
        (ADAM | {"schedule": "cosine"}, 20),
        (ADAM | {"schedule": "step"}, 20),
        (PRIOR, 10),
        (PRIOR | {"batch_size": 3}, 10),
    ],
    ids=str,
)
def test_an_interrupted_run_is_saved_and_resumed_bit_for_bit(
    corpus: Corpus, tmp_path: Path, engine: str, options: dict[str, Any], update: int
) -> None:
    options = SMALL | options | {"engine": engine, "max_updates": 40, "epochs": 100}
    run = train(corpus, **options, out=tmp_path, callback=StopsAt(update))
    assert update <= run.state.update < update + SMALL["metrics_every"]
    assert_saved(tmp_path, run)
    expected = train(corpus, **options)
    assert_same(train(corpus, out=tmp_path, resume=True), expected)
    assert_saved(tmp_path, expected)


@pytest.mark.parametrize("option", [{"hidden_size": 5}, {"learning_rate": 0.2}, {"dtype": "float32"}], ids=str)
def test_other_settings_on_resume_are_rejected(corpus: Corpus, tmp_path: Path, option: dict[str, Any]) -> None:
    train(corpus, **EXACT, max_updates=5, out=tmp_path)
    before, (name, value) = contents(tmp_path), next(iter(option.items()))
    saved = ({"learning_rate": 0.1} | EXACT)[name]
    expected = f"cannot change {name} on resume (run: {saved}, given: {value}); remove it"
    with pytest.raises(ElmanError, match=re.escape(expected)):
        train(corpus, out=tmp_path, resume=True, **option)
    with pytest.raises(ElmanError, match=r"was trained on another text \(SHA-256 [0-9a-f]{12}…, but 'other' has"):
        train(Corpus.from_text(TEXT[::-1], "other"), out=tmp_path, resume=True)
    other = Alphabet(corpus.alphabet.characters[::-1])
    same_text = Corpus(corpus.name, other, other.encode(corpus.text), corpus.sha256, corpus.encoding)
    assert train(same_text, out=tmp_path, resume=True).corpus.alphabet == corpus.alphabet  # it is encoded anew
    assert contents(tmp_path) == before


def test_settings_and_limits_on_resume(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=5, out=tmp_path)
    assert train(corpus, **EXACT, max_updates=8, out=tmp_path, resume=True).state.update == 8
    with pytest.raises(ElmanError, match="did you mean max_updates"):
        train(corpus, out=tmp_path, resume=True, max_update=9)
    assert train(corpus, out=tmp_path, resume=True, epochs=2).state.epoch == 2  # lifts the other limits


def test_a_run_without_metrics_is_not_resumed(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=5, out=tmp_path)
    (tmp_path / "metrics.csv").unlink()
    with pytest.raises(ElmanError, match=r"^the run in '.*' has no metrics\.csv$"):
        train(corpus, out=tmp_path, resume=True)


@ENGINES
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_the_run(corpus: Corpus, engine: str) -> None:
    with pytest.raises(NonFiniteLossError):  # weights that are not finite write no text
        train(corpus, **SMALL | {"engine": engine, "sample_every": 1}, learning_rate=1e308)
    with pytest.raises(NonFiniteLossError) as raised:
        train(corpus, **SMALL | {"engine": engine}, learning_rate=1e308)
    expected = (
        r"the loss of update \d+ is not finite: "
        r"lower learning_rate \(now 1e\+308\), grad_clip \(now 5\.0\) or init_std \(now 0\.1\)"
    )
    assert re.fullmatch(expected, str(raised.value))


@pytest.mark.parametrize("saved_before", [False, True])
def test_the_last_good_checkpoint_is_kept(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_before: bool
) -> None:
    expected = train(corpus, **EXACT, max_updates=30)
    spoil_losses(monkeypatch, first_bad=26)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0 if saved_before else math.inf)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", math.inf)
    with pytest.raises(NonFiniteLossError, match=r"^the loss of update 26 .*; the last good checkpoint is kept: low"):
        train(corpus, **EXACT, max_updates=30, out=tmp_path)
    directory = RunDirectory(tmp_path)
    update = directory.load().state.update
    assert (update > 0) == saved_before
    assert [row.update for row in directory.metrics()] == [n for n in ROWS if n <= update]
    assert [sample.update for sample in directory.samples() if sample.update] == [n for n in (10, 20) if n <= update]
    monkeypatch.undo()
    assert_same(train(corpus, out=tmp_path, resume=True), expected)


def spoil_losses(monkeypatch: pytest.MonkeyPatch, first_bad: int) -> None:
    """Let the losses be nan from this update on."""
    advance = NumpyEngine.advance

    def corrupt(engine: NumpyEngine, state: TrainState, *arguments: Any) -> Array:
        done, losses = state.update, advance(engine, state, *arguments)
        losses[max(0, first_bad - 1 - done) :] = math.nan
        return losses

    monkeypatch.setattr(NumpyEngine, "advance", corrupt)


@pytest.mark.parametrize("max_updates", [1, 2])
def test_what_is_kept_can_be_loaded_though_the_weights_overflowed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_updates: int
) -> None:
    # The first update's loss is finite; what it leaves of U is not.
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    options = SMALL | {"learning_rate": 1e38, "init_std": 1.0, "metrics_every": 1}
    with suppress(NonFiniteLossError):
        train(corpus, **options, max_updates=max_updates, out=tmp_path)
    load(tmp_path)
