"""Networks that compute what is no number, as after a training that went astray or with weights of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from elman.errors import ElmanError


def check_finite(numbers: ArrayLike) -> None:
    """Look at what a network computed.

    Raises
    ------
    ElmanError
        If a number is not finite.
    """
    if not np.isfinite(numbers).all():
        raise ElmanError("this network computes what is not a finite number: train again with a lower learning rate")
