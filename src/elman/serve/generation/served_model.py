"""A model that is served: its name, its sampler, and the jobs that it makes of requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.stop_sequences import StopSequenceFilter
from elman.serve.api.completion_request import Asked, Prompt, derive_seed
from elman.serve.generation.batcher import Sampler
from elman.serve.generation.job import Job
from elman.serve.generation.sequence import Text
from elman.serve.http.errors import Refusal
from elman.serve.settings import Settings


@dataclass(eq=False)
class Served:
    """A model and what is done with it.

    Parameters
    ----------
    name : str
        What a request calls it.
    model : Model
    settings : Settings
    sampler : Sampler
    inside : int
        Requests that are being answered or wait for it.
    """

    name: str
    model: Model
    settings: Settings
    sampler: Sampler = field(init=False)
    inside: int = 0

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.model, self.settings.streams)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue.

        Raises
        ------
        Refusal
            429 if it is full.
        """
        limit = self.settings.streams + self.settings.queue
        if self.inside >= limit:
            message = f"{limit} requests are being answered or wait already: ask again later"
            raise Refusal(429, message, "queue_full", headers={"retry-after": "1"})
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def prompts(self, wanted: Asked) -> list[Indices]:
        """Return the characters (P,) of every prompt of a request.

        Raises
        ------
        Refusal
            400 if the model does not know one of them.
        """
        return [self.encoded(prompt) for prompt in wanted.prompts]

    def job(self, wanted: Asked, prompts: list[Indices]) -> Job:
        """Return the job that a request asks for, to be submitted to the sampler.

        Of a request with a seed, the texts are those that `Model.samples` draws with that random state.
        """
        several = [(number, read) for number, read in enumerate(prompts) for _ in range(wanted.n)]
        texts = [self._text(wanted, index, number, read) for index, (number, read) in enumerate(several)]
        return Job(texts, self.sampler.wake)

    def _text(self, wanted: Asked, index: int, number: int, prompt: Indices) -> Text:
        given = wanted.prompts[number]
        return Text(
            index=index,
            alphabet=self.model.alphabet,
            prompt=prompt if len(prompt) else self.first(),
            echo="" if not wanted.echo else given if isinstance(given, str) else self.model.alphabet.decode(prompt),
            h=self.model.h,
            to_write=wanted.max_tokens,
            sampling=wanted.sampling,
            generator=np.random.default_rng(derive_seed(wanted.seed, index)),
            stops=StopSequenceFilter(wanted.stops),
            listed=wanted.logprobs,
        )

    def first(self) -> Indices:
        """What is read where there is no prompt."""
        return self.model.alphabet.encode(self.model.alphabet.start_char)

    def encoded(self, prompt: Prompt, param: str = "prompt") -> Indices:
        """Return what the argument `param` holds as indices; what the model does not know is refused."""
        alphabet = self.model.alphabet
        if isinstance(prompt, str):
            try:
                return alphabet.encode(prompt)
            except ElmanError as error:
                raise Refusal(400, str(error), "unknown_character", param) from None
        if beyond := [index for index in prompt if index >= len(alphabet)]:
            message = f"the model knows {len(alphabet)} characters, and {beyond[0]} is not the index of one"
            message += f": give indices from 0 to {len(alphabet) - 1}"
            raise Refusal(400, message, "unknown_character", param)
        return np.array(prompt, alphabet.dtype)


def find(served: dict[str, Served], name: str) -> Served:
    """Return the model of a name.

    Raises
    ------
    Refusal
        404 if there is none.
    """
    if name not in served:
        message = f"there is no model {name[:60]!r}: ask for one of {', '.join(served)}"
        raise Refusal(404, message, "model_not_found", "model")
    return served[name]
