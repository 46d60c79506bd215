"""A trained network and its alphabet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elman.engine import Engine
from elman.errors import ElmanError
from elman.network import Draw, Parameters
from elman.network.parameters import Array
from elman.text import Alphabet
from elman.use.sample import until, written
from elman.use.score import Score, score


@dataclass(frozen=True, eq=False)
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

    def stream(
        self,
        length: int = 1000,
        *,
        prime: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
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
        stop : str
            End before this string would be written.
        random_state : int, optional
            The same number gives the same text again. Without it every call differs.

        Raises
        ------
        ElmanError
            If an option is out of its range, or `prime` has a character that the model does not know.
        """
        _check(length, temperature, top_k, top_p, random_state)
        prime = prime or ("\n" if "\n" in self.alphabet.characters else self.alphabet.characters[0])
        read = self.alphabet.encode(prime)
        h = self.h
        if len(read) > 1:
            _, h = self.engine.loss(self.parameters, h, read[:-1], read[1:])
        draw = Draw(temperature, top_k, top_p)
        generator = np.random.default_rng(random_state)
        pieces = written(self.engine, self.parameters, self.alphabet, h, int(read[-1]), length, draw, generator)
        return until(stop, pieces) if stop else pieces

    def sample(
        self,
        length: int = 1000,
        *,
        prime: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: str = "",
        random_state: int | None = None,
    ) -> str:
        """Return the text that `stream` would yield."""
        return "".join(
            self.stream(
                length,
                prime=prime,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                stop=stop,
                random_state=random_state,
            )
        )

    def score(self, text: str) -> Score:
        """Return the surprise of a text, read as if it went on where training ended.

        Raises
        ------
        ElmanError
            If the text has fewer than two characters, or one that the model does not know.
        """
        return score(self.engine, self.parameters, self.h, self.alphabet.encode(text))


def _check(length: int, temperature: float, top_k: int, top_p: float, random_state: int | None) -> None:
    ranges = (
        ("--length", length, length >= 0, "0 or more"),
        ("--temperature", temperature, 0 <= temperature < float("inf"), "a number of 0 or more"),
        ("--top-k", top_k, top_k >= 0, "0 (no limit) or more"),
        ("--top-p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
        ("--random-state", random_state, random_state is None or random_state >= 0, "0 or more"),
    )
    for name, value, fits, needed in ranges:
        if not fits:
            raise ElmanError(f"{name} must be {needed}, and {value} came: give another")
