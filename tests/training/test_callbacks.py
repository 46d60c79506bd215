"""Callbacks that raise, after the run is saved; values that are no callbacks; SIGINT in a program that trains."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import elman
from elman.runs.directory import RunDirectory
from elman.runs.history import Sample
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run
from support.training import EXACT, assert_same, assert_saved, train


class Raises(TrainingCallback):
    """Raises in one of its methods, once so many updates are done."""

    def __init__(self, method: str, update: int, error: BaseException) -> None:
        self.method, self.update, self.error = method, update, error
        self.done = 0

    def _raise(self, method: str, update: int) -> None:
        self.done = update
        if method == self.method and update >= self.update:
            raise self.error

    def on_progress(self, run: Run, updates: int) -> None:
        self._raise("on_progress", run.state.update)

    def on_sample(self, run: Run, sample: Sample) -> None:
        self._raise("on_sample", sample.update)

    def on_warning(self, warning: str) -> None:
        self._raise("on_warning", self.done)

    def should_stop(self) -> bool:
        self._raise("should_stop", self.done)
        return False


@pytest.mark.parametrize(
    ("method", "update", "error"),
    [
        ("on_sample", 0, RuntimeError()),
        ("on_sample", 10, SystemExit(3)),
        ("on_progress", 7, elman.ElmanError()),
        ("on_progress", 40, RuntimeError()),
        ("should_stop", 7, RuntimeError()),
        ("on_warning", 0, RuntimeError()),
    ],
)
def test_the_run_is_saved_before_an_exception_of_a_callback_is_raised(
    corpus: Corpus, tmp_path: Path, method: str, update: int, error: BaseException
) -> None:
    options: dict[str, Any] = EXACT | {"max_updates": 40, "validation": 0.2}
    if method == "on_warning":  # of a saturated network, at an update that has a row of metrics
        options |= {"max_updates": 150, "init_std": 1e4, "metrics_every": 1}
    with pytest.raises(type(error)) as raised:
        train(corpus, out=tmp_path, **options, callback=Raises(method, update, error))
    assert raised.value is error
    directory = RunDirectory(tmp_path)
    assert directory.load().state.update >= max(1, update)
    assert directory.read_manifest()["stopped"] == ("max_updates" if update == 40 else "interrupted")
    assert_same(train(corpus, out=tmp_path, resume=True), train(corpus, **options))


def test_every_validation_is_reported(corpus: Corpus) -> None:
    losses = dict[int, float]()

    class Validations(TrainingCallback):
        def on_validation(self, run: Run, validation_loss: float) -> None:
            losses[run.state.update] = validation_loss

    run = train(corpus, **EXACT | {"max_updates": 25, "validation": 0.2, "validate_every": 10}, callback=Validations())
    rows = {row.update: row.validation_loss for row in run.metrics if row.validation_loss is not None}
    assert [*losses] == [10, 20, 25]
    assert rows.items() <= losses.items()


class Interrupts(TrainingCallback):
    """Sends SIGINT to this process at some updates; the handler runs at once."""

    def __init__(self, *updates: int) -> None:
        self.updates = updates

    def on_progress(self, run: Run, updates: int) -> None:
        for _ in range(self.updates.count(run.state.update)):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def _default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_default_handler")
def test_a_signal_ends_the_run_which_is_saved_and_resumed_bit_for_bit(corpus: Corpus, tmp_path: Path) -> None:
    options: dict[str, Any] = EXACT | {"max_updates": 40}
    run = train(corpus, out=tmp_path, **options, callback=Interrupts(7))
    assert (run.state.update, run.stopped, run.interrupted) == (7, "interrupted", True)
    assert_saved(tmp_path, run)
    with pytest.raises(KeyboardInterrupt):  # by a second signal
        train(corpus, out=tmp_path, resume=True, callback=Interrupts(14, 14))
    resumed = train(corpus, out=tmp_path, resume=True)
    assert_same(resumed, train(corpus, **options))


@pytest.mark.usefixtures("_default_handler")
def test_the_handler_of_a_program_is_left_alone(corpus: Corpus) -> None:
    received = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, handler)
    run = train(corpus, **EXACT, max_updates=40, callback=Interrupts(7))
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert (received, run.stopped) == ([signal.SIGINT], "max_updates")


def test_another_thread_can_train(corpus: Corpus) -> None:
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(train(corpus, **EXACT, max_updates=20)))
    thread.start()
    thread.join()
    assert runs[0].stopped == "max_updates"


def test_a_plot_that_cannot_be_drawn_is_a_notice(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notices(TrainingCallback):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_notice(self, notice: str) -> None:
            self.seen.append(notice)

    def missing_backend(name: str, *_: Any) -> None:
        if name.startswith("matplotlib"):
            raise ValueError("Key backend: 'nope' is not a valid value")

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [SimpleNamespace(find_spec=missing_backend), *sys.meta_path])
    callback = Notices()
    train(corpus, **EXACT, out=tmp_path, callback=callback)
    reason = "a library of 'elman[plot]' cannot be imported (Key backend: 'nope' is not a valid value)"
    assert callback.seen[-1] == f"no loss curve was drawn: {reason}, then elman plot {tmp_path}"
    with pytest.raises(elman.ElmanError, match=r"^a library of 'elman\[plot\]' cannot be imported \(Key backend"):
        elman.open_run(tmp_path).plot()
