"""Choosing the weights of the search on lines whose texts are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Unpack

from numpy.typing import ArrayLike

from elman.apps.decode.ctc import SearchOptions, decode_batch
from elman.apps.decode.inputs import check_weights, list_arrays
from elman.apps.decode.language_model import LanguageModel
from elman.errors import ElmanError, checks_types, list_strings, quote

START, STEPS = (0.5, 2.5), ((0.2, 1.0), (0.1, 0.5))
"""The first alpha and beta that are tried, and the pairs of steps by which they are changed, in order."""
DIRECTIONS = ((1, 1), (0, 1), (1, 0), (-1, 0), (0, -1), (-1, -1), (1, -1), (-1, 1))
"""Good weights are on a ridge: a larger alpha usually needs a larger beta."""


class Weights(NamedTuple):
    """The chosen weights, and the errors with them."""

    alpha: float
    beta: float
    errors: int
    """Characters that were inserted, deleted or replaced."""
    chars: int
    """Characters of the references."""

    @property
    def cer(self) -> float:
        """The character error rate."""
        return self.errors / max(1, self.chars)


@checks_types
def choose_weights(
    log_probs: Sequence[ArrayLike],
    references: Sequence[str],
    symbols: Sequence[str] | Mapping[str, int],
    lm: LanguageModel | None = None,
    *,
    start: tuple[float, float] = START,
    on_errors: Callable[[Weights], object] = lambda weights: None,
    **options: Unpack[SearchOptions],
) -> Weights:
    """Return the `alpha` and `beta` of `decode_ctc` with the fewest errors on lines whose texts are known.

    The search changes alpha by 0.2, beta by 1, or both, as long as the number of errors falls; then it repeats this
    with 0.1 and 0.5. It decodes all lines some twenty times. A few hundred lines suffice; do not report results on the
    same lines.

    Parameters
    ----------
    log_probs : sequence of array, shape (T, K)
        The log-probabilities of each line, as in `decode_ctc`.
    references : sequence of str
        The texts of the lines.
    symbols, lm, …
        As in `decode_ctc`. Without a language model, only beta is chosen, from 0.
    start : (float, float)
        The alpha and beta that are tried first.
    on_errors : callable
        Called with each pair of weights that was tried.

    Returns
    -------
    Weights
        ``alpha``, ``beta``, ``errors``, ``chars`` and ``cer`` on these lines.

    Examples
    --------
    >>> import elman, numpy as np
    >>> p = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.6, 0.1, 0.3]])
    >>> elman.choose_weights([np.log(p)], ["hi"], ["", "h", "i"])
    Weights(alpha=0.0, beta=1.0, errors=0, chars=2)
    """
    log_probs, references = list_arrays(log_probs), list_strings("references", references)
    check_references(log_probs, references)
    if not (isinstance(start, Sequence) and len(start) == 2):
        raise ElmanError(f"start must be an alpha and a beta (got {quote(start)})")
    chars, known = sum(map(len, references)), dict[tuple[float, float], int]()

    def count(alpha: float, beta: float) -> int:
        if (alpha, beta) not in known:
            weights: SearchOptions = {**options, "alpha": alpha, "beta": beta}
            texts = (best.text for best, *_ in decode_batch(log_probs, symbols, lm, **weights))
            known[alpha, beta] = sum(map(edit_distance, references, texts))
            on_errors(Weights(alpha, beta, known[alpha, beta], chars))
        return known[alpha, beta]

    alpha, beta = check_weights(*start) if lm is not None else (0.0, 0.0)
    alpha, beta = search_weights(count, alpha, beta, [each for each in DIRECTIONS if lm is not None or each[0] == 0])
    return Weights(alpha, beta, known[alpha, beta], chars)


def check_references(lines: Sequence[object], references: Sequence[str]) -> None:
    """Check that there is a reference for each line, and at least one line."""
    if len(lines) != len(references) or not references:
        raise ElmanError(f"there are {len(lines)} lines and {len(references)} references: pass the text of each line")


def search_weights(
    count: Callable[[float, float], int],
    alpha: float,
    beta: float,
    directions: Sequence[tuple[int, int]] = DIRECTIONS,
) -> tuple[float, float]:
    """Return the weights from which no step in one of the directions leads to fewer errors, as `count` counts them."""
    for alpha_step, beta_step in STEPS:
        better: tuple[float, float] | None = alpha, beta
        while better is not None:
            alpha, beta = better
            fewest = count(alpha, beta)
            near = ((round(alpha + a * alpha_step, 2), round(beta + b * beta_step, 2)) for a, b in directions)
            better = next((each for each in near if each[0] >= 0 and count(*each) < fewest), None)
    return alpha, beta


def edit_distance(a: str, b: str) -> int:
    """Return the number of characters that must be inserted, deleted or replaced."""
    row: list[int] = [*range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
