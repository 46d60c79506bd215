"""A decoder for kraken 7, with a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from elman.apps.decode.ctc import SearchOptions, decode_batch
from elman.apps.decode.language_model import LanguageModel
from elman.errors import ElmanError, quote

Record = tuple[int, int, int, float]  # label, first and last frame, and highest probability in these


def kraken_decoder(
    codec: Any, lm: LanguageModel | None = None, **options: Unpack[SearchOptions]
) -> Callable[..., list[list[Record]]]:
    """Return a function for ``RecognitionInferenceConfig(decoder=…)`` of kraken 7.

    `codec` is the recognizer's codec; the other arguments are as in `elman.decode_ctc`. The language model reads the
    text in the order of the frames; it does not know labels of several characters, or characters of several labels.

    Examples
    --------
    >>> import elman, numpy as np
    >>> from types import SimpleNamespace
    >>> codec = SimpleNamespace(c2l={"h": [1], "i": [2]})
    >>> outputs = np.array([[[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]])  # (lines, labels, frames)
    >>> elman.kraken_decoder(codec)(outputs)
    [[(1, 0, 0, 0.8), (2, 1, 1, 0.8)]]
    """
    if not isinstance(getattr(codec, "c2l", None), Mapping):
        raise ElmanError(f"codec must be a kraken recognizer's codec, with c2l (got {quote(codec)})")
    options = {"blank": "", "from_logits": True, **options}
    names = {labels[0]: characters for characters, labels in codec.c2l.items() if len(labels) == 1}

    def decode(outputs: Any, seq_lens: Any = None) -> list[list[Record]]:
        p: NDArray[np.float64] = np.empty(0)
        lengths = list[int]()
        with suppress(TypeError, ValueError):
            p = np.asarray(outputs.cpu() if hasattr(outputs, "cpu") else outputs, np.float64)
        if p.ndim < 2:
            raise ElmanError(f"outputs must have the shape (lines, labels, frames) (got {quote(outputs)})")
        p = p.reshape(-1, *p.shape[-2:])
        with suppress(TypeError, ValueError):
            lengths = [p.shape[2]] * len(p) if seq_lens is None else [int(length) for length in seq_lens]
        if len(lengths) != len(p) or any(length < 0 for length in lengths):
            raise ElmanError(f"seq_lens must be the frames of each of {len(p)} lines (got {quote(seq_lens)})")
        symbols = ["", *(names.get(k, chr(0xF0000 + k)) for k in range(1, p.shape[1]))]  # for private use
        frames = [np.log(np.clip(line[:, :length].T, 1e-15, 1)) for line, length in zip(p, lengths, strict=True)]
        return [
            [(k, a, b, float(line[k, a : b + 1].max())) for k, (a, b) in zip(best.symbols, best.frames, strict=True)]
            for line, (best, *_) in zip(p, decode_batch(frames, symbols, lm, **options), strict=True)
        ]

    return decode
