"""New scores for the hypotheses of another decoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from elman.apps.decode.beam import NONE
from elman.apps.decode.ctc import ALPHA, BETA, Hypothesis
from elman.apps.decode.inputs import check_strings, check_weights
from elman.apps.decode.language_model import LanguageModel, Reader, check_is_language_model
from elman.errors import ElmanError


def rescore(
    nbest: Iterable[tuple[str, float] | Hypothesis],
    lm: LanguageModel,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
) -> list[Hypothesis]:
    """Return the hypotheses of a decoder with the scores of a language model, the best first.

    Parameters
    ----------
    nbest : iterable of (text, score), or of Hypothesis
        The score takes the place of log p(text) in that of `decode_ctc`: it should not contain that of another language
        model. That of a `Hypothesis` is its `acoustic`.
    lm : Model
    alpha, beta : float
        As in `decode_ctc`.

    Returns
    -------
    list of Hypothesis
        As in `decode_ctc`, where `acoustic` is the score that was passed.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("tick tock\\n" * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=300, engine="numpy").model
    >>> elman.rescore([("tick tick", -2.1), ("tick tock", -2.6)], model)[0].text
    'tick tock'
    """
    check_weights(alpha, beta)
    check_is_language_model(lm)
    try:
        pairs = [(each.text, each.acoustic) if isinstance(each, Hypothesis) else each for each in nbest]
        texts, scores = [text for text, *_ in pairs], [float(score) for _, score, *_ in pairs]
    except (TypeError, ValueError) as error:
        raise ElmanError(f"nbest must contain a text and a score of each hypothesis ({error})") from None
    if any(map(math.isnan, scores)):
        raise ElmanError("a score of the hypotheses is NaN")
    check_strings("the texts of the hypotheses", texts)
    rows = zip(texts, scores, read_texts(lm, texts), strict=True)
    found = [Hypothesis(text, s + alpha * log_p + beta * len(text), s, log_p) for text, s, log_p in rows]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def read_texts(lm: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Return log p_lm of each text."""
    characters = sorted({*"".join(texts)})
    index_of, n = {character: k for k, character in enumerate(characters)}, len(texts)
    reader = Reader(lm, characters, 1, None)
    states, log_p, total = reader.states.select([0] * n), np.repeat(reader.log_p[:1], n, axis=0), np.zeros(n)
    for t in range(max(map(len, texts), default=0)):
        rows = np.array([row for row, text in enumerate(texts) if t < len(text)])
        x = reader.index[[index_of[texts[row][t]] for row in rows.tolist()]]
        total[rows] += np.where(x >= 0, log_p[rows, x], reader.unknown)
        rows, x = rows[x >= 0], x[x >= 0]
        if len(rows):
            after, log_p[rows] = lm.step(states.select(rows), x)
            states = states.replace_rows(rows, after)
    if reader.end != NONE:
        total += log_p[:, reader.end]
    return [*map(float, total)]
