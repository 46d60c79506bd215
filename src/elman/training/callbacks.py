"""Training callbacks: notified of progress, samples and warnings during training, and asked whether to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from elman.errors import ElmanError
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
        """Something to know, in one line: the text, settings lowered for it, compilation; a plot that is not drawn."""

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


class DeferredErrors(CallbackList):
    """Callbacks whose first exception asks to stop, and is raised once the run is saved.

    A context manager, which raises it. The run then ends as one that is interrupted: an exception raised at once would
    lose all updates since the last checkpoint, and may be raised before the records of an update are complete.
    """

    def __init__(self, *callbacks: TrainingCallback) -> None:
        super().__init__(*callbacks)
        self.error: BaseException | None = None

    def __enter__(self) -> DeferredErrors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.error is not None:
            raise self.error

    @contextmanager
    def _deferring(self) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # not KeyboardInterrupt, which ends a run at once
            self.error = self.error or error

    def on_progress(self, run: Run, updates: int) -> None:
        """Call all."""
        with self._deferring():
            super().on_progress(run, updates)

    def on_sample(self, sample: Sample) -> None:
        """Call all."""
        with self._deferring():
            super().on_sample(sample)

    def on_warning(self, warning: str) -> None:
        """Call all."""
        with self._deferring():
            super().on_warning(warning)

    def should_stop(self) -> bool:
        """Return whether any of them asks to stop or has raised."""
        stop = True
        with self._deferring():
            stop = super().should_stop()
        return stop or self.error is not None


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


def combine_callbacks(callback: TrainingCallback | None, on_update: Callable[[Run], object] | None) -> TrainingCallback:
    """Return the callbacks that the caller of a training passed as one.

    Raises
    ------
    ElmanError
        If `callback` is none or has a method that is never called, or `on_update` is no function.
    """
    if callback is not None:
        check_callback(callback)
    if on_update is not None and not callable(on_update):
        raise ElmanError(f"on_update must be a function of the run (got {type(on_update).__name__})")
    given = [] if callback is None else [callback]
    updates = [] if on_update is None else [UpdateCallback(on_update)]
    return CallbackList(*given, *updates)


def check_callback(callback: TrainingCallback) -> None:
    """Check that a value is a callback, each of whose methods named ``on_…`` is called.

    Raises
    ------
    ElmanError
        If it is not.
    """
    is_complete = callable(getattr(callback, "on_progress", None)) and callable(getattr(callback, "should_stop", None))
    if isinstance(callback, type) or not is_complete:
        given = "a class" if isinstance(callback, type) else type(callback).__name__
        raise ElmanError(f"callback must be an elman.TrainingCallback (got {given}); a function is passed as on_update")
    for name in dir(type(callback)):
        if name.startswith("on_") and not hasattr(TrainingCallback, name):
            known = ", ".join(each for each in vars(TrainingCallback) if each.startswith("on_"))
            raise ElmanError(f"{type(callback).__name__}.{name} is never called; the methods of a callback are {known}")


def notify(callback: TrainingCallback, notice: str) -> None:
    """Pass a notice to a callback, unless it was written for an older version, without `on_notice`."""
    if hasattr(callback, "on_notice"):
        callback.on_notice(notice)
