"""What a client is told of its texts, in the objects of the OpenAI completions protocol.

K  size of the alphabet
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from elman.inference.logprobs import CharLogprobs, concatenate_logprobs
from elman.serve.generation.sequence import Piece

LEAST = -9999.0
"""Stands for the logarithm of 0, which JSON cannot hold."""


@dataclass
class Answer:
    """Turns pieces into what is sent, and counts them.

    Parameters
    ----------
    model : str
    characters : str
        The K characters of its alphabet.
    prompts : sequence of int
        The length of every prompt.
    n : int
        Texts for each prompt.
    echo : bool
        Whether they are given back.
    """

    model: str
    characters: str
    prompts: Sequence[int]
    n: int
    echo: bool
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    written: int = 0
    """Characters of all texts, those of the prompts apart."""
    _offsets: dict[int, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Characters of all prompts; one counts once, however many texts follow it."""
        return sum(self.prompts)

    def usage(self) -> dict[str, int]:
        """Return the counts, in characters."""
        return {
            "prompt_tokens": self.read,
            "completion_tokens": self.written,
            "total_tokens": self.read + self.written,
        }

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return the answer that holds all texts."""
        return self._around(self._choices(pieces)) | {"usage": self.usage()}

    def part(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return one event for each text that has grown."""
        return [self._around([choice]) for choice in self._choices(pieces)]

    def end(self) -> dict[str, Any]:
        """Return the event behind a stream that tells the counts."""
        return self._around([]) | {"usage": self.usage()}

    def _around(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _choices(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return what the pieces say of each text that they belong to, in the texts' order."""
        of_text: dict[int, list[Piece]] = {}
        for piece in pieces:
            of_text.setdefault(piece.index, []).append(piece)
            self.written += 0 if piece.echoed else len(piece.text)
        return [self._choice(index, of_text[index]) for index in sorted(of_text)]

    def _choice(self, index: int, pieces: list[Piece]) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        known = [piece.rows for piece in pieces if piece.rows is not None]
        logprobs = self._logprobs(index, text, concatenate_logprobs(known)) if known else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": pieces[-1].finish}

    def _logprobs(self, index: int, text: str, known: CharLogprobs) -> dict[str, list[Any]]:
        start = self._offsets.get(index, 0 if self.echo else self.prompts[index // self.n])
        self._offsets[index] = start + len(text)
        logprobs = [None if value != value else max(value, LEAST) for value in known.logprobs.tolist()]
        return {
            "tokens": list(text),
            "token_logprobs": logprobs,
            "top_logprobs": list(self._listed(text, logprobs, known)),
            "text_offset": list(range(start, start + len(text))),
        }

    def _listed(
        self, text: str, logprobs: list[float | None], known: CharLogprobs
    ) -> Iterable[dict[str, float] | None]:
        """Yield the likeliest characters at every place, and the one that stands there; None where nothing is known."""
        for character, value, top, values in zip(
            text, logprobs, known.top.tolist(), known.top_logprobs.tolist(), strict=True
        ):
            listed = {self.characters[k]: max(log_p, LEAST) for k, log_p in zip(top, values, strict=True)}
            yield None if value is None else listed | {character: value}
