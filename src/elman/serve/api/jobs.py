"""From a completion request to a generation job: encoded prompts, random generators, sequences."""

from __future__ import annotations

import numpy as np

from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.stop_sequences import StopSequenceFilter
from elman.serve.api.completion_request import SEED, CompletionRequest, Prompt
from elman.serve.generation.job import GenerationJob
from elman.serve.generation.sequence import Sequence
from elman.serve.generation.served_model import ServedModel
from elman.serve.http.errors import APIError


def create_job(served: ServedModel, request: CompletionRequest, prompts: list[Indices]) -> GenerationJob:
    """Return the job of a request, to be submitted to the model's batcher.

    With a seed, the sequences are those that `Model.samples` generates with that seed.

    Parameters
    ----------
    served : ServedModel
    request : CompletionRequest
    prompts : list of ndarray
        Its prompts as indices, from `encode_prompts`.
    """
    repeated = [number for number in range(len(prompts)) for _ in range(request.n)]
    sequences = [
        _create_sequence(served, request, index, request.prompts[number], prompts[number])
        for index, number in enumerate(repeated)
    ]
    return GenerationJob(sequences, served.batcher.wake)


def _create_sequence(
    served: ServedModel, request: CompletionRequest, index: int, prompt: Prompt, indices: Indices
) -> Sequence:
    alphabet = served.model.alphabet
    return Sequence(
        index=index,
        alphabet=alphabet,
        prompt=indices if len(indices) else served.start_indices(),
        echo="" if not request.echo else prompt if isinstance(prompt, str) else alphabet.decode(indices),
        h=served.model.h,
        remaining=request.max_tokens,
        sampling=request.sampling,
        generator=create_generator(request.seed, index),
        stops=StopSequenceFilter(request.stops),
        num_logprobs=request.logprobs,
    )


def create_generator(seed: int | None, index: int = 0) -> np.random.Generator:
    """Return the random generator of the sequence at a position within its request."""
    # A negative seed is mapped to a positive one, which NumPy requires.
    return np.random.default_rng(None if seed is None else seed % (2 * SEED) + index)


def encode_prompts(served: ServedModel, request: CompletionRequest) -> list[Indices]:
    """Return every prompt of a request as indices (P,).

    Raises
    ------
    APIError
        400 if a prompt contains an unknown character.
    """
    return [encode(served, prompt) for prompt in request.prompts]


def encode(served: ServedModel, prompt: Prompt, param: str = "prompt") -> Indices:
    """Return a text, or a list of indices, as an array of indices.

    Raises
    ------
    APIError
        400, naming the argument `param`, if the text contains an unknown character or an index is out of range.
    """
    alphabet = served.model.alphabet
    if isinstance(prompt, str):
        try:
            return alphabet.encode(prompt)
        except ElmanError as error:
            raise APIError(400, str(error), "unknown_character", param) from None
    if invalid := [index for index in prompt if index >= len(alphabet)]:
        message = f"{invalid[0]} is not the index of a character; the model has {len(alphabet)}, counted from 0"
        raise APIError(400, message, "unknown_character", param)
    return np.array(prompt, alphabet.dtype)
