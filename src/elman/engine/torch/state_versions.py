"""Whether a training state is as a call of `advance` left it."""

from __future__ import annotations

from typing import Any

from elman.engine.state import TrainState

COUNTS = ("position", "update", "epoch")
"""The numbers of a `TrainState` that every update changes."""


class LastState:
    """The training state of the last call of `advance`, to tell whether something else has changed it since."""

    def __init__(self) -> None:
        self._state: TrainState | None = None
        self._versions: tuple[Any, ...] = ()

    def remember(self, state: TrainState) -> None:
        """Take note of a state as it is."""
        self._state, self._versions = state, _versions(state)

    def differs_from(self, state: TrainState) -> bool:
        """Return whether a state is another one, or was changed, as by switching on the prior."""
        return state is not self._state or _versions(state) != self._versions


def _versions(state: TrainState) -> tuple[Any, ...]:
    return (*(getattr(state, name) for name in COUNTS), state.parameters.uses_prior)
