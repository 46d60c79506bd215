"""Callbacks that raise, after the run is saved, and values that are no callbacks."""

from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.records import Sample
from elman.runs.run import Run
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from support.training import EXACT, assert_same, train


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

    def on_sample(self, sample: Sample) -> None:
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
    assert directory.metadata()["stopped"] == ("max_updates" if update == 40 else "interrupted")
    assert_same(train(corpus, out=tmp_path, resume=True), train(corpus, **options))


def test_a_function_that_raises(corpus: Corpus) -> None:
    with pytest.raises(ZeroDivisionError):
        train(corpus, **EXACT, max_updates=5, on_update=lambda run: 1 / 0)


class NeverCalled(TrainingCallback):
    def on_update(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"callback": NeverCalled()},
            "NeverCalled.on_update is never called; the methods of a callback are on_notice, on_compile,"
            " on_gradient_check, on_progress, on_sample, on_warning",
        ),
        (
            {"callback": 3},
            "callback must be an elman.TrainingCallback (got int); a function is passed as on_update",
        ),
        (
            {"callback": TrainingCallback},
            "callback must be an elman.TrainingCallback (got a class); a function is passed as on_update",
        ),
        ({"on_update": 3}, "on_update must be a function of the run (got int)"),
    ],
    ids=["a method", "a number", "a class", "no function"],
)
def test_what_is_no_callback_is_refused(corpus: Corpus, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ElmanError) as raised:
        train(corpus, **EXACT, max_updates=5, out=tmp_path / "run", **options)
    assert str(raised.value) == message
    assert not (tmp_path / "run").exists()
