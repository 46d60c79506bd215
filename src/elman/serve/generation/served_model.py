"""A served model: its name, its batcher, and how many requests it admits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from elman.engine.protocol import Indices
from elman.errors import quote
from elman.inference import Model
from elman.serve.generation.batcher import ContinuousBatcher
from elman.serve.http.errors import APIError
from elman.serve.settings import Settings


@dataclass(eq=False)
class ServedModel:
    """A model with its batcher and its admission limit.

    Parameters
    ----------
    name : str
        The model's name in requests.
    model : Model
    settings : Settings
    batcher : ContinuousBatcher
    in_flight : int
        Requests that are being processed or wait.
    """

    name: str
    model: Model
    settings: Settings
    batcher: ContinuousBatcher = field(init=False)
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.batcher = ContinuousBatcher(self.model, self.settings.max_batch_size)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request as in flight for the duration of the block.

        Raises
        ------
        APIError
            429 if the queue is full.
        """
        limit = self.settings.max_batch_size + self.settings.max_queued_requests
        if self.in_flight >= limit:
            message = f"the queue is full ({limit} requests running or waiting); retry later"
            raise APIError(429, message, "queue_full", headers={"retry-after": "1"})
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def start_indices(self) -> Indices:
        """Return the indices that are read in place of an empty prompt, shape (1,)."""
        return self.model.alphabet.encode(self.model.alphabet.start_char)


def get_model(models: dict[str, ServedModel], name: object) -> ServedModel:
    """Return the model of a name, or the only one if there is no name.

    Raises
    ------
    APIError
        404 if there is none of that name; 400 if there are several and no name.
    """
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if not isinstance(name, str):
        message = f"model must be the name of one of the models: {', '.join(models)}"
        raise APIError(400, message, "invalid_value", "model")
    if name not in models:
        message = f"model {quote(name)} not found (available: {', '.join(models)})"
        raise APIError(404, message, "model_not_found", "model")
    return models[name]
