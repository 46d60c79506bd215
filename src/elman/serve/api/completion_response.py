"""Building completion objects of the OpenAI API from the deltas of sequences.

K  size of the alphabet
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from elman.inference.logprobs import CharLogprobs, concatenate_logprobs
from elman.serve.generation.sequence import SequenceDelta

MIN_LOGPROB = -9999.0
"""Represents the logarithm of 0, which JSON cannot represent."""


@dataclass
class CompletionResponse:
    """Converts deltas to response objects and counts the generated characters.

    Parameters
    ----------
    model : str
    characters : str
        The K characters of its alphabet.
    prompts : sequence of int
        The length of every prompt.
    n : int
        Sequences per prompt.
    echo : bool
        Whether the prompts are returned.
    """

    model: str
    characters: str
    prompts: Sequence[int]
    n: int
    echo: bool
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    written: int = 0
    """Characters generated for all sequences, without prompts."""
    _offsets: dict[int, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Characters of all prompts; each prompt counts once, however many sequences continue it."""
        return sum(self.prompts)

    def usage(self) -> dict[str, int]:
        """Return the usage, in characters."""
        return {
            "prompt_tokens": self.read,
            "completion_tokens": self.written,
            "total_tokens": self.read + self.written,
        }

    def full_response(self, deltas: Sequence[SequenceDelta]) -> dict[str, Any]:
        """Return the response with all sequences."""
        return self._completion(self._choices(deltas)) | {"usage": self.usage()}

    def chunks(self, deltas: Sequence[SequenceDelta]) -> list[dict[str, Any]]:
        """Return one chunk of a stream for each sequence that has grown."""
        return [self._completion([choice]) for choice in self._choices(deltas)]

    def usage_chunk(self) -> dict[str, Any]:
        """Return the last chunk of a stream, which has the usage and no choices."""
        return self._completion([]) | {"usage": self.usage()}

    def _completion(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _choices(self, deltas: Sequence[SequenceDelta]) -> list[dict[str, Any]]:
        """Return a choice for every sequence, ordered by index, from all of its deltas."""
        by_index: dict[int, list[SequenceDelta]] = {}
        for delta in deltas:
            by_index.setdefault(delta.index, []).append(delta)
            self.written += 0 if delta.is_prompt else len(delta.text)
        return [self._choice(index, by_index[index]) for index in sorted(by_index)]

    def _choice(self, index: int, deltas: list[SequenceDelta]) -> dict[str, Any]:
        text = "".join(delta.text for delta in deltas)
        parts = [delta.logprobs for delta in deltas if delta.logprobs is not None]
        logprobs = self._logprobs(index, text, concatenate_logprobs(parts)) if parts else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": deltas[-1].finish}

    def _logprobs(self, index: int, text: str, char_logprobs: CharLogprobs) -> dict[str, list[Any]]:
        start = self._offsets.get(index, 0 if self.echo else self.prompts[index // self.n])
        self._offsets[index] = start + len(text)
        log_probabilities = char_logprobs.logprobs.tolist()
        token_logprobs = [None if log_p != log_p else max(log_p, MIN_LOGPROB) for log_p in log_probabilities]
        return {
            "tokens": list(text),
            "token_logprobs": token_logprobs,
            "top_logprobs": list(self._top_logprobs(text, token_logprobs, char_logprobs)),
            "text_offset": list(range(start, start + len(text))),
        }

    def _top_logprobs(
        self, text: str, token_logprobs: list[float | None], char_logprobs: CharLogprobs
    ) -> Iterable[dict[str, float] | None]:
        """Yield the most likely characters of every position, and the actual one; None where nothing precedes it."""
        top, top_logprobs = char_logprobs.top.tolist(), char_logprobs.top_logprobs.tolist()
        positions = zip(text, token_logprobs, top, top_logprobs, strict=True)
        for character, log_p, indices, values in positions:
            likely = {self.characters[k]: max(value, MIN_LOGPROB) for k, value in zip(indices, values, strict=True)}
            yield None if log_p is None else likely | {character: log_p}
