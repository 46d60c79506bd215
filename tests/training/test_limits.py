"""The time budget: which update will be the last, and how the schedule follows. No real clock."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman.engine import TrainState
from elman.engine.numpy_engine import NumpyEngine
from elman.inference.score import score
from elman.network.optimizer import Optimizer
from elman.runs.run import Run
from elman.text import Corpus, Windows
from elman.training import loop as training
from elman.training.limits import TimeBudget
from support.training import EXACT, train

# --- The estimate ---


def test_the_last_update_follows_from_the_speed() -> None:
    assert TimeBudget(3.0).last(0, 0.0, 500) == 500  # until a speed is known
    budget = TimeBudget(3.0)
    budget.observe(10, 1.0)
    assert budget.last(10, 1.0, 500) == 30
    assert budget.last(10, 1.0, 25) == 25
    assert budget.last(29, 2.96, 500) == 29  # less than half an update is left
    assert budget.last(31, 3.2, 500) == 31
    assert TimeBudget(3.0, update=10, seconds=1.0).last(10, 1.0, 500) == 30  # of a resumed run
    unlimited = TimeBudget(None)
    unlimited.observe(10, 1.0)
    assert unlimited.last(10, 1.0, 500) == 500
    slow_at_first = TimeBudget(31.0)
    slow_at_first.observe(1, 1.0)
    for _ in range(20):
        slow_at_first.observe(100, 1.0)
    assert slow_at_first.last(2001, 21.0, 10**6) == pytest.approx(3001, rel=0.01)
    no_clock = TimeBudget(1.0)
    no_clock.observe(10, 0.0)
    assert no_clock.last(10, 0.0, 500) == 500


# --- A run ---


class Machine(NumpyEngine):
    """A clock that moves only with updates, and an engine whose updates take the time that `pace` returns."""

    def __init__(self, pace: Callable[[int], float]) -> None:
        self.pace, self.now = pace, 0.0
        self.ends: list[tuple[int, int]] = []
        self.calls: list[int] = []

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, *arguments: Any
    ) -> NDArray[np.float64]:
        if state.update or self.calls:  # not the trial before the first update
            self.now += sum(self.pace(state.update + n) for n in range(updates))
        self.ends.append((state.update, optimizer.end))
        self.calls.append(updates)
        return super().advance(state, windows, updates, optimizer, *arguments)


def run_on(machine: Machine, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Run:
    clock = SimpleNamespace(perf_counter=lambda: machine.now, monotonic=lambda: machine.now)
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training, "get_engine", lambda *_: machine)
    settings = EXACT | {"optimizer": "adam", "learning_rate": 0.01, "schedule": "cosine", "epochs": 1000}
    return train(Corpus.from_text("It was a dark and stormy night. " * 9), **settings | options)


PACES: tuple[Callable[[int], float], ...] = (
    lambda n: 0.001,
    lambda n: 0.2,
    lambda n: 1.7,
    lambda n: 0.004 * (1.5 + math.sin(n / 40)),
)


@pytest.mark.parametrize("pace", PACES)
def test_a_run_takes_the_seconds_it_was_given(monkeypatch: pytest.MonkeyPatch, pace: Callable[[int], float]) -> None:
    run = run_on(Machine(pace), monkeypatch, max_seconds=5.0)
    assert run.state.seconds == pytest.approx(5.0, abs=max(0.1, pace(0) / 2 + 1e-9))
    assert run.stopped == "max_seconds"


def test_the_schedule_ends_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 0.01 if n < 100 else 0.02)  # it becomes slower on the way
    run = run_on(machine, monkeypatch, max_seconds=5.0)
    begun, end = machine.ends[-1]
    assert end == run.state.update == begun + machine.calls[-1]
    optimizer = Optimizer(0.01, 5.0, schedule="cosine", end=end)
    assert optimizer.learning_rates(end - 1, 1)[0] < 1e-3 * 0.01
    tenth = run.state.update // 10
    assert all(abs(end - run.state.update) < 0.1 * run.state.update for n, end in machine.ends if n > 8 * tenth)


def test_the_nearer_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_on(Machine(lambda n: 0.01), monkeypatch, max_seconds=5.0, max_updates=50)
    assert (run.state.update, run.stopped) == (50, "max_updates")
    machine = Machine(lambda n: 0.01)
    run_on(machine, monkeypatch, max_updates=50)
    assert {end for _, end in machine.ends[1:]} == {50}  # without a limit of time the schedule is fixed


def test_a_run_limited_by_time_validates_about_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 2.0 if n == 0 else 0.2 + 0.1 * math.sin(n / 10))  # the first update says little
    run = run_on(machine, monkeypatch, max_seconds=20.0, validation=0.2)
    seconds = [row.seconds for row in run.metrics if row.validation_loss is not None]
    assert run.stopped == "max_seconds"
    assert 10 <= len(seconds) <= 13
    assert max(np.diff([0.0, *seconds])) < 0.2 * run.state.seconds


def test_only_updates_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 0.01)

    def slow(*arguments: Any) -> Any:
        machine.now += 100.0
        return score(*arguments)

    monkeypatch.setattr(training, "score", slow)
    run = run_on(machine, monkeypatch, max_seconds=2.0, validation=0.2, validate_every=20)
    assert run.state.seconds == pytest.approx(2.0, abs=0.1)
    assert np.isfinite(run.metrics[-1].chars_per_second)
