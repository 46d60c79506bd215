"""The word model: which characters followed the beginning of a word.

R  rows: substreams coded in lockstep      K  alphabet size      N_c  occurrences of context c, S_c  its characters

The context is the current word as far as it has been read, wherever it occurs, or outside words the last character.
A slot of a hash table contains the last characters that followed a context, at most `CHARACTERS`, and how often:

::

    (1)  b_k = log(1 + (N_c(k) - D) / (D S_c q(k)))      for the characters k in the slot, else 0

b is what absolute discounting of the slot's counts with the distribution q of the n-gram model as the lower order adds
to log q, up to a constant. The constants are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.compression import exact_kernels
from elman.compression.exact_kernels import Floats, Ints, allocating, exact
from elman.compression.experts.match import Ints32
from elman.compression.hashing import extend_hash
from elman.engine.numba.ngrams.distributions import set_logs
from elman.network.ngram import NgramModel
from elman.text import Alphabet

CHARACTERS = 7
DISCOUNT = 0.8
READ_COUNT = 2
"""How often a character of the coded text counts."""
MAX_COUNT = 1 << 20
"""Total of a slot above which its counts are halved."""
_MAX_SLOTS = 1 << 18
_CODED_SLOTS = 1 << 14
"""Minimum number of slots."""
_CHECK, _TOTAL, _FIRST = range(3)
"""Columns of a slot: the context, the sum of the counts, and then characters + 1 with their counts."""
WIDTH = _FIRST + 2 * CHARACTERS
CONFIDENCES = 19
"""Combinations of how often a context occurred and how many characters followed it; 0 for none."""


@exact
def next_word(word, x, is_word):
    """Return the hash of the current word after character x: 0 outside words."""
    return extend_hash(word, x) if is_word[x] else np.int64(0)


@exact
def context(word, x):
    """Return the context after character x, from 1 on."""
    return word if word > 0 else np.int64(x) + 1


@exact
def find_slot(slots, context):
    """Return the slot of a context, one of two neighbours, or -1."""
    i = context & (len(slots) - 1)
    if slots[i, _CHECK] == context:
        return np.int64(i)
    return np.int64(i ^ 1) if slots[i ^ 1, _CHECK] == context else np.int64(-1)


@exact
def count(slots, context, x, times):
    """Count a character after a context, which replaces the rarer one of two others if it is new."""
    i = find_slot(slots, context)
    if i < 0:
        i = context & (len(slots) - 1)
        if slots[i ^ 1, _TOTAL] < slots[i, _TOTAL]:
            i = i ^ 1
        for n in range(WIDTH):
            slots[i, n] = 0
        slots[i, _CHECK] = context
    slots[i, _TOTAL] += times
    rarest = np.int64(_FIRST)
    for n in range(_FIRST, WIDTH, 2):
        if slots[i, n] == x + 1 or slots[i, n] == 0:
            slots[i, n] = x + 1
            slots[i, n + 1] += times
            if slots[i, _TOTAL] > MAX_COUNT:
                halve(slots[i])
            return
        if slots[i, n + 1] <= slots[i, rarest + 1]:
            rarest = np.int64(n)
    slots[i, rarest], slots[i, rarest + 1] = x + 1, times


@exact
def halve(slot):
    """Halve the counts of a slot, rounded up."""
    slot[_TOTAL] = (slot[_TOTAL] + 1) >> 1
    for n in range(_FIRST + 1, WIDTH, 2):
        slot[n] = (slot[n] + 1) >> 1


@exact
def count_text(text, is_word, slots):
    """Count all characters of a text."""
    word, x = np.int64(0), np.int64(0)
    for i in range(len(text)):
        if i > 0:
            count(slots, context(word, x), text[i], 1)
        x = np.int64(text[i])
        word = next_word(word, x, is_word)


class WordModel(NamedTuple):
    """Word contexts of R rows; everything but `is_word` is changed in place."""

    slots: Ints32  # (slots, WIDTH): the counts
    is_word: NDArray[np.bool_]  # (K,)
    words: Ints  # (R,): the hash of the current word, 0 outside words
    contexts: Ints  # (R,)
    characters: Ints  # (R, CHARACTERS): what followed the context, -1 where there are fewer
    bonuses: Floats  # (R, CHARACTERS): (1)
    confidences: Ints  # (R,): see `CONFIDENCES`


@exact
def read_characters(model, x, reads):
    """Read and count characters x (R,) in the rows where `reads` (R,) is true."""
    slots, is_word, words, contexts = model.slots, model.is_word, model.words, model.contexts
    for r in range(len(x)):
        if reads[r]:
            count(slots, contexts[r], x[r], READ_COUNT)
            words[r] = next_word(words[r], x[r], is_word)
            contexts[r] = context(words[r], x[r])


@allocating
def set_bonuses(model, log_q):
    """Set the characters, bonuses and confidence of every row, given log q (R, K)."""
    slots, contexts, characters, bonuses, confidences = (
        model.slots, model.contexts, model.characters, model.bonuses, model.confidences,
    )  # fmt: skip
    ratios, logs = np.empty(CHARACTERS), np.empty(CHARACTERS)
    bits, powers = np.empty(CHARACTERS, np.int64), np.empty(CHARACTERS)
    found = np.empty(len(contexts), np.int64)
    for r in range(len(contexts)):  # a loop of its own, so that the memory accesses of the rows overlap
        found[r] = find_slot(slots, contexts[r])
    for r in range(len(contexts)):
        confidences[r] = 0
        for n in range(CHARACTERS):
            characters[r, n] = -1
            bonuses[r, n] = np.float32(0)
        i = found[r]
        if i < 0:
            continue
        kinds = np.int64(0)
        for n in range(CHARACTERS):
            kinds += 1 if slots[i, _FIRST + 2 * n] > 0 else 0
        for n in range(CHARACTERS):
            ratios[n] = 1.0
            if n < kinds:
                k = np.int64(slots[i, _FIRST + 2 * n]) - 1
                q = np.float64(exact_kernels.exp(log_q[r, k]))
                ratios[n] = 1.0 + (slots[i, _FIRST + 1 + 2 * n] - DISCOUNT) / (DISCOUNT * kinds * q)
                characters[r, n] = k
        set_logs(ratios, bits, powers, logs, 0)
        for n in range(kinds):
            bonuses[r, n] = np.float32(logs[n])
        level = np.int64(0)
        while level < 5 and (np.int64(1) << level) < slots[i, _TOTAL]:
            level += 1
        confidences[r] = 1 + level + (0 if kinds == 1 else 6 if kinds <= 3 else 12)


def build_word_model(slots: Ints32, is_word: NDArray[np.bool_], start: int, R: int) -> WordModel:
    """Return the word contexts of R rows that begin with the character `start`, with a copy of `slots`."""
    return WordModel(
        slots=slots.copy(),
        is_word=is_word,
        words=np.zeros(R, np.int64),
        contexts=np.full(R, start + 1, np.int64),
        characters=np.full((R, CHARACTERS), -1, np.int64),
        bonuses=np.zeros((R, CHARACTERS), np.float32),
        confidences=np.zeros(R, np.int64),
    )


def word_characters(alphabet: Alphabet) -> NDArray[np.bool_]:
    """Return which characters are part of words: ASCII letters and digits, the underscore, and all beyond ASCII.

    Unicode's own classes differ between versions of Python.
    """
    return np.array([ord(c) >= 128 or c == "_" or c.isalnum() for c in alphabet.characters])


def text_words(ngrams: NgramModel | None, alphabet: Alphabet) -> Ints32:
    """Return the counts of the training text, as far as the n-gram model has it; made on first use."""
    if ngrams is None:
        return np.zeros((_CODED_SLOTS, WIDTH), np.int32)
    if "words" not in ngrams.tables:
        size = min(_MAX_SLOTS, max(_CODED_SLOTS, 1 << (len(ngrams.text) // 8).bit_length()))
        slots = np.zeros((size, WIDTH), np.int32)
        count_text(ngrams.text.astype(np.int32), word_characters(alphabet), slots)
        ngrams.tables["words"] = slots
    counted: Ints32 = ngrams.tables["words"]
    return counted
