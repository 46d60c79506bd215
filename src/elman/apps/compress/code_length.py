"""The cross-entropy of a text as the length of its code: a model scored with everything that the codec adapts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from elman.apps.compress.container import ModeName, find_mode
from elman.apps.compress.exact_network import OVERFLOWS, round_weights
from elman.apps.compress.predictor import Predictor
from elman.apps.compress.range_coder import Coder
from elman.apps.compress.tokens import Tokens, interleave, to_tokens
from elman.model import Adaptation, OnProgress, Score, check_length
from elman.network import Parameters
from elman.text import Alphabet, with_unknown


@OVERFLOWS
def score_code_length(
    alphabet: Alphabet,
    parameters: Parameters,
    read_chunks: Callable[[], Iterable[str]],
    on_progress: OnProgress,
    mode: ModeName = "mixture",
) -> Score:
    """Score a text by the length of its code in a single substream; `read_chunks`, called twice, returns its chunks.

    Every character is predicted from everything before it; the first character follows the start character, in a state
    of zeros. The length is the range coder's length before its code is rounded up to bytes, so it includes the cost of
    rounding probabilities to integer frequencies. All characters are predicted, so `Score.chars` is the length of the
    text. Characters outside the alphabet are escaped, and coded as the bytes of their UTF-8 encoding.
    """
    N = chars = unknown = coded = 0
    for chunk in read_chunks():
        N += len(_tokenize(chunk, alphabet))
        chars += len(chunk)
        unknown += int(np.count_nonzero(with_unknown(alphabet).encode(chunk) >= len(alphabet)))
    check_length(chars)

    def count(n: int) -> None:
        nonlocal coded
        coded += n
        on_progress(coded / N)

    predictor = Predictor(round_weights(parameters), alphabet, parameters.ngrams, find_mode(mode), 1, N)
    coder = Coder()
    for chunk in read_chunks():
        tokens = _tokenize(chunk, alphabet)
        predictor.code(coder, interleave(tokens, 1), len(tokens), count)
    return Score(chars, coder.nats, unknown)


def _tokenize(text: str, alphabet: Alphabet) -> Tokens:
    return to_tokens(text.encode("utf-8", "surrogatepass"), alphabet)


ADAPTATION = Adaptation("the code length of elman compress --mode mixture", score_code_length)
