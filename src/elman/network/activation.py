"""The function of the gates."""

from __future__ import annotations

import numpy as np

from elman.network.parameters import Array


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a), as (1 + tanh(a / 2)) / 2: the same number, and nothing overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))
