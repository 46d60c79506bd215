"""Beam search for the most likely text.

Only the `width` most likely prefixes are kept, each with its log-probability, the sum over its characters. At each step
every prefix is extended by every character, and the `width` most likely results are kept. A width of 1 is greedy
decoding. Characters on which all kept prefixes agree are final and are yielded at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.engine import InferenceSession
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.text import Alphabet

MAX_BEAM_WIDTH = 1_000
"""With a large alphabet, the scores of all extensions of so many prefixes take a gigabyte."""


def beam_search(
    session: InferenceSession, alphabet: Alphabet, h: Array, x: int, length: int, width: int
) -> Iterator[str]:
    """Yield the most likely text of `length` characters that the search finds, in chunks as soon as they are final.

    Parameters
    ----------
    reader : Reader
    alphabet : Alphabet
    h : ndarray, shape (D,)
        The state in which x is read.
    x : int
        The character before the text.
    length : int
        Characters to generate.
    width : int
        Number of prefixes kept.
    """
    states, last = h[None], np.array([x])
    prefixes: NDArray[np.intp] = np.empty((1, 0), np.intp)  # without their final part, which was yielded
    total = np.zeros(1)
    for _ in range(length):
        o, after = session.logits(states, last[None])
        scores = total[:, None] + log_softmax(o[0].astype(np.float64))
        best = np.argsort(-scores, axis=None, kind="stable")[:width]
        parent, last = np.divmod(best, len(alphabet))
        states, total = after[0][parent], scores.ravel()[best]
        prefixes = np.column_stack([prefixes[parent], last])
        num_final = _count_common(prefixes)
        if num_final:
            yield alphabet.decode(prefixes[0, :num_final])
            prefixes = prefixes[:, num_final:]
    yield alphabet.decode(prefixes[0])


def _count_common(prefixes: NDArray[np.intp]) -> int:
    """Return the length of the longest common prefix of all rows."""
    equal = (prefixes == prefixes[0]).all(axis=0)
    return int(np.argmin(equal)) if not equal.all() else len(equal)
