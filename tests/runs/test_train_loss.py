"""The train loss, estimated from the rows of metrics."""

from pathlib import Path
from statistics import fmean

import pytest

from elman.config import Config, make_config
from elman.runs.records import Metrics
from elman.runs.train_loss import MIN_CHARS, SMOOTH_UPDATES, TrainLossEstimator
from elman.text import Corpus
from support.training import EXACT, StopsAt, train

T = 25


def row(update: int, loss: float, smooth_loss: float = 99.0) -> Metrics:
    return Metrics(update, 0, smooth_loss, loss, None, 1.0, 1.0)


def estimate(config: Config, *rows: Metrics) -> float:
    return [*map(TrainLossEstimator(config).append, rows)][-1]


def test_it_is_the_mean_of_the_last_tenth_per_character() -> None:
    config = Config(seq_length=T, batch_size=10)
    rows = [row(update, float(update)) for update in range(10, 201, 10)]
    assert estimate(config, *rows) == fmean((190, 200)) / T


@pytest.mark.parametrize(
    ("batch_size", "update"), [(MIN_CHARS // T - 1, 100), (1000, SMOOTH_UPDATES)], ids=["few characters", "late"]
)
def test_it_is_the_smooth_loss_where_that_is_more_precise(batch_size: int, update: int) -> None:
    assert estimate(Config(seq_length=T, batch_size=batch_size), row(update, 1.0, 50.0)) == 50.0 / T


def test_rows_that_are_no_longer_recent_do_not_count() -> None:
    estimator = TrainLossEstimator(Config(seq_length=T, batch_size=10), [row(100, 25.0)])
    assert estimator.at(105, 50.0) == 1.0
    assert estimator.at(120, 50.0) == 2.0


def test_between_two_rows_of_a_preset_it_does_not_fall_back_to_the_smooth_loss() -> None:
    config = make_config("minute")
    every, loss = config.metrics_every, 2.0 * config.seq_length
    estimator = TrainLossEstimator(config)
    for update in range(every, 500, every):
        estimator.append(row(update, loss))
        assert {estimator.at(between, 99.0) for between in range(update, update + every)} == {2.0}


def test_a_run_has_it_whether_it_was_resumed_or_not(corpus: Corpus, tmp_path: Path) -> None:
    options = EXACT | {"max_updates": 40, "batch_size": 5, "seq_length": 10, "validation": 0}
    expected = train(corpus, **options)
    assert expected.train_loss == expected.results()["train_loss"] == estimate(expected.config, *expected.metrics)
    train(corpus, **options, out=tmp_path, callback=StopsAt(20))
    assert train(corpus, out=tmp_path, resume=True).train_loss == expected.train_loss
