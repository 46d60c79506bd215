"""Training callbacks: notified of progress, samples and warnings during training, and asked whether to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from elman.errors import ElmanError
from elman.runs.history import Sample
from elman.training.run import Run


class TrainingCallback:
    """Base class of training callbacks; every method does nothing, and a subclass overrides the methods that it needs.

    `elman.train` calls the methods in its own thread, between two calls of the engine.

    Examples
    --------
    >>> import elman
    >>> class StopAtLoss(elman.TrainingCallback):
    ...     def on_progress(self, run, updates):
    ...         self.done = run.smooth_loss < 1.5
    ...     def should_stop(self):
    ...         return self.done
    """

    def on_notice(self, notice: str) -> None:
        """There is something to know, in one line: the text, settings lowered for it, compilation, a missing plot."""

    def on_compile(self) -> None:
        """Kernels are about to be compiled or loaded from the cache; `on_notice` is called if they are compiled."""

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int, done: float) -> None:
        """``elman report`` has done a fraction of one experiment of its gradient check, first 0; called often."""

    def on_progress(self, run: Run, updates: int) -> None:
        """Updates were done, several times per second; `updates` is the expected total."""

    def on_save(self, run: Run) -> None:
        """A checkpoint is about to be written, from which the run would be resumed."""

    def on_validation(self, run: Run, validation_loss: float) -> None:
        """The network was validated; the loss is in nats per character. `run` does not contain it yet."""

    def on_sample(self, run: Run, sample: Sample) -> None:
        """A sample was generated."""

    def on_warning(self, warning: str) -> None:
        """Something is wrong: the network is not healthy, or the time budget was too short; it says what to change."""

    def should_stop(self) -> bool:
        """Return whether to save and stop; asked after every `on_progress`."""
        return False


class CallbackList(TrainingCallback):
    """Several callbacks as one: all are called in turn, and each may ask to stop."""

    def __init__(self, *callbacks: TrainingCallback) -> None:
        self.callbacks = callbacks

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of all; return the results."""
        return [getattr(callback, method)(*arguments) for callback in self.callbacks]

    def should_stop(self) -> bool:
        """Return whether any of them asks to stop."""
        return any(self.call("should_stop"))


METHODS = [name for name in vars(TrainingCallback) if name.startswith(("on_", "should_"))]
"""The methods of a callback."""
for _name in METHODS[:-1]:
    setattr(CallbackList, _name, lambda self, *arguments, method=_name: self.call(method, *arguments))


class DeferredErrors(CallbackList):
    """Callbacks whose first exception asks to stop, and is kept as `error`, to be raised once the run is saved.

    Raised at once, it would lose the updates since the last checkpoint and might leave records incomplete.
    """

    error: BaseException | None = None

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of all, up to the first that raises."""
        try:
            return super().call(method, *arguments)
        except (Exception, SystemExit) as error:  # not KeyboardInterrupt, which ends a run at once
            self.error = self.error or error
            return []

    def should_stop(self) -> bool:
        """Return whether any of them asks to stop or has raised."""
        return super().should_stop() or self.error is not None


class StoppedEarly(KeyboardInterrupt):
    """A signal that need not wait until `TrainingCallback.should_stop` is asked: there were no updates yet."""


class InterruptCallback(TrainingCallback):
    """Asks to stop once SIGINT has arrived, as Ctrl-C and the stop button of a notebook send it; a second one raises.

    A context manager. Python itself would raise KeyboardInterrupt in the middle of an update, whose parameters would
    then be changed in part. Only its default handler is replaced, and only in the main thread, which runs handlers.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._replaces_default = False

    def __enter__(self) -> InterruptCallback:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._replaces_default = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._replaces_default:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._replaces_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def should_stop(self) -> bool:
        """Return whether SIGINT has arrived."""
        return self.interrupted


class UpdateCallback(TrainingCallback):
    """Calls a function of the run, which asks to stop by returning a true value."""

    def __init__(self, function: Callable[[Run], object]) -> None:
        self.function, self.stop = function, False

    def on_progress(self, run: Run, updates: int) -> None:
        """Call the function."""
        self.stop = bool(self.function(run))

    def should_stop(self) -> bool:
        """Return whether the function asked to stop."""
        return self.stop


def list_callbacks(callback: Any, on_update: Any) -> list[TrainingCallback]:
    """Return the callbacks that were passed to `elman.train`: `callback` must be one."""
    if callback is not None and not isinstance(callback, TrainingCallback):
        given = "a class" if isinstance(callback, type) else type(callback).__name__
        raise ElmanError(f"callback must be an elman.TrainingCallback (got {given}); a function is passed as on_update")
    kind, methods = type(callback), ", ".join(METHODS)
    for name in dir(kind):
        if name.startswith(("on_", "should_")) and name not in METHODS:
            raise ElmanError(f"{kind.__name__}.{name} is never called; the methods of a callback are {methods}")
    callbacks = [] if callback is None else [callback]
    return callbacks if on_update is None else [*callbacks, UpdateCallback(on_update)]
