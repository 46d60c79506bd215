"""Training callbacks: notified of progress, samples and warnings during training, and asked whether to stop."""

from __future__ import annotations

from typing import Protocol

from elman.runs.records import Sample
from elman.runs.run import Run


class TrainingCallback(Protocol):
    """Called by `elman.train`, in its thread, between two calls of the engine."""

    def on_notice(self, notice: str) -> None:
        """Something to know before training starts, in one line: the text, or settings that were lowered for it."""

    def on_compile(self) -> None:
        """Kernels are about to be compiled, or loaded from the cache."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Updates were done; `updates` is the expected total."""

    def on_sample(self, sample: Sample) -> None:
        """A sample was generated."""

    def on_warning(self, warning: str) -> None:
        """The network is not healthy; the warning names the problem and how to correct it."""

    def should_stop(self) -> bool:
        """Whether to save and stop."""


class NullCallback:
    """The callback that does nothing; a base class for those that need only some of the methods."""

    def on_notice(self, notice: str) -> None:
        """Do nothing."""

    def on_compile(self) -> None:
        """Do nothing."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Do nothing."""

    def on_sample(self, sample: Sample) -> None:
        """Do nothing."""

    def on_warning(self, warning: str) -> None:
        """Do nothing."""

    def should_stop(self) -> bool:
        """Return False."""
        return False


class CallbackList:
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


def notify(callback: TrainingCallback, notice: str) -> None:
    """Pass a notice to a callback, unless it was written for an older version, without `on_notice`."""
    if hasattr(callback, "on_notice"):
        callback.on_notice(notice)
