"""Beam search: the likeliest text that a narrow look ahead finds.

Of all beginnings of the text only the `width` likeliest are kept, each with its log-probability, the sum over its
characters. Every one is lengthened by every character, and the likeliest `width` of what comes out are kept again. A
width of 1 takes the likeliest character each time. What all that are kept begin with will not change any more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.engine import InferenceSession
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.text import Alphabet

WIDEST = 1_000
"""Beginnings kept at most: with a large alphabet, what they are lengthened by takes a gigabyte."""


def searched(session: InferenceSession, alphabet: Alphabet, h: Array, x: int, length: int, width: int) -> Iterator[str]:
    """Yield the likeliest text of `length` characters found, a piece as soon as it is certain.

    Parameters
    ----------
    reader : Reader
    alphabet : Alphabet
    h : ndarray, shape (D,)
        The state in which x is read.
    x : int
        The character before the text.
    length, width : int
        Characters to write; beginnings kept.
    """
    states, last = h[None], np.array([x])
    texts: NDArray[np.intp] = np.empty((1, 0), np.intp)  # what is kept, without what is certain
    total = np.zeros(1)
    for _ in range(length):
        o, after = session.logits(states, last[None])
        scores = total[:, None] + log_softmax(o[0].astype(np.float64))
        best = np.argsort(-scores, axis=None, kind="stable")[:width]
        parent, last = np.divmod(best, len(alphabet))
        states, total = after[0][parent], scores.ravel()[best]
        texts = np.column_stack([texts[parent], last])
        certain = _common(texts)
        if certain:
            yield alphabet.decode(texts[0, :certain])
            texts = texts[:, certain:]
    yield alphabet.decode(texts[0])


def _common(texts: NDArray[np.intp]) -> int:
    """How many characters all rows begin with alike."""
    alike = (texts == texts[0]).all(axis=0)
    return int(np.argmin(alike)) if not alike.all() else len(alike)
