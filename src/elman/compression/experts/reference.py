"""The experts and their mixture in plain Python and NumPy, written to be read; the kernels are held to it by tests.

R  rows: substreams coded in lockstep      K  alphabet size
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression.experts import mixing, words
from elman.compression.experts.match import MAX_LENGTH, MIN_LENGTH
from elman.network.output import softmax

Floats64 = NDArray[np.float64]


class ReferenceMatchModel:
    """The match model of `elman.compression.experts.match`, with dictionaries of contexts.

    Parameters
    ----------
    text : sequence of int
        The training text.
    R : int
    """

    def __init__(self, text: Sequence[int], R: int) -> None:
        self.texts = [list(text), *([] for _ in range(R))]
        self.after_context: list[dict[tuple[int, ...], tuple[int, int]]] = [{}, {}]  # of the training text, of the rows
        for end in range(MIN_LENGTH, len(text)):
            self.after_context[0][tuple(text[end - MIN_LENGTH : end])] = (0, end)
        self.pointers: list[tuple[int, int] | None] = [None] * R
        self.lengths = [0] * R

    def read(self, x: Sequence[int]) -> None:
        """Read one character per row."""
        for r, character in enumerate(x):
            self.texts[r + 1].append(character)
        for r, character in enumerate(x):
            self._continue_match(r, character)
            if self.pointers[r] is None:
                self._find_match(r)
        for text_number in range(1, len(self.texts)):
            text = self.texts[text_number]
            if len(text) >= MIN_LENGTH:
                self.after_context[1][tuple(text[-MIN_LENGTH:])] = (text_number, len(text))

    def predict(self, r: int) -> int | None:
        """Return the character that the match of row r predicts."""
        pointer = self.pointers[r]
        return None if pointer is None else self.texts[pointer[0]][pointer[1]]

    def _continue_match(self, r: int, character: int) -> None:
        pointer = self.pointers[r]
        if pointer is not None and self.texts[pointer[0]][pointer[1]] == character:
            self.lengths[r] = min(self.lengths[r] + 1, MAX_LENGTH)
            ends = pointer[0] == 0 and pointer[1] + 1 == len(self.texts[0])
            self.pointers[r] = None if ends else (pointer[0], pointer[1] + 1)
        else:
            self.pointers[r] = None

    def _find_match(self, r: int) -> None:
        context = tuple(self.texts[r + 1][-MIN_LENGTH:])
        for table in reversed(self.after_context):
            if context in table and len(context) == MIN_LENGTH:
                number, end = self.pointers[r] = table[context]
                self.lengths[r] = common_suffix(self.texts[r + 1], self.texts[number][:end])
                return


def common_suffix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many items at the end of two sequences are equal, at most `MAX_LENGTH`."""
    length = 0
    while length < min(MAX_LENGTH, len(a), len(b)) and a[-1 - length] == b[-1 - length]:
        length += 1
    return length


class ReferenceWordModel:
    """The word model of `elman.compression.experts.words`, which remembers everything.

    Parameters
    ----------
    text : sequence of int
        The training text.
    is_word : ndarray of bool, shape (K,)
    start : int
        The character before each row.
    R : int
    """

    def __init__(self, text: Sequence[int], is_word: NDArray[np.bool_], start: int, R: int) -> None:
        self.is_word = is_word
        self.counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        context: tuple[int, ...] = ()
        for x in text:
            if context:
                self.counts[context][x] += 1
            context = self.next_context(context, x)
        self.contexts: list[tuple[int, ...]] = [(start,)] * R

    def next_context(self, context: tuple[int, ...], x: int) -> tuple[int, ...]:
        """Return the context after character x: the word so far, or a character outside words."""
        continues = self.is_word[x] and context and self.is_word[context[0]]
        return (*context, x) if continues else (x,)

    def read(self, x: Sequence[int]) -> None:
        """Read and count one character per row."""
        for r, character in enumerate(x):
            self.counts[self.contexts[r]][character] += words.READ_COUNT
            self.contexts[r] = self.next_context(self.contexts[r], character)

    def bonuses(self, r: int, q: Floats64) -> dict[int, float]:
        """Return (1) of `words` for row r by character, given q (K,)."""
        counts, D = self.counts[self.contexts[r]], words.DISCOUNT
        return {k: float(np.log(1 + (n - D) / (D * len(counts) * q[k]))) for k, n in counts.items()}


class ReferenceWeights(NamedTuple):
    """`mixing.Weights` in float64."""

    by_order: Floats64
    by_last: Floats64
    by_confidence: Floats64
    words: Floats64
    match: Floats64
    first: Floats64
    second: Floats64


class ReferenceMixture:
    """The mixture of `elman.compression.experts.mixing` for one row at a time.

    Parameters
    ----------
    weights : mixing.Weights
        Copied.
    """

    def __init__(self, weights: mixing.Weights) -> None:
        self.weights = ReferenceWeights(*(array.astype(np.float64) for array in weights))
        self.K = len(weights.first)

    def mix(
        self, a: Floats64, log_q: Floats64, j: int, b: Floats64, s: int, predicted: int, length: int, context: list[int]
    ) -> Floats64:
        """Return p (K,) of (2), from the inputs of (1): b (K,), `predicted` -1 for none, `context` the last two."""
        weights, last = self.weights, context[1]
        w, v = weights.by_order[j] + weights.by_last[last] + weights.by_confidence[s]
        o = w * a + v * log_q + weights.words[s] * b
        o += weights.first[last] + weights.second[self._row(context)]
        if predicted >= 0:
            o[predicted] += weights.match[length]
        p: Floats64 = softmax(o).astype(np.float64)
        return p

    def learn(
        self, p: Floats64, x: int, a: Floats64, log_q: Floats64, j: int, b: Floats64, s: int, predicted: int,
        length: int, context: list[int],
    ) -> None:  # fmt: skip
        """Take the steps (3) and (4) after character x."""
        weights, g = self.weights, p.copy()
        g[x] -= 1
        for selected in (weights.by_order[j], weights.by_last[context[1]], weights.by_confidence[s]):
            selected -= mixing.RATES.experts * np.array([g @ a, g @ log_q])
        weights.words[s] -= mixing.RATES.words * (g @ b)
        if predicted >= 0:
            weights.match[length] -= mixing.RATES.match * g[predicted]
        weights.first[context[1]] -= mixing.RATES.first * g
        weights.second[self._row(context)] -= mixing.RATES.second * g

    def _row(self, context: list[int]) -> int:
        return (context[0] * self.K + context[1]) % len(self.weights.second)
