"""The display that shows nothing, which the others extend."""

from __future__ import annotations

from elman.training.callbacks import TrainingCallback


class ProgressDisplay(TrainingCallback):
    """A training callback that shows the progress of one training after another; this one shows nothing."""

    def show(self, line: str) -> None:
        """Show what is being done before the first update."""

    def on_notice(self, notice: str) -> None:
        """Show what to know before training starts."""
        self.show(notice)

    def close(self) -> None:
        """End the display."""
