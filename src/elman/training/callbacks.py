"""Training callbacks: notified of progress, samples and warnings during training, and asked whether to stop."""

from __future__ import annotations

from collections.abc import Callable

from elman.runs.records import Sample
from elman.runs.run import Run


class TrainingCallback:
    """Base class of training callbacks; every method does nothing, and a subclass overrides those that it needs.

    `elman.train` calls the methods in its own thread, between two calls of the engine.

    Examples
    --------
    >>> import elman
    >>> class StopAtLoss(elman.TrainingCallback):
    ...     def on_progress(self, run, updates):
    ...         self.done = run.state.smooth_loss / run.config.seq_length < 1.5
    ...     def should_stop(self):
    ...         return self.done
    """

    def on_notice(self, notice: str) -> None:
        """Something to know before training starts, in one line: the text, settings lowered for it, compilation."""

    def on_compile(self) -> None:
        """Kernels are about to be compiled, or loaded from the cache; `on_notice` is called where they are compiled."""

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int) -> None:
        """``elman report`` is about to run an experiment of its gradient check."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Updates were done, about ten times per second; `updates` is the expected total."""

    def on_sample(self, sample: Sample) -> None:
        """A sample was generated."""

    def on_warning(self, warning: str) -> None:
        """The network is not healthy; the warning names the problem and how to correct it."""

    def should_stop(self) -> bool:
        """Return whether to save and stop; asked after every `on_progress`."""
        return False


NullCallback = TrainingCallback
"""The former name, which is still accepted."""


class CallbackList(TrainingCallback):
    """Several callbacks as one: all are called in turn, and each may ask to stop.

    Parameters
    ----------
    *callbacks : TrainingCallback
    """

    def __init__(self, *callbacks: TrainingCallback) -> None:
        self.callbacks = callbacks

    def on_notice(self, notice: str) -> None:
        """Call all."""
        for callback in self.callbacks:
            notify(callback, notice)

    def on_compile(self) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_compile()

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_gradient_check(points, hidden_size, seq_length)

    def on_progress(self, run: Run, updates: int) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_progress(run, updates)

    def on_sample(self, sample: Sample) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_sample(sample)

    def on_warning(self, warning: str) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_warning(warning)

    def should_stop(self) -> bool:
        """Return whether any of them asks to stop."""
        return any(callback.should_stop() for callback in self.callbacks)


class UpdateCallback(TrainingCallback):
    """Calls a function of the run, which asks to stop by returning a true value.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[[Run], object]) -> None:
        self.function = function
        self.stop = False

    def on_progress(self, run: Run, updates: int) -> None:
        """Call the function."""
        self.stop = bool(self.function(run))

    def should_stop(self) -> bool:
        """Return whether the function asked to stop."""
        return self.stop


def combine_callbacks(
    callback: TrainingCallback | None, on_update: Callable[[Run], object] | None, *others: TrainingCallback
) -> TrainingCallback:
    """Return the callbacks of a training as one; the last is asked whether to stop after the others."""
    given = [] if callback is None else [callback]
    updates = [] if on_update is None else [UpdateCallback(on_update)]
    return CallbackList(*given, *updates, *others)


def notify(callback: TrainingCallback, notice: str) -> None:
    """Pass a notice to a callback, unless it was written for an older version, without `on_notice`."""
    if hasattr(callback, "on_notice"):
        callback.on_notice(notice)
