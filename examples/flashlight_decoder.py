"""A CTC decoder of flashlight-text with the n-grams of Elman, without a lexicon; Elman is not needed.

pip install flashlight-text
elman export RUN six.arpa --order 6     where Elman is installed; `decode` then returns the text of a line

Choose `bonus` and `lm_weight` on lines whose texts are known. `lm_weight` is for logarithms to base 10: 2.0 is 0.87 of
`alpha` in Elman.
"""

import numpy as np
from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

symbols = ["-", *"abcdefghijklmnopqrstuvwxyz", "<sp>"]  # the columns of the recognizer; - is the blank
bonus = 3.0  # for every frame that is not a blank, as there is none for every character
options = LexiconFreeDecoderOptions(
    beam_size=50, beam_size_token=20, beam_threshold=50, lm_weight=2.0, sil_score=0, log_add=True,
    criterion_type=CriterionType.CTC,
)  # fmt: skip
decoder = LexiconFreeDecoder(options, KenLM("six.arpa", Dictionary(symbols)), symbols.index("<sp>"), 0, [])


def decode(log_p):  # (frames, symbols)
    log_p = np.array(log_p, np.float32, order="C")
    log_p[:, 1:] += bonus
    best = decoder.decode(log_p.ctypes.data, *log_p.shape)[0].tokens
    path = [k for before, k in zip([0, *best], best, strict=False) if k not in (before, 0)]
    return "".join(" " if symbols[k] == "<sp>" else symbols[k] for k in path).strip()
