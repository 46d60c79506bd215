"""The unknown symbol, rare characters that it replaces, and the cost of a large alphabet and of unknown characters.

K  alphabet size    m  hidden units per layer    q  the probability of an unknown character, `UNKNOWN_PROBABILITY`

Most characters of a text with many distinct ones occur too seldom to be learned, and each costs a column of U and a
row of V. With ``--min-count N``, characters that occur fewer than N times are replaced by one unknown symbol: U+FFFD,
or the next code point after it that the text does not contain. It is the last character of the alphabet, and also
replaces every character outside the alphabet that a model meets later.

Without such a symbol, a character outside the alphabet has an index of K or more. In a text that contains such unknown
characters, every character is predicted in two steps: whether it is unknown; and then which one it is, uniformly among
the code points outside the alphabet, or by the network among the characters in it::

    -log p = -log q + log(0x110000 - K)          for an unknown character
    -log p = -log(1 - q) - log p_network         for any other character

Unknown characters are not fed to the network. Nothing is added in a text without unknown characters.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import compress, count

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, check_range, option
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, Spool, iterate_chunks

MAX_UNCONFIRMED_SIZE = 5000
"""Largest alphabet that is trained on without ``--min-count``. Chinese novels have 3,000 to 4,000 characters."""

_REPLACEMENT = 0xFFFD

UNKNOWN_PROBABILITY = 2.0**-16
NUM_CODE_POINTS = 0x110000
KNOWN_PENALTY_NATS = -math.log1p(-UNKNOWN_PROBABILITY)
"""Additional cost of a known character in a text that contains unknown ones."""


def unknown_nats(K: int) -> float:
    """Return the cost of an unknown character in nats, for an alphabet of K characters."""
    return math.log(NUM_CODE_POINTS - K) - math.log(UNKNOWN_PROBABILITY)


def drop_unknown(indices: NDArray[np.unsignedinteger], K: int) -> NDArray[np.unsignedinteger]:
    """Return the indices below K; `indices` itself if all are."""
    if all(chunk.max() < K for chunk in iterate_chunks(indices)):
        return indices
    with Spool(indices.dtype) as spool:
        for chunk in iterate_chunks(indices):
            spool.append(chunk[chunk < K])
        return spool.array()


def with_unknown(alphabet: Alphabet) -> Alphabet:
    """Return an alphabet with an unknown symbol, added as index K if `alphabet` has none."""
    if alphabet.has_unknown:
        return alphabet
    return Alphabet(alphabet.characters + _unused_character(alphabet), has_unknown=True)


def _unused_character(alphabet: Alphabet) -> str:
    """Return the replacement character, or the next code point that is not in the alphabet."""
    return next(chr(point) for point in count(_REPLACEMENT) if chr(point) not in alphabet.characters)


def count_characters(corpus: Corpus) -> NDArray[np.int64]:
    """Return how often each character of the alphabet occurs, int64 of shape (K,)."""
    K = len(corpus.alphabet)
    total = np.zeros(K, np.int64)
    for chunk in iterate_chunks(corpus.indices):
        total += np.bincount(chunk, minlength=K)
    return total


def replace_rare(corpus: Corpus, min_count: int, kept: int = 0) -> Corpus:
    """Return a corpus in which characters that occur fewer than `min_count` times are replaced by an unknown symbol.

    The first `kept` characters of the alphabet, those that a fine-tuned model has, are not replaced.

    0 adds no unknown symbol, so characters outside the alphabet stay an error; 1 adds one, but replaces no character of
    the text. A corpus whose alphabet has an unknown symbol already is returned as it is.
    """
    check_range("min_count", min_count, 0)
    if corpus.alphabet.has_unknown and not min_count:
        known = f"the alphabet of {corpus.label} has an unknown symbol already"
        raise ElmanError(f"{known} (got min_count = 0): pass its min_count")
    if corpus.alphabet.has_unknown or not min_count:
        return corpus
    frequent = (count_characters(corpus) >= min_count) | (np.arange(len(corpus.alphabet)) < kept)
    if frequent.sum() + (not frequent.all()) < 2:
        raise ElmanError(
            f"{option.min_count:{min_count}} leaves a single character of {corpus.label}, so there is nothing to"
            f" learn: lower {option.min_count}"
        )
    characters = "".join(compress(corpus.alphabet.characters, frequent.tolist()))
    alphabet = Alphabet(characters + _unused_character(corpus.alphabet), has_unknown=True)
    index_of = np.full(len(frequent), len(characters), alphabet.dtype)
    index_of[frequent] = np.arange(len(characters))
    with Spool(alphabet.dtype) as spool:
        for chunk in iterate_chunks(corpus.indices):
            spool.append(index_of.take(chunk, mode="clip"))  # faster than raising; all indices are below K
        return replace(corpus, alphabet=alphabet, indices=spool.array())


def check_alphabet_size(corpus: Corpus, m: int) -> None:
    """Reject an alphabet that is expensive to train on, unless ``--min-count`` confirms it."""
    K = len(corpus.alphabet)
    if K <= MAX_UNCONFIRMED_SIZE or corpus.alphabet.has_unknown:
        return
    costs = (
        f"with a hidden size of {m}, the input and output layers would have {2 * K * m:,} weights and need about"
        f" {6 * K * m:,} operations per character, {K // 100:,} times as many as with 100 characters"
    )
    raise ElmanError(
        f"{corpus.label} has {K:,} distinct characters (limit without {option.min_count}:"
        f" {MAX_UNCONFIRMED_SIZE:,}); {costs + '; ' if m else ''}{_suggest_min_count(corpus)}"
    )


def _suggest_min_count(corpus: Corpus) -> str:
    """Return a remedy: the smallest sufficient ``--min-count``, if there is one, or to confirm the size."""
    occurrences = count_characters(corpus)
    min_count = int(np.sort(occurrences)[-MAX_UNCONFIRMED_SIZE]) + 1
    rare = occurrences < min_count
    confirm = f"{option.min_count:1} to train on all of them"
    if rare.all():
        return f"use {confirm}; they are about equally frequent, so no higher value helps"
    fraction = occurrences[rare].sum() / occurrences.sum()
    replaced = f"the {rare.sum():,} that occur fewer than {min_count} times ({fraction:.2%} of the text)"
    return f"use {option.min_count:{min_count}} to replace {replaced} by one unknown symbol, or {confirm}"
