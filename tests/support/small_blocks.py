"""Blocks and substreams so small that a short text has several of both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from elman.apps.compress import tokens


@contextmanager
def small_blocks(block: int = 128, substream: int = 40) -> Iterator[None]:
    """Compress and decompress with these sizes, which are constants of the file format, in the block."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(tokens, "BLOCK_SIZE", block))
        stack.enter_context(patch.object(tokens, "MIN_SUBSTREAM_SIZE", substream))
        stack.enter_context(patch.object(tokens, "MAX_SUBSTREAMS", 7))
        yield
