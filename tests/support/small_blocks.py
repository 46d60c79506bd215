"""Blocks and substreams so small that a short text has several of both."""

from collections.abc import Iterator
from contextlib import contextmanager

from elman.compression import blocks

SIZES = ("BLOCK_SIZE", "MIN_SUBSTREAM_SIZE", "MIN_TRAINING_SUBSTREAM_SIZE", "WEIGHTS_PER_SUBSTREAM")


@contextmanager
def small_blocks(block: int = 128, substream: int = 40) -> Iterator[None]:
    """Compress and decompress with these sizes, which are constants of the file format, in the block."""
    before = {name: getattr(blocks, name) for name in SIZES}
    for name, size in zip(SIZES, (block, substream, substream, 32), strict=True):
        setattr(blocks, name, size)
    try:
        yield
    finally:
        for name, size in before.items():
            setattr(blocks, name, size)
