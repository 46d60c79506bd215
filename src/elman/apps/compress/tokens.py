"""Arbitrary bytes as tokens: characters of an alphabet, and escaped bytes between them; and tokens in blocks.

K  alphabet size         N  tokens         R  substreams

A token below K is a character; token K + n is the byte n. Bytes become characters if they are valid UTF-8 and the
alphabet contains the character. All others stay bytes; a character outside the alphabet becomes the bytes of its UTF-8
encoding. The unknown symbol of an alphabet, if it has one, is never used as a token.

The tokens are divided into R substreams of consecutive tokens, and coded step by step: a step is the next token of each
substream. A block is a number of steps; the substreams continue from block to block. The number of tokens and the mode
determine this layout, so a file does not store it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.apps.compress.arithmetic import Ints
from elman.text import Alphabet, CodePointIndex, as_text, code_points

Tokens = NDArray[np.int32]

BLOCK_SIZE = 1 << 16
"""Maximum tokens of a block: one thread codes a block, and a false length is noticed after one block."""
MIN_SUBSTREAM_SIZE = 1 << 12
"""Minimum tokens of a substream if a text has several, because each starts without any context."""
MAX_SUBSTREAMS = 32

_SURROGATES = "".join(map(chr, range(0xDC80, 0xDD00)))
"""Characters to which `bytes.decode` with ``surrogateescape`` maps invalid bytes; it produces them in no other way."""


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
    index.add(_SURROGATES + (alphabet.characters[-1] if alphabet.has_unknown else ""), K)
    return index


def count_blocks(N: int) -> int:
    """Return the number of blocks of N tokens: at least one, even of no tokens."""
    return -(-N // BLOCK_SIZE) or 1


def count_substreams(N: int) -> int:
    """Return the number of substreams of a text of N tokens."""
    return min(max(1, N // MIN_SUBSTREAM_SIZE), MAX_SUBSTREAMS)


def block_sizes(N: int, R: int) -> Iterator[int]:
    """Yield the number of tokens in each block of N tokens in R substreams, as equal as possible."""
    # A block has complete steps, except the last one, whose last step may lack substreams.
    remaining = N
    for steps in split_evenly(-(-N // R), count_blocks(N)):
        yield min(steps * R, remaining)
        remaining -= steps * R


def split_evenly(n: int, count: int) -> Iterator[int]:
    """Yield `count` sizes that sum to n; the first ones are larger by one if n is not divisible."""
    return (n // count + (number < n % count) for number in range(count))


def interleave(tokens: Tokens, R: int) -> Ints:
    """Return tokens (N,) with one column per substream, (steps, R)."""
    # Where N is not divisible by R, the last row is used by the longer substreams only.
    table, ends = np.zeros((-(-len(tokens) // R), R), np.int64), np.cumsum([*split_evenly(len(tokens), R)])
    for column, part in enumerate(np.split(tokens, ends[:-1])):
        table[: len(part), column] = part
    return table


def deinterleave(table: Ints, N: int) -> Tokens:
    """Return the N tokens of the substreams in `table` (steps, R), one substream after the other."""
    sizes = split_evenly(N, table.shape[1])
    return np.concatenate([table[:size, column] for column, size in enumerate(sizes)]).astype(np.int32)
