"""One text in the making, from the first character of its prompt to its end.

D  numbers in the state of a stream    K  size of the alphabet    n  characters of a step
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices
from elman.inference.logprobs import CharLogprobs, compute_logprobs, concatenate_logprobs, missing_logprobs
from elman.inference.stop_sequences import StopSequenceFilter
from elman.network import SamplingParams
from elman.network.parameters import Array
from elman.text import Alphabet


@dataclass(frozen=True)
class Piece:
    """What a text has grown by."""

    index: int
    """Which of its request's texts it is."""
    text: str
    rows: CharLogprobs | None = None
    """Where they are asked for, those of its characters."""
    finish: str | None = None
    """Why the text ends here: ``stop`` or ``length``."""
    echoed: bool = False
    """Whether it is of the prompt."""


@dataclass(eq=False)
class Text:
    """A prompt to read, and the characters that follow it.

    Parameters
    ----------
    index : int
        Which of its request's texts it is.
    alphabet : Alphabet
    prompt : ndarray of int, shape (P,)
        P >= 1 characters to read.
    echo : str
        The prompt as it is given back, of P characters, or nothing.
    h : ndarray, shape (D,)
        The state to begin with; then the one it has come to.
    to_write : int
        Characters left to write, at most.
    draw : Draw
    generator : Generator
        What its characters are drawn with, and no other's.
    stops : StopSequenceFilter
    listed : int or None
        How many of the likeliest characters are listed with every character, if log-probabilities are asked for.
    """

    index: int
    alphabet: Alphabet
    prompt: Indices
    echo: str
    h: Array
    to_write: int
    sampling: SamplingParams
    generator: np.random.Generator
    stops: StopSequenceFilter
    listed: int | None
    to_read: int = field(init=False)
    """Characters of the prompt left to read, but for its last, which the first step of writing reads."""
    x: int = field(init=False)
    """The character that the next step of writing reads."""
    begun: bool = False
    """Whether a character was drawn."""
    ended: bool = False
    given_up: bool = False
    """Set by its request: nobody wants it any more."""
    passed_on: int = 0
    """Characters given to its request."""
    taken: int = 0
    """Counted by its request: those of them that are on their way to the client."""
    _rows: list[CharLogprobs] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.to_read, self.x = len(self.prompt) - 1, int(self.prompt[-1])

    @property
    def ahead(self) -> int:
        """Characters that its client has yet to take."""
        return self.passed_on - self.taken

    def begin(self) -> Piece | None:
        """Return the first character of a prompt that is given back; nothing came before it."""
        first = self.echo[:1]
        known = None if self.listed is None else missing_logprobs(len(first), min(self.listed, len(self.alphabet)))
        return self._grown(first, known, echoed=True)

    def next_read(self, n: int) -> Indices:
        """Return up to n characters of the prompt, those that are to be read next."""
        start = len(self.prompt) - 1 - self.to_read
        return self.prompt[start : start + min(n, self.to_read)]

    def has_read(self, o: Array, h: Array) -> Piece | None:
        """Go on behind n characters of the prompt, given the logits (n, K) after each and the state (D,) after all."""
        n, start = len(o), len(self.prompt) - self.to_read
        self.h, self.to_read = h, self.to_read - n
        told = bool(self.echo) and self.listed is not None
        known = compute_logprobs(o, self.prompt[start : start + n], self.listed or 0) if told else None
        return self._grown(self.echo[start : start + n], known, echoed=True)

    def has_written(self, characters: NDArray[np.intp], h: Array, o: Array | None) -> Piece | None:
        """Go on behind characters (n,) that were drawn, in the state h (D,) before the last of them is read.

        Where log-probabilities are asked for, the logits o (n, K) that each was drawn from are needed.
        """
        characters = characters[: self.to_write]
        n = len(characters)
        self.begun, self.x, self.h, self.to_write = True, int(characters[-1]), h, self.to_write - n
        text, stopped = self.stops.feed(self.alphabet.decode(characters), self.to_write == 0)
        known = None
        if o is not None:
            held = concatenate_logprobs([*self._rows, compute_logprobs(o[:n], characters, self.listed or 0)])
            known, rest = held.slice(0, len(text)), held.slice(len(text), len(held.logprobs))
            self._rows = [rest]
        return self._grown(text, known, stopped=stopped)

    def _grown(
        self, text: str, known: CharLogprobs | None, *, stopped: bool = False, echoed: bool = False
    ) -> Piece | None:
        """Return what is to be passed on, if anything."""
        finish = "stop" if stopped else None if self.to_read or self.to_write else "length"
        self.ended = finish is not None
        self.passed_on += len(text)
        return Piece(self.index, text, known, finish, echoed) if text or finish else None
