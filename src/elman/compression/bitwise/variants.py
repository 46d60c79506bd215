"""What the bitwise model consists of, which depends on the mode of a file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.bitwise.contexts import BASIC_CONTEXTS, CONTEXTS, PARAGRAPH_CONTEXTS
from elman.compression.bitwise.matches import PARAGRAPHS, SEARCHED
from elman.compression.container import Mode
from elman.compression.exact_kernels import Floats


class Variant(NamedTuple):
    """Parts and constants of a bitwise model.

    Parameters
    ----------
    C, M : int
        Contexts and match models.
    weights : tuple of float
        Initial weights of the distributions of other experts: of the mixture or, if there are three, of the mixture,
        the network and the background n-gram model.
    rates : tuple of float
        Rates of the mixer, see `elman.compression.bitwise.mixer.PRIMING` and `SELECTED_RATE`.
    own_share : float
        s of the mixer's equation (4).
    folds_case : bool
        Whether words are the same in upper and lower case.
    """

    C: int
    M: int
    weights: tuple[float, ...]
    rates: tuple[tuple[float, float], tuple[float, float]]
    own_share: float
    folds_case: bool

    @property
    def has_background(self) -> bool:
        """Whether the network and the background n-gram model predict bits themselves."""
        return len(self.weights) > 1

    def initial_weights(self) -> Floats:
        """Return `weights` as an array."""
        return np.array(self.weights, np.float32)

    def mixer_rates(self) -> Floats:
        """Return `rates` as an array."""
        return np.array(self.rates, np.float32)


BASIC = Variant(BASIC_CONTEXTS, SEARCHED, (0.5,), rates=((0.001, 0.0), (0.0003, 0.0)), own_share=2, folds_case=False)
"""Of short files, of those whose weights are trained, and of modes before 1.7."""
WITH_PARAGRAPHS = BASIC._replace(C=PARAGRAPH_CONTEXTS, M=SEARCHED + PARAGRAPHS, weights=(0.7,))
WITH_BACKGROUND = Variant(
    CONTEXTS,
    SEARCHED + PARAGRAPHS,
    (0.6, 0.1, 0.1),
    rates=((0.001, 0.001), (0.0002, 0.0004)),
    own_share=3,
    folds_case=True,
)


def variant_of(mode: Mode) -> Variant:
    """Return the variant of a mode with bitwise context mixing."""
    if mode is Mode.BITWISE_BACKGROUND:
        return WITH_BACKGROUND
    return WITH_PARAGRAPHS if mode is Mode.BITWISE_PARAGRAPHS else BASIC
