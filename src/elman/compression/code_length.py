"""The cross-entropy of a text under a model of the codec: the length of its code in a single substream.

With one substream, every character is predicted with everything before it. The first one is predicted after the start
character, in a state of zeros. The length is that of the range coder before its code is rounded up to bytes, so it
includes what the rounding of probabilities to integer frequencies costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman.compression import blocks
from elman.compression.codec import choose_mode, predictor_factory, token_counter
from elman.compression.range_coder import Coder
from elman.compression.tokens import to_tokens
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference.adaptation import OnProgress, check_adapt
from elman.inference.score import Score, check_length
from elman.text import with_unknown

if TYPE_CHECKING:
    from elman.inference.model import Model


def score_code_length(model: Model, text: str, adapt: CodecAdapt, *, on_progress: OnProgress | None = None) -> Score:
    """Score a text by the length of its code.

    Parameters
    ----------
    model : Model
        It is not changed.
    text : str
        Characters outside the alphabet are escaped, and coded as the bytes of their UTF-8 encoding.
    adapt : str
        What adapts to the text already coded, as in `elman.compression.codec.compress`.
    on_progress : callable, optional

    Returns
    -------
    Score
        All characters are predicted, so `chars` is the length of the text.

    Raises
    ------
    ElmanError
        If the text has fewer than two characters, if counts are to be adapted and the model has no n-gram prior, or if
        the codec does not have the model's cell, or the model is one of independent lines.
    """
    check_length(len(text))
    check_adapt(model.parameters, adapt)
    if model.is_of_lines:
        raise ElmanError(f"--adapt {adapt} cannot be used with a model of independent lines: train without --lines")
    data = text.encode("utf-8", "surrogatepass")
    tokens, mode = to_tokens(data, model.alphabet), choose_mode(adapt, len(data))
    N, coder = len(tokens), Coder()
    with np.errstate(over="ignore", invalid="ignore"):  # weights may have any size; overflow has a defined result
        predictor = predictor_factory(model, mode, N)(1)
        predictor.code(coder, blocks.interleave(tokens, 1), N, token_counter(N, on_progress))
    unknown = int(np.count_nonzero(with_unknown(model.alphabet).encode(text) >= len(model.alphabet)))
    return Score(len(text), coder.nats, unknown)
