"""Who looks on while a run trains."""

from __future__ import annotations

from typing import Protocol

from elman.runs.records import Sample
from elman.runs.run import Run


class Watcher(Protocol):
    """Who looks on while a run trains. Every method may do nothing."""

    def preparing(self) -> None:
        """Kernels are about to be compiled, or loaded if they have been before."""

    def progressed(self, run: Run, updates: int) -> None:
        """Some updates were done, of `updates` in all, as far as that is known."""

    def sampled(self, sample: Sample) -> None:
        """Text was written."""

    def warned(self, warning: str) -> None:
        """The network is not well: what was seen, and what to change."""

    def stop_asked(self) -> bool:
        """Whether to save and stop."""


class Nobody:
    """The watcher that does not look."""

    def preparing(self) -> None:
        """Do nothing."""

    def progressed(self, run: Run, updates: int) -> None:
        """Do nothing."""

    def sampled(self, sample: Sample) -> None:
        """Do nothing."""

    def warned(self, warning: str) -> None:
        """Do nothing."""

    def stop_asked(self) -> bool:
        """Never."""
        return False


class Watchers:
    """Several watchers, each of whom may ask to stop.

    Parameters
    ----------
    *watchers : Watcher
    """

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = watchers

    def preparing(self) -> None:
        """Tell all."""
        for watcher in self.watchers:
            watcher.preparing()

    def progressed(self, run: Run, updates: int) -> None:
        """Tell all."""
        for watcher in self.watchers:
            watcher.progressed(run, updates)

    def sampled(self, sample: Sample) -> None:
        """Tell all."""
        for watcher in self.watchers:
            watcher.sampled(sample)

    def warned(self, warning: str) -> None:
        """Tell all."""
        for watcher in self.watchers:
            watcher.warned(warning)

    def stop_asked(self) -> bool:
        """Whether one of them asks for it."""
        return any(watcher.stop_asked() for watcher in self.watchers)
