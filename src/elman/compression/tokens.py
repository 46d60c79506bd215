"""Arbitrary bytes as tokens: characters of an alphabet, and escaped bytes between them.

K  alphabet size         N  tokens

A token below K is a character; token K + n is the byte n. Bytes become characters as far as they are valid UTF-8 and
the alphabet contains the character. Everything else stays bytes; a character outside the alphabet becomes the bytes of
its UTF-8 encoding. The unknown symbol of an alphabet, if it has one, is never used as a token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman.text import Alphabet
from elman.text.alphabet import CodePointIndex, as_text, code_points

Tokens = NDArray[np.int32]

_SURROGATES = "".join(map(chr, range(0xDC80, 0xDD00)))
"""What `bytes.decode` with ``surrogateescape`` maps invalid bytes to; it produces them in no other way."""


def to_tokens(data: bytes, alphabet: Alphabet) -> Tokens:
    """Return the tokens of bytes, int32 (N,)."""
    text = data.decode("utf-8", "surrogateescape")
    chunks = [chunk.astype(np.int32) for chunk in _index(alphabet).encode(text)]
    indices = np.concatenate([np.empty(0, np.int32), *chunks])
    K = len(alphabet)
    unknown = np.flatnonzero(indices == K)
    if not len(unknown):
        return indices
    characters = as_text(code_points(text)[unknown])
    encoded = [character.encode("utf-8", "surrogateescape") for character in characters]
    repeats = np.ones(len(indices), np.intp)
    repeats[unknown] = [len(sequence) for sequence in encoded]
    tokens = np.repeat(indices, repeats)
    tokens[tokens == K] = K + np.frombuffer(b"".join(encoded), np.uint8).astype(np.int32)
    return tokens


def from_tokens(tokens: Tokens, alphabet: Alphabet) -> bytes:
    """Return the bytes of tokens (N,)."""
    characters = [character.encode("utf-8", "surrogatepass") for character in alphabet.characters]
    encoded = [*characters, *(bytes([n]) for n in range(256))]
    return b"".join(map(encoded.__getitem__, tokens.tolist()))


def _index(alphabet: Alphabet) -> CodePointIndex:
    """Return an index that maps every character outside the alphabet, and its unknown symbol, to K."""
    K = len(alphabet)
    index = CodePointIndex(lambda unknown: K)
    index.add(alphabet.characters, np.arange(K))
    if alphabet.has_unknown:
        index.add(alphabet.characters[-1], K)
    index.add(_SURROGATES, K)
    return index
