"""The time budget: what counts, which update will be the last, and how the schedule follows. No real clock."""

import math
from collections.abc import Callable
from pathlib import Path
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
from elman.training import limits
from elman.training import loop as training
from elman.training.limits import Stopwatch, reads_whole_set
from support.training import EXACT, StopsAt, train


class Machine(NumpyEngine):
    """A clock that moves only with updates, and an engine whose updates take the time that `pace` returns.

    The trial before the first update takes `trial` seconds, `compiled` of them for the compilation of kernels.
    """

    def __init__(self, pace: Callable[[int], float], trial: float = 0.0, compiled: float = 0.0) -> None:
        self.pace, self.now, self.trial, self.compiled, self.compile_seconds = pace, 0.0, trial, compiled, 0.0
        self.ends: list[tuple[int, int]] = []
        self.calls: list[int] = []

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, *arguments: Any
    ) -> NDArray[np.float64]:
        if arguments:
            self.now += sum(self.pace(state.update + n) for n in range(updates))
        else:  # the trial before the first update
            self.now += self.trial
            self.compile_seconds += self.compiled
        self.ends.append((state.update, optimizer.last_update))
        self.calls.append(updates)
        return super().advance(state, windows, updates, optimizer, *arguments)


def run_on(machine: Machine, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Run:
    clock = SimpleNamespace(perf_counter=lambda: machine.now, monotonic=lambda: machine.now)
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(limits, "time", clock)
    monkeypatch.setattr(limits, "compile_seconds", lambda: machine.compile_seconds)
    monkeypatch.setattr(limits, "PLOT_SECONDS", 0.0)
    monkeypatch.setattr(training, "get_engine", lambda *_: machine)
    settings = EXACT | {"optimizer": "adam", "learning_rate": 0.01, "schedule": "cosine", "epochs": 1000}
    settings = {} if options.get("resume") else settings
    return train(Corpus.from_text("It was a dark and stormy night. " * 9), **settings | options)


PACES: tuple[Callable[[int], float], ...] = (
    lambda n: 0.002,
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
    optimizer = Optimizer(0.01, 5.0, schedule="cosine", last_update=end)
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


def validations_of(machine: Machine, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Let every validation take so many seconds; return the times at which they began."""
    times = list[float]()

    def slow(engine: Any, parameters: Any, h: Any, indices: Any) -> Any:
        times.append(machine.now)
        machine.now += seconds
        return score(engine, parameters, h, indices)

    monkeypatch.setattr(training, "score", slow)
    return times


def test_the_budget_includes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 0.01, trial=5.0)
    times = validations_of(machine, monkeypatch, 0.5)
    run = run_on(machine, monkeypatch, max_seconds=20.0, validation=0.2)
    assert machine.now == pytest.approx(20.0, abs=0.2)
    assert run.state.seconds == pytest.approx(15.0 - 0.5 * len(times), abs=0.2)
    assert run.state.spent == pytest.approx(20.0, abs=0.2)
    tenth = run.state.update // 10
    assert all(abs(end - run.state.update) < 0.1 * run.state.update for n, end in machine.ends if n > 3 * tenth)
    assert np.isfinite(run.metrics[-1].chars_per_second)


def test_the_compilation_of_kernels_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_on(Machine(lambda n: 0.01, trial=103.0, compiled=100.0), monkeypatch, max_seconds=5.0)
    assert run.state.seconds == pytest.approx(2.0, abs=0.1)


def test_the_budget_begins_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    late, at_once = Stopwatch(9.6), Stopwatch()
    much_later = Stopwatch(1.0)
    now[0] = 12.0
    assert (late.elapsed(), at_once.elapsed()) == pytest.approx((2.4, 2.0))
    # A start of 0.4 s, of 0 s and of 9 s.
    assert [watch.estimate_exit(20.0) for watch in (late, at_once, much_later)] == pytest.approx([1.2, 0.5, 2.5])


def test_a_run_without_time_for_training_makes_one_update(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = run_on(Machine(lambda n: 0.01, trial=9.0), monkeypatch, max_seconds=5.0, validation=0.2, out=tmp_path)
    assert (run.state.update, run.stopped) == (1, "max_seconds")
    assert run.metrics[-1].validation_loss == run.validation_loss
    again = run_on(Machine(lambda n: 0.01), monkeypatch, out=tmp_path, resume=True)
    assert (again.was_finished, again.state.update) == (True, 1)


def test_a_resumed_run_has_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def resume(**options: Any) -> Run:
        return run_on(Machine(lambda n: 0.01, trial=1.0), monkeypatch, out=tmp_path, resume=True, **options)

    machine = Machine(lambda n: 0.01, trial=1.0)
    stopped = run_on(machine, monkeypatch, max_seconds=10.0, out=tmp_path, callback=StopsAt(300))
    assert stopped.interrupted
    assert stopped.state.spent - stopped.state.seconds == pytest.approx(1.0)
    run = resume()
    assert (run.stopped, run.was_finished) == ("max_seconds", False)
    assert run.state.seconds == pytest.approx(8.0, abs=0.1)
    again = resume()
    assert (again.was_finished, again.stopped, again.state.update) == (True, "max_seconds", run.state.update)
    assert again.advice.startswith(f"its time of 10.0 s is up (update {run.state.update:,}); pass a higher ")
    longer = resume(max_seconds=13.0)
    assert longer.state.seconds == pytest.approx(10.0, abs=0.1)


def test_validations_take_a_small_share_of_the_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_CHARS", 0)
    run = run_on(Machine(lambda n: 0.01), monkeypatch, max_updates=400, validation=0.2, validation_chars=20)
    rows = [row.update for row in run.metrics if row.validation_loss is not None]
    assert 20 * len(rows) <= 400 * run.config.chars_per_update / limits.CHARS_PER_VALIDATED + 20
    assert run.data.validation_set is not None
    least = limits.CHARS_PER_VALIDATED * len(run.data.validation_set) / run.config.chars_per_update
    assert not reads_whole_set(run.data, run.config, int(least) - 1)
    assert reads_whole_set(run.data, run.config, int(least) + 1)
