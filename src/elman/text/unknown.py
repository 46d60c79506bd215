"""Rare characters folded into one, and what a large alphabet costs.

K  size of the alphabet
m  hidden units of a layer

In a text of many distinct characters most occur too seldom to be learned, and each is a column of U and a row of V.
With ``--rare N`` those that occur fewer than N times become one character, U+FFFD, or the next after it that the text
does not have. It is the last of the alphabet, and stands for whatever else a model meets later.
"""

from __future__ import annotations

import math
from itertools import compress, count

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus
from elman.text.spool import Spool, let_go

UNWIELDY = 5000
"""Distinct characters from which on a text is trained on only by someone who knows the cost. Novels in Chinese have
three to four thousand."""

_REPLACEMENT = 0xFFFD


def counts(corpus: Corpus) -> NDArray[np.int64]:
    """Return how often each character of the alphabet occurs, int64 of shape (K,)."""
    K = len(corpus.alphabet)
    total = np.zeros(K, np.int64)
    for piece in corpus.pieces():
        total += np.bincount(piece, minlength=K)
    return total


def fold(corpus: Corpus, rare: int) -> Corpus:
    """Return a corpus whose characters that occur fewer than `rare` times are one.

    Parameters
    ----------
    corpus : Corpus
        One that is folded already is returned as it is.
    rare : int
        0 folds none, and characters met later are refused. 1 folds none of the text's own.

    Raises
    ------
    ElmanError
        If `rare` is below 0, or leaves a single character; if it is 0, and the corpus is folded.
    """
    if rare < 0:
        raise ElmanError(f"--rare must be 0 or more, and {rare} came: give a number in that range")
    if corpus.alphabet.folds and not rare:
        raise ElmanError(
            f"the rare characters of {corpus.name!r} are folded already, and rare = 0 came: give rare as well"
        )
    if corpus.alphabet.folds or not rare:
        return corpus
    kept = counts(corpus) >= rare
    if kept.sum() + (not kept.all()) < 2:
        raise ElmanError(
            f"--rare {rare} leaves a single character of {corpus.name!r}, so there is nothing to learn: lower --rare"
        )
    characters = compress(corpus.alphabet.characters, kept.tolist())
    alphabet = Alphabet("".join(characters) + _free_character(corpus.alphabet), folds=True)
    return Corpus(corpus.name, alphabet, _renumbered(corpus, kept, alphabet.dtype), corpus.sha256, corpus.encoding)


def _renumbered(
    corpus: Corpus, kept: NDArray[np.bool_], dtype: np.dtype[np.unsignedinteger]
) -> NDArray[np.unsignedinteger]:
    """Return the indices where only the characters that are `kept`, of shape (K,), have one of their own."""
    if kept.all() and dtype == corpus.indices.dtype:
        return corpus.indices
    index_of = np.full(len(kept), kept.sum(), dtype)
    index_of[kept] = np.arange(kept.sum())
    with Spool(dtype) as spool:
        for piece in corpus.pieces():
            spool.append(index_of.take(piece, mode="clip"))  # which is faster than to raise; all are below K
        return spool.array()


def opened(alphabet: Alphabet) -> Alphabet:
    """Return an alphabet that refuses no character: whatever `alphabet` would refuse is one more, of index K."""
    return alphabet if alphabet.folds else Alphabet(alphabet.characters + _free_character(alphabet), folds=True)


def refuse_unwieldy(corpus: Corpus, m: int) -> None:
    """Refuse an alphabet so large that it has to be said what it costs, unless it was said that it may be so.

    Raises
    ------
    ElmanError
        If it has more than `UNWIELDY` characters and was not folded by ``--rare``.
    """
    K = len(corpus.alphabet)
    if K <= UNWIELDY or corpus.alphabet.folds:
        return
    raise ElmanError(
        f"{corpus.name!r} has K = {K:,} distinct characters, more than the {UNWIELDY:,} that are trained on unasked: "
        f"U and V of m = {m} hold {2 * K * m:,} weights, and a character takes some {6 * K * m:,} operations, "
        f"{K // 100:,} times as many as in an alphabet of 100; {_remedy(corpus)}"
    )


def _remedy(corpus: Corpus) -> str:
    """What to do: the least ``--rare`` that is enough, if there is one, or to go on."""
    found = counts(corpus)
    least = int(np.sort(found)[-UNWIELDY]) + 1
    folded = found < least
    to_go_on = "--rare 1 trains on all of them"
    if folded.all():
        return f"{to_go_on}, as they are about equally frequent and to fold the rare ones leaves none"
    share = found[folded].sum() / found.sum()
    return (
        f"--rare {least} folds the {folded.sum():,} that occur fewer than {least} times, {share:.2%} of the text, "
        f"into one, and {to_go_on}"
    )


def _free_character(alphabet: Alphabet) -> str:
    """The replacement character, or the next that the text does not have."""
    return next(chr(point) for point in count(_REPLACEMENT) if chr(point) not in alphabet.characters)


# What unknown characters cost, and how a text is read without them.
#
# K  characters that the model knows; an index of K or more is an unknown character
# q  the probability of an unknown character, `UNKNOWN_PROBABILITY`
#
# In a text that contains unknown characters every character is predicted in two steps: whether it is unknown; and then
# which one it is, uniformly among the code points outside the alphabet, or by the network among those it knows:
#
#     -log p = -log q + log(0x110000 - K)          of an unknown character
#     -log p = -log(1 - q) - log p_network         of any other character
#
# Unknown characters are not fed to the network: it predicts what follows one from what came before it. A text without
# unknown characters costs what the network says, and a model with an unknown symbol knows every character.

UNKNOWN_PROBABILITY = 2.0**-16
NUM_CODE_POINTS = 0x110000
KNOWN_PENALTY_NATS = -math.log1p(-UNKNOWN_PROBABILITY)
"""Additional cost of a known character in a text that contains unknown ones."""

_CHUNK = 1 << 20
"""Indices scanned at a time."""


def unknown_nats(K: int) -> float:
    """Return the cost of an unknown character in nats, for an alphabet of K characters."""
    return math.log(NUM_CODE_POINTS - K) - math.log(UNKNOWN_PROBABILITY)


def drop_unknown(indices: NDArray[np.unsignedinteger], K: int) -> NDArray[np.unsignedinteger]:
    """Return the indices below K; `indices` itself if all are."""
    starts = range(0, len(indices), _CHUNK)
    if not any(_has_unknown(indices[start : start + _CHUNK], K) for start in starts):
        return indices
    with Spool(indices.dtype) as spool:
        for start in starts:
            chunk = indices[start : start + _CHUNK]
            spool.append(chunk[chunk < K])
            let_go(chunk)
        return spool.array()


def _has_unknown(chunk: NDArray[np.unsignedinteger], K: int) -> bool:
    result = bool(np.max(chunk) >= K)
    let_go(chunk)
    return result
