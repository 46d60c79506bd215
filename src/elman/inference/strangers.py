"""Characters that a model does not know, and what they cost.

K  characters that the model knows; a character that it does not know is a stranger, and its index is K or more
q  the probability of a stranger, 2^-16

Where a text has strangers, each of its characters is predicted in two steps: whether it is a stranger; and which one,
all code points outside the alphabet being equally likely, or else which of those the network knows::

    -log p = -log q + log(0x110000 - K)            of a stranger
    -log p = -log(1 - q) - log p_network           of any other character

The network does not read strangers: what follows one is predicted from what stood before it. In a text without
strangers nothing is added, and an alphabet that folds (``--rare``) knows none.
"""

from __future__ import annotations

import math

import numpy as np

from elman.engine.protocol import Indices
from elman.text.spool import Spool, let_go

Q = 2.0**-16
CODE_POINTS = 0x110000
KNOWN_NATS = -math.log1p(-Q)
"""What a character that is known costs more in a text that has strangers."""

_PIECE = 1 << 20
"""Indices looked at at a time."""


def stranger_nats(K: int) -> float:
    """Return what a stranger costs."""
    return math.log(CODE_POINTS - K) - math.log(Q)


def without_strangers(indices: Indices, K: int) -> Indices:
    """Return the indices below K; a text without strangers is returned as it is."""
    starts = range(0, len(indices), _PIECE)
    if not any(_has_strangers(indices[start : start + _PIECE], K) for start in starts):
        return indices
    with Spool(indices.dtype) as spool:
        for start in starts:
            piece = indices[start : start + _PIECE]
            spool.append(piece[piece < K])
            let_go(piece)
        return spool.array()


def _has_strangers(piece: Indices, K: int) -> bool:
    found = bool(np.max(piece) >= K)
    let_go(piece)
    return found
