"""The hash of a sequence of characters that the experts and the bitwise contexts share. Part of the file format."""

from __future__ import annotations

from elman.compression.exact_kernels import exact_inline

MULTIPLIER, MODULUS = 48271, 2147483647
"""Of the multiplicative generator MINSTD, whose products fit into 64 bits."""


@exact_inline
def extend_hash(h, x):
    """Return the hash of a sequence that has the hash h (0 if it is empty) and continues with character x."""
    return (h * MULTIPLIER + x + 1) % MODULUS
