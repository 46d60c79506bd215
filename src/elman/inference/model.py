"""A trained network and its alphabet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference.beam import WIDEST, searched
from elman.inference.checks import check_finite
from elman.inference.dynamic_evaluation import score_adapting
from elman.inference.generate import side_by_side, written
from elman.inference.score import Score, score
from elman.inference.stop_sequences import until
from elman.network import Parameters, SamplingParams
from elman.network.parameters import Array, architecture
from elman.text import Alphabet, opened

MOST_TEXTS, MOST_CHARACTERS = 10_000, 100_000_000
"""Texts that are drawn side by side, and their characters in all: they are kept until the last is whole."""


class Options(TypedDict, total=False):
    """How a text is drawn; see `Model.stream`."""

    prime: str
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    stop: str
    random_state: int | None


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """What a checkpoint gives back.

    Parameters
    ----------
    alphabet : Alphabet
        K characters.
    parameters : Parameters
        U (m, K), W (m, m), V (K, m), b (m,), c (K,) of the vanilla network; see `elman.network.parameters`.
    h : ndarray, shape (D,)
        The state that reading begins with: the one training ended in. A state of zero is one that the network has
        met once an epoch; saturated units may keep it among states it never learned from.
    engine : Engine
        What computes with them.
    """

    alphabet: Alphabet
    parameters: Parameters
    h: Array
    engine: Engine

    def __repr__(self) -> str:
        """Say what it is in a line, and not all its weights."""
        network = architecture(self.parameters)
        return (
            f"<Model: {network.layers} x {network.cell} {network.m}, {len(self.alphabet)} characters,"
            f" {self.h.dtype}, {self.engine.name}>"
        )

    def stream(
        self,
        length: int = 1000,
        *,
        prime: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        stop: str = "",
        random_state: int | None = None,
    ) -> Iterator[str]:
        """Yield text a few characters at a time, as it is drawn.

        Parameters
        ----------
        length : int
            Characters to write, at most.
        prime : str
            What the network reads first; it is not written again. Without one it reads a line feed, where its
            alphabet has one, so that it begins a line.
        temperature : float
            The logits are divided by it; 0 always takes the likeliest character.
        top_k : int
            Draw among the k likeliest only; 0 lets all.
        top_p : float
            Draw among the likeliest whose probabilities reach this sum; 1 lets all.
        min_p : float
            Draw among those at least so likely, next to the likeliest; 0 lets all.
        stop : str
            End before this string would be written.
        random_state : int, optional
            The same number gives the same text again. Without it every call differs.

        Raises
        ------
        ElmanError
            If an option is out of its range, or `prime` has a character that the model does not know.
        """
        sampling = _draw(length, temperature, top_k, top_p, min_p, random_state)
        h, x = self._behind(prime)
        generator = np.random.default_rng(random_state)
        pieces = written(self.engine, self.parameters, self.alphabet, h, x, length, sampling, generator)
        return until(stop, pieces) if stop else pieces

    def sample(self, length: int = 1000, **options: Unpack[Options]) -> str:
        """Return the text that `stream` would yield; it takes the same options."""
        return "".join(self.stream(length, **options))

    def samples(self, count: int, length: int = 1000, **options: Unpack[Options]) -> list[str]:
        """Return several texts, drawn side by side, which takes little longer than one.

        Parameters
        ----------
        count : int
            How many.
        length : int
            Characters of each, at most.
        **options
            Those of `stream`. The first text is drawn with `random_state`, the next with the number after it, and so
            on. What one of them is does not depend on how many there are.

        Raises
        ------
        ElmanError
            As `stream`, or if `count` is less than 1, or so large that memory might not hold the texts.
        """
        _check(("--count", count, 1 <= count <= MOST_TEXTS, f"from 1 to {MOST_TEXTS:,}"))
        if count * length > MOST_CHARACTERS:
            raise ElmanError(
                f"--count texts of --length characters may have {MOST_CHARACTERS:,} characters in all, and"
                f" {count * length:,} were asked for: ask for less, or for one text, which is written as it is drawn"
            )
        stop, seed = options.get("stop", ""), options.get("random_state")
        sampling = _draw(length, **options)
        h, x = self._behind(options.get("prime", ""))
        generators = [np.random.default_rng(None if seed is None else seed + n) for n in range(count)]
        texts = side_by_side(self.engine.session(self.parameters), self.alphabet, h, x, length, sampling, generators)
        return [text.partition(stop)[0] for text in texts] if stop else texts

    def beam(self, width: int, length: int = 1000, *, prime: str = "", stop: str = "") -> Iterator[str]:
        """Yield the likeliest text that a beam search of this width finds, a piece as soon as it is certain.

        Likely is not lively: a network that is always certain repeats itself.

        Raises
        ------
        ElmanError
            If a number is out of its range, or `prime` has a character that the model does not know.
        """
        _check(
            ("--beam", width, 1 <= width <= WIDEST, f"from 1 to {WIDEST:,}"),
            ("--length", length, length >= 0, "0 or more"),
        )
        h, x = self._behind(prime)
        pieces = searched(self.engine.session(self.parameters), self.alphabet, h, x, length, width)
        return until(stop, pieces) if stop else pieces

    def _behind(self, prime: str) -> tuple[Array, int]:
        """Read all of `prime` but its last character: the state (D,) then, and that character."""
        read, h = self.alphabet.encode(prime or self.alphabet.beginning), self.h
        if len(read) > 1:
            _, h = self.engine.loss(self.parameters, h, read[:-1], read[1:])
        return h, int(read[-1])

    def score(self, text: str, *, adapt: bool = False) -> Score:
        """Return the surprise of a text, read as if it went on where training ended.

        Parameters
        ----------
        text : str
            What a character costs that the model does not know, `elman.inference.strangers` says.
        adapt : bool
            Whether the network goes on learning from what it has read, for this text alone; see `elman.inference.dynamic_evaluation`.

        Raises
        ------
        ElmanError
            If the text has fewer than two characters, or the network computes what is not a finite number.
        """
        scored = score_adapting if adapt else score
        found = scored(self.engine, self.parameters, self.h, opened(self.alphabet).encode(text))
        check_finite(found.nats)
        return found


def _draw(
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    random_state: int | None = None,
    **_: str,
) -> SamplingParams:
    """Return how to draw, if every number is in its range."""
    _check(
        ("--length", length, length >= 0, "0 or more"),
        ("--temperature", temperature, 0 <= temperature < float("inf"), "a number of 0 or more"),
        ("--top-k", top_k, top_k >= 0, "0 (no limit) or more"),
        ("--top-p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
        ("--min-p", min_p, 0 <= min_p <= 1, "0 (no limit) to 1"),
        ("--random-state", random_state, random_state is None or random_state >= 0, "0 or more"),
    )
    return SamplingParams(temperature, top_k, top_p, min_p)


def _check(*ranges: tuple[str, float | None, bool, str]) -> None:
    for name, value, fits, needed in ranges:
        if not fits:
            raise ElmanError(f"{name} must be {needed}, and {value} came: give another")
