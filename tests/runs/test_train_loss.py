"""The train loss, estimated from the rows of metrics."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean

import pytest

from elman.config import Config, make_config
from elman.runs.records import MIN_CHARS, SMOOTH_UPDATES, Metrics, TrainLossEstimator
from elman.text import Corpus
from support.training import EXACT, StopsAt, train

T = 25
BATCH = Config(seq_length=T, batch_size=10)


def smooth_losses(losses: Iterable[float]) -> list[float]:
    """Return the smooth loss at every update."""
    return [*accumulate(losses, lambda smooth, loss: 0.999 * smooth + 0.001 * loss)]


def rows_of(losses: Sequence[float], every: int) -> list[Metrics]:
    """Return the rows of a run with these losses."""
    smooth = smooth_losses(losses)
    return [
        Metrics(update, 0, smooth[update - 1], losses[update - 1], None, 1.0, 1.0)
        for update in range(every, len(losses) + 1, every)
    ]


def estimate(config: Config, rows: Iterable[Metrics]) -> float:
    return [*map(TrainLossEstimator(config).append, rows)][-1]


def test_it_is_the_mean_of_all_losses_of_the_last_tenth_per_character() -> None:
    losses = [1000.0] * 900 + [50.0, 100.0] * 50
    assert estimate(BATCH, rows_of(losses, 20)) == pytest.approx(75.0 / T, rel=0.01)
    assert estimate(BATCH, rows_of([1000.0] * 900 + [50.0] * 100, 20)) == pytest.approx(50.0 / T, rel=1e-9)


@pytest.mark.parametrize(("updates", "recent"), [(100, 20), (500, 50)])
def test_the_recent_updates_are_a_tenth_and_at_least_twenty(updates: int, recent: int) -> None:
    losses = [float(update) for update in range(updates)]
    assert estimate(BATCH, rows_of(losses, 1)) == pytest.approx(fmean(losses[-recent:]) / T, rel=1e-3)


def test_short_sequences_need_more_updates() -> None:
    config = Config(seq_length=5, batch_size=1)
    losses = [500.0] * 50 + [5.0] * (MIN_CHARS // 5)
    assert estimate(config, rows_of(losses, 10)) == pytest.approx(1.0)
    assert estimate(config, rows_of(losses[:-10], 10)) > 2


def test_the_start_of_the_smooth_loss_does_not_matter_after_the_first_row() -> None:
    """After 2,000 updates of the reference experiment, the smooth loss is still 9 % too high."""
    config = Config(seq_length=T)
    losses = [100.0] * 1000 + [60.0] * 1000
    assert estimate(config, rows_of(losses, 1000)) == pytest.approx(60.0 / T)
    assert smooth_losses(losses)[-1] > 74


def test_before_there_is_such_a_row_it_is_the_mean_of_the_rows() -> None:
    losses = [100.0] * 10 + [float(update) for update in range(9)] + [50.0]
    assert estimate(BATCH, rows_of(losses, 10)) == fmean((100.0, 50.0)) / T


@pytest.mark.parametrize(
    ("config", "updates"), [(Config(seq_length=T), 5), (Config(seq_length=T, batch_size=1000), SMOOTH_UPDATES)]
)
def test_it_is_the_smooth_loss_of_few_characters_and_of_a_long_run(config: Config, updates: int) -> None:
    losses = [float(update) for update in range(updates)]
    assert estimate(config, rows_of(losses, 5)) == rows_of(losses, 5)[-1].smooth_loss / T


def test_between_two_rows_of_a_preset_it_does_not_fall_back_to_the_smooth_loss() -> None:
    config = make_config("minute")
    losses = [100.0 * config.seq_length] + [2.0 * config.seq_length] * 499
    smooth, estimator = smooth_losses(losses), TrainLossEstimator(config)
    for row in rows_of(losses, config.metrics_every)[:-1]:
        estimator.append(row)
        for update in range(row.update, row.update + config.metrics_every):
            assert estimator.at(update, smooth[update - 1]) == pytest.approx(2.0)


def test_a_run_has_it_whether_it_was_resumed_or_not(corpus: Corpus, tmp_path: Path) -> None:
    options = EXACT | {"max_updates": 40, "batch_size": 5, "seq_length": 10, "validation": 0}
    expected = train(corpus, **options)
    assert expected.train_loss == expected.results()["train_loss"] == estimate(expected.config, expected.metrics)
    train(corpus, **options, out=tmp_path, callback=StopsAt(20))
    assert train(corpus, out=tmp_path, resume=True).train_loss == expected.train_loss
