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
from elman.model.score import score
from elman.network.optimizer import Optimizer
from elman.runs.writer import RunWriter
from elman.text import Corpus, Windows
from elman.training import checkpoints, limits, loop, validation
from elman.training.callbacks import TrainingCallback
from elman.training.limits import Stopwatch
from elman.training.run import Run
from support.training import EXACT, StopsAt, train


class Machine(NumpyEngine):
    """A clock that moves only with updates, and an engine whose updates take the time that `pace` returns.

    They change no weight, as only time matters. `prepared` seconds pass before the first update, `compiled` of them for
    the compilation of kernels; `on_demand` more are spent on those that are compiled in the first update.
    """

    def __init__(
        self, pace: Callable[[int], float], prepared: float = 0.0, compiled: float = 0.0, on_demand: float = 0.0
    ) -> None:
        self.pace, self.now, self.prepared, self.compiled = pace, 0.0, prepared, compiled
        self.on_demand, self.compile_seconds = on_demand, 0.0
        self.ends: list[tuple[int, int]] = []
        self.calls: list[int] = []

    def prepare(self) -> None:
        self.now += self.prepared
        self.compile_seconds += self.compiled

    def advance(
        self, state: TrainState, windows: Windows, updates: int, optimizer: Optimizer, *arguments: Any
    ) -> NDArray[np.float64]:
        if not self.calls:
            self.now += self.on_demand
            self.compile_seconds += self.on_demand
        self.now += sum(self.pace(state.update + n) for n in range(updates))
        self.ends.append((state.update, optimizer.last_update))
        self.calls.append(updates)
        state.update += updates
        state.epoch = state.update // windows.per_epoch
        state.position = (state.update - 1) % windows.per_epoch * windows.seq_length + windows.seq_length
        return np.ones(updates)


def run_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, least: int = 0, share: float = 1.0, **options: Any
) -> Run:
    """Train with `least` updates at least, by an engine that has a `share` of the processor."""
    now = {"perf_counter": lambda: machine.now, "monotonic": lambda: machine.now}
    clock = SimpleNamespace(**now, thread_time=lambda: share * machine.now)
    monkeypatch.setattr(limits, "MIN_UPDATES", least)
    for module in (limits, checkpoints):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(limits, "compile_seconds", lambda: machine.compile_seconds)
    monkeypatch.setattr(limits, "PLOT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "get_engine", lambda *_: machine)
    monkeypatch.setattr(loop, "finish_compiling", machine.prepare)
    settings = EXACT | {"optimizer": "adam", "learning_rate": 0.01, "schedule": "cosine", "epochs": 1000}
    settings |= {"sample_every": 0}
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


def validations_of(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, seconds: float, pause_at: int = -1
) -> list[float]:
    """Let every validation take so many seconds, one of them 30 s more; return the times at which they began."""
    times = list[float]()

    def slow(engine: Any, parameters: Any, h: Any, indices: Any) -> Any:
        times.append(machine.now)
        machine.now += seconds + 30.0 * (len(times) == pause_at)
        return score(engine, parameters, h, indices)

    monkeypatch.setattr(validation, "score", slow)
    return times


@pytest.mark.parametrize("prepared", [0.0, 5.0])  # far from and near to half of the budget, which updates have anyway
def test_the_budget_includes_everything(monkeypatch: pytest.MonkeyPatch, prepared: float) -> None:
    machine = Machine(lambda n: 0.01, prepared=prepared)
    times = validations_of(machine, monkeypatch, 0.2)
    run = run_on(machine, monkeypatch, max_seconds=20.0, validation=0.2)
    assert machine.now == pytest.approx(20.0, abs=0.2)
    assert run.state.seconds == pytest.approx(20.0 - prepared - 0.2 * len(times), abs=0.2)
    assert run.state.spent == pytest.approx(20.0, abs=0.2)
    tenth = run.state.update // 10
    assert all(abs(end - run.state.update) < 0.1 * run.state.update for n, end in machine.ends if n > 3 * tenth)
    assert np.isfinite(run.metrics[-1].chars_per_second)


def test_the_compilation_of_kernels_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 0.01, prepared=102.0, compiled=100.0, on_demand=50.0)
    run = run_on(machine, monkeypatch, max_seconds=5.0)
    assert run.state.seconds == pytest.approx(3.0, abs=0.1)
    assert run.metrics[0].chars_per_second == pytest.approx(run.config.chars_per_update / 0.01)


def test_the_budget_begins_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    late, at_once = Stopwatch(9.6), Stopwatch()
    much_later = Stopwatch(1.0)
    now[0] = 12.0
    assert (late.elapsed(), at_once.elapsed()) == pytest.approx((2.4, 2.0))
    # A start of 0.4 s, of 0 s and of 9 s.
    assert [watch.estimate_exit(20.0) for watch in (late, at_once, much_later)] == pytest.approx([0.8, 0.5, 2.5])


@pytest.mark.parametrize(
    ("pace", "prepared", "seconds"),
    [
        (0.01, 9.0, 3.0),  # half of the budget is not enough for 300 updates
        (0.001, 9.0, 2.5),  # it is enough
        (0.001, 2.0, 3.0),  # there is more time
        (0.02, 0.0, 6.0),
        (0.2, 3.0, 10.0),  # two budgets are not enough for 300 updates
    ],
)
def test_every_run_has_half_of_its_budget_and_300_updates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pace: float, prepared: float, seconds: float
) -> None:
    machine, warnings = Machine(lambda n: pace, prepared=prepared), Warnings()
    options: dict[str, Any] = {"max_seconds": 5.0, "validation": 0.2, "out": tmp_path, "callback": warnings}
    run = run_on(machine, monkeypatch, least=300, **options)
    assert run.state.seconds == pytest.approx(seconds, abs=0.1)
    assert run.stopped == "max_seconds"
    assert run.metrics[-1].validation_loss == run.validation_loss
    assert [text.startswith("the command took") for text in warnings.seen] == [True] * (prepared + seconds > 5.05)
    again = run_on(Machine(lambda n: 0.01), monkeypatch, least=300, out=tmp_path, resume=True)
    assert (again.was_finished, again.state.update) == (True, run.state.update)


class Warnings(TrainingCallback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_warning(self, warning: str) -> None:
        self.seen.append(warning)


@pytest.mark.parametrize("at", [10, 250, 400, 480])
def test_a_pause_is_not_part_of_the_budget(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    machine = Machine(lambda n: 30.0 if n == at else 0.01)
    run = run_on(machine, monkeypatch, max_seconds=5.0)
    assert run.state.update == pytest.approx(500, abs=2)
    assert run.state.seconds == pytest.approx(5.0, abs=0.02)
    assert machine.now > 30


def test_a_pause_during_a_validation_is_not_part_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda n: 0.01)
    times = validations_of(machine, monkeypatch, 0.05, pause_at=4)
    run = run_on(machine, monkeypatch, max_seconds=20.0, validation=0.2)
    assert len(times) > 5
    assert machine.now == pytest.approx(50.0, abs=0.2)
    assert run.state.spent == pytest.approx(20.0, abs=0.2)


def test_a_busy_machine_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for share, count in ((0.25, 1), (0.9, 0)):
        warnings = Warnings()
        run_on(Machine(lambda n: 0.01), monkeypatch, share=share, max_seconds=5.0, callback=warnings)
        assert len(warnings.seen) == count
    run_on(Machine(lambda n: 0.01), monkeypatch, share=0.25, max_seconds=5.0, callback=warnings)
    assert warnings.seen == ["other programs kept the processor busy: 500 updates, each 4.0 times as long as alone"]


def test_one_slow_write_costs_its_own_time_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine, saved, append = Machine(lambda n: 0.01), list[float](), RunWriter.append

    def stall(directory: RunWriter, *records: Any) -> None:
        machine.now += 14.0 if len(saved) == 1 else 0.1
        saved.append(machine.now)
        append(directory, *records)

    monkeypatch.setattr(RunWriter, "append", stall)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 15.0)
    run = run_on(machine, monkeypatch, max_seconds=100.0, out=tmp_path)
    assert len(saved) >= 3
    assert run.state.seconds == pytest.approx(100 - 14.0 - 0.1 * (len(saved) - 1), abs=0.5)


def test_a_resumed_run_has_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def resume(**options: Any) -> Run:
        return run_on(Machine(lambda n: 0.01, prepared=1.0), monkeypatch, out=tmp_path, resume=True, **options)

    machine = Machine(lambda n: 0.01, prepared=1.0)
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
    monkeypatch.setattr(validation, "FREE_CHARS", 0)
    run = run_on(Machine(lambda n: 0.01), monkeypatch, max_updates=400, validation=0.2, validation_chars=20)
    rows = [row.update for row in run.metrics if row.validation_loss is not None]
    assert 20 * len(rows) <= 400 * run.config.chars_per_update / validation.CHARS_PER_VALIDATED + 20
    assert run.data.validation_set is not None
    least = validation.CHARS_PER_VALIDATED * len(run.data.validation_set) / run.config.chars_per_update
    assert not validation.reads_whole_set(run, int(least) - 1)
    assert validation.reads_whole_set(run, int(least) + 1)
