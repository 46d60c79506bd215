"""The cross-entropy of a text as the length of its code: a model scored with all that the codec adapts."""

from __future__ import annotations

import numpy as np

from elman.compression.exact_network import OVERFLOWS, round_weights
from elman.compression.modes import ModeName, find_mode
from elman.compression.predictor import Predictor
from elman.compression.range_coder import Coder
from elman.compression.tokens import interleave, to_tokens
from elman.inference.adaptation import OnProgress
from elman.inference.score import Score, check_length
from elman.network import Parameters
from elman.text import Alphabet, with_unknown


@OVERFLOWS
def score_code_length(
    alphabet: Alphabet, parameters: Parameters, text: str, mode: ModeName, on_progress: OnProgress
) -> Score:
    """Score a text by the length of its code in a single substream.

    Every character is then predicted with everything before it; the first one after the start character, in a state
    of zeros. The length is that of the range coder before its code is rounded up to bytes, so it includes what the
    rounding of probabilities to integer frequencies costs. All characters are predicted, so `Score.chars` is the length
    of the text. Characters outside the alphabet are escaped, and coded as the bytes of their UTF-8 encoding.
    """
    check_length(len(text))
    tokens, coder = to_tokens(text.encode("utf-8", "surrogatepass"), alphabet), Coder()
    N, coded = len(tokens), 0

    def count(n: int) -> None:
        nonlocal coded
        coded += n
        on_progress(coded / N)

    predictor = Predictor(round_weights(parameters), alphabet, parameters.ngrams, find_mode(mode), 1, N)
    predictor.code(coder, interleave(tokens, 1), N, count)
    unknown = int(np.count_nonzero(with_unknown(alphabet).encode(text) >= len(alphabet)))
    return Score(len(text), coder.nats, unknown)
