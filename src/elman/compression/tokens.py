"""Any bytes as characters of an alphabet, with escaped bytes between them.

K  size of the alphabet         N  tokens

A token below K is a character; K + n is the byte n. What is UTF-8 and of the alphabet becomes characters. All else
stays bytes: a character that the alphabet does not have is those of its UTF-8. Where the alphabet folds, its last
character stands for others and is itself never used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.text import Alphabet
from elman.text.code_points import Table, as_text, code_points

Tokens = NDArray[np.int32]

_SURROGATES = "".join(map(chr, range(0xDC80, 0xDD00)))
"""What Python decodes the bytes of broken UTF-8 to; a text can have them only so."""


def to_tokens(data: bytes, alphabet: Alphabet) -> Tokens:
    """Return the tokens of bytes, int32 (N,)."""
    text = data.decode("utf-8", "surrogateescape")
    found = [chunk.astype(np.int32) for chunk in _table(alphabet).encode(text)]
    indices = np.concatenate([np.empty(0, np.int32), *found])
    K = len(alphabet)
    strangers = np.flatnonzero(indices == K)
    if not len(strangers):
        return indices
    characters = as_text(code_points(text)[strangers])
    as_bytes = [character.encode("utf-8", "surrogateescape") for character in characters]
    repeats = np.ones(len(indices), np.intp)
    repeats[strangers] = [len(one) for one in as_bytes]
    tokens = np.repeat(indices, repeats)
    tokens[tokens == K] = K + np.frombuffer(b"".join(as_bytes), np.uint8).astype(np.int32)
    return tokens


def from_tokens(tokens: Tokens, alphabet: Alphabet) -> bytes:
    """Return the bytes of tokens (N,)."""
    characters = [character.encode("utf-8", "surrogatepass") for character in alphabet.characters]
    pieces = [*characters, *(bytes([n]) for n in range(256))]
    return b"".join(map(pieces.__getitem__, tokens.tolist()))


def _table(alphabet: Alphabet) -> Table:
    K = len(alphabet)
    table = Table(lambda strangers: K)
    table.enter(alphabet.characters, np.arange(K))
    if alphabet.folds:
        table.enter(alphabet.characters[-1], K)
    table.enter(_SURROGATES, K)
    return table
