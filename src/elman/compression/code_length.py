"""The cross-entropy of a text under a mode of the codec: the length of its code in a single substream.

With one substream, every character is predicted with everything before it. The first one is predicted after the start
character, in a state of zeros. The length is that of the range coder before its code is rounded up to bytes, so it
includes what the rounding of probabilities to integer frequencies costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.compression.codec import OVERFLOWS
from elman.compression.modes import ModeName, find_mode
from elman.compression.network import round_weights
from elman.compression.predictor import Predictor
from elman.compression.range_coder import Coder
from elman.compression.tokens import interleave, to_tokens
from elman.inference.score import Score, check_length
from elman.text import with_unknown

if TYPE_CHECKING:
    from elman.inference.adaptation import OnProgress
    from elman.inference.model import Model


@OVERFLOWS
def score_code_length(model: Model, text: str, mode: ModeName, on_progress: OnProgress | None = None) -> Score:
    """Score a text by the length of its code.

    Parameters
    ----------
    model : Model
        It is not changed.
    text : str
        Characters outside the alphabet are escaped, and coded as the bytes of their UTF-8 encoding.
    mode : str
    on_progress : callable, optional

    Returns
    -------
    Score
        All characters are predicted, so `chars` is the length of the text.

    Raises
    ------
    ElmanError
        If the text has fewer than two characters, the codec does not have the model's cell, or the model is one of
        independent lines.
    """
    check_length(len(text))
    tokens, coder = to_tokens(text.encode("utf-8", "surrogatepass"), model.alphabet), Coder()
    N, coded = len(tokens), 0

    def count(n: int) -> None:
        nonlocal coded
        coded += n
        if on_progress is not None:
            on_progress(coded / N)

    weights = round_weights(model.parameters)
    predictor = Predictor(weights, model.alphabet, model.parameters.ngrams, find_mode(mode), 1, N)
    predictor.code(coder, interleave(tokens, 1), N, count)
    unknown = int(np.count_nonzero(with_unknown(model.alphabet).encode(text) >= len(model.alphabet)))
    return Score(len(text), coder.nats, unknown)
