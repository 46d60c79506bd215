"""Losses of single characters, and the distribution of the next one.

N  characters of the text    K  size of the alphabet    D  size of the state
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.inference.score import check_finite
from elman.network import Parameters
from elman.network.output import softmax
from elman.network.parameters import Array
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats

SLICE = 4096
"""Characters per call of the engine."""


def compute_char_losses(engine: Engine, parameters: Parameters, h0: Array, indices: Indices) -> NDArray[np.float64]:
    """Return the loss of every character of a text, whose sum is the cost that `elman.inference.score.score` returns.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        Counts that grow count this text.
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        An index of K or more is an unknown character; see `elman.text.with_unknown`.

    Returns
    -------
    ndarray, shape (N,)
        In nats; NaN for the first known character, which nothing precedes.
    """
    K, h, session = len(parameters["c"]), h0[None], engine.session(parameters)
    known = np.flatnonzero(indices < K)
    readable = indices[known][:, None]
    losses = np.full(len(indices), unknown_nats(K))
    losses[known] = KNOWN_PENALTY_NATS if len(known) < len(indices) else 0.0
    losses[known[:1]] = np.nan
    for start in range(0, len(readable) - 1, SLICE):
        chunk = readable[start : start + SLICE + 1]
        nats, h = session.losses(h, chunk[:-1], chunk[1:])
        losses[known[start + 1 : start + len(chunk)]] += nats[:, 0]
    return losses


def predict_next(engine: Engine, parameters: Parameters, h: Array, x: int) -> NDArray[np.float64]:
    """Return the distribution (K,) of the character after x, which is read in the state h (D,).

    Raises
    ------
    ElmanError
        If the network's output is not finite.
    """
    o, _ = engine.session(parameters).logits(h[None], np.array([[x]], np.uint32))
    check_finite(o)
    return np.asarray(softmax(o[0, 0].astype(np.float64)), np.float64)
