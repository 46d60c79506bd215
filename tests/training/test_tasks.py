"""What is due in training: after which update each task is due next, what it does, and where the loop stops."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from elman.errors import NonFiniteLossError
from elman.runs.writer import RunWriter
from elman.text import Corpus
from elman.training import health as checks
from elman.training.callbacks import TrainingCallback
from elman.training.checkpoints import Checkpoints
from elman.training.health import HealthCheck
from elman.training.limits import Stopwatch, Timer
from elman.training.loop import advance, perform_due
from elman.training.prior import PriorSwitch
from elman.training.records import MetricsRows, Samples
from elman.training.run import Run
from elman.training.validation import Validation
from support.training import EXACT, ROWS, train


@pytest.fixture
def run(corpus: Corpus) -> Run:
    """A run of 12 updates with rows at 1, 8, 10 and 12, among others, and samples at 0, 10 and 12."""
    return train(corpus, **EXACT, max_updates=12)


def health_of(run: Run) -> HealthCheck:
    return HealthCheck(run, TrainingCallback())


def test_a_row_is_due_often_at_first_at_multiples_of_its_interval_and_at_the_end(run: Run) -> None:
    rows = MetricsRows(run, [5.0])
    assert (rows.next_update(100), rows.next_update(12)) == (14, 12)
    rows.perform(100)  # there is one for this update
    run.state.update = 19
    rows.perform(100)
    assert [(row.update, row.validation_loss) for row in run.metrics] == [(n, None) for n in (*ROWS[:10], 19)]
    assert rows.next_update(100) == 20
    run.state.update = 20
    rows.perform(100)
    assert rows.next_update(100) == 21


def test_a_sample_is_due_at_the_start_and_at_multiples_of_its_interval(run: Run, corpus: Corpus) -> None:
    callback = Mock()
    samples = Samples(run, callback, health_of(run))
    assert samples.next_update(15) == 20
    run.state.update = 20
    samples.perform(100)
    callback.on_sample.assert_called_once_with(run, run.samples[-1])
    assert ([sample.update for sample in run.samples], samples.next_update(100)) == ([0, 10, 12, 20], 30)
    without = train(corpus, **EXACT | {"sample_every": 0}, max_updates=1)
    assert Samples(without, callback, health_of(without)).next_update(100) == math.inf


@pytest.mark.parametrize(
    ("options", "last_update", "due"),
    [
        ({"validate_every": 5}, 100, 17),
        ({"validate_every": 5}, 13, 13),  # always at the end
        ({}, 50, 17),  # ten times per run
        ({}, 14, 14),  # and not shortly before the end: at 12 + 2, which is the end
        ({}, 10_000, 24),  # once per epoch
        ({"validation": 0.0}, 100, math.inf),
    ],
)
def test_when_a_validation_is_due(corpus: Corpus, options: dict[str, Any], last_update: int, due: float) -> None:
    run = train(corpus, **EXACT | {"validation": 0.2} | options, max_updates=12)
    rows, health = MetricsRows(run, []), health_of(run)
    validation = Validation(run, TrainingCallback(), Mock(), Stopwatch(), rows, health)
    assert validation.next_update(last_update) == due


def test_the_prior_is_switched_on_once(corpus: Corpus) -> None:
    run = train(corpus, **EXACT, ngram_order=3, ngram_start=0.75, max_updates=12)
    assert PriorSwitch(run).next_update(100) == math.inf  # it is on since update 9
    run = train(corpus, **EXACT, ngram_order=3, ngram_start=1.0, max_updates=12)
    switch, before = PriorSwitch(run), run.state.parameters["V"].copy()
    assert (switch.next_update(101), switch.next_update(12)) == (101, 12)
    switch.perform(12)
    assert (run.state.prior_since, switch.next_update(12)) == (12, math.inf)
    assert run.state.parameters["alpha"] == pytest.approx([0.4] * 3)
    assert run.state.parameters["V"] == pytest.approx(0.42 * before)


def test_the_selected_network_is_written_where_it_has_changed_and_weights_are_checked_once(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(corpus, **EXACT, validation=0.2, max_updates=12, out=tmp_path)
    written, checked = Mock(), Mock()
    monkeypatch.setattr(RunWriter, "save_selected", written)
    monkeypatch.setattr(checks, "require_finite_state", checked)
    checkpoints = Checkpoints(run, health_of(run))
    for _ in range(3):
        checkpoints.perform()
    assert (written.call_count, checked.call_count) == (1, 1)
    run.selected = run.snapshot(1.0)
    checkpoints.perform()
    assert written.call_count == 2


def test_weights_that_are_not_finite_are_not_used(run: Run) -> None:
    run.state.parameters["W"][0, 0] = np.nan
    health = health_of(run)
    for task in (Samples(run, TrainingCallback(), health), Checkpoints(run, health)):
        with pytest.raises(NonFiniteLossError, match="of update 12 is not finite"):
            task.perform(100)


def test_a_suspected_network_is_checked_again_after_the_next_update(run: Run) -> None:
    callback = Mock()
    health = HealthCheck(run, callback)
    saturated, update = np.ones_like(run.state.hidden.recurrent), run.state.update
    run.state.hidden.recurrent[...] = saturated
    assert health.next_update(100) == math.inf
    assert health.on_step(saturated, np.array([2.0]))
    assert health.next_update(100) == update + 1
    run.state.update += 1
    health.perform(100)
    callback.on_warning.assert_called_once()
    assert health.next_update(100) == math.inf  # a problem is reported once


def test_the_engine_is_called_up_to_the_first_task_that_is_due(run: Run) -> None:
    engine, timer = Mock(), Timer(run.state, None, 100, Stopwatch())
    engine.advance = Mock(side_effect=lambda *arguments: np.ones(arguments[2]))
    timer.tick = 50
    tasks = [Mock(next_update=lambda last_update, at=at: at) for at in (math.inf, 30, 20)]
    advance(run, engine, timer, health_of(run), tasks)
    assert engine.advance.call_args[0][2] == 20 - 12
    timer.tick = 3
    advance(run, engine, timer, health_of(run), tasks)
    assert engine.advance.call_args[0][2] == 3
    assert run.optimizer.last_update == 100
    run.state.update = 20
    perform_due(tasks, run, 100)
    assert [task.perform.call_count for task in tasks] == [0, 0, 1]
