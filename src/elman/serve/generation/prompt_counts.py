"""The counts of one prompt: sessions of a model whose n-gram prior has counted it."""

from __future__ import annotations

from functools import cached_property

from elman.engine import InferenceSession
from elman.inference import Model


class PromptCounts:
    """The sessions of one sequence, which no other may use, as its prior has counts of its own.

    Parameters
    ----------
    model : Model
        With an n-gram prior; it is not changed.
    """

    def __init__(self, model: Model) -> None:
        self._engine, self._parameters = model.engine, model.parameters.continued()

    @cached_property
    def prompt_session(self) -> InferenceSession:
        """Counts the prompt while it reads it."""
        return self._engine.session(self._parameters)

    @cached_property
    def session(self) -> InferenceSession:
        """Has the counts of the prompt, and counts nothing more; to be used once the prompt is read."""
        return self._engine.session(self._parameters.frozen())
