r"""Line ends: ``\r\n`` and ``\r`` are read as ``\n``, as Python's `open` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import IncrementalNewlineDecoder

TRANSLATED = frozenset({"\r", "\r\n"})


def translate_newlines(chunks: Iterable[str], found: set[str]) -> Iterator[str]:
    """Yield a text in chunks with line feeds as its line ends; those of `TRANSLATED` that it has are added to `found`.

    A carriage return at the end of a chunk is held back until it is known whether a line feed follows.
    """
    decoder = IncrementalNewlineDecoder(None, translate=True)

    def translate(chunk: str, *, final: bool = False) -> str:
        text, seen = decoder.decode(chunk, final), decoder.newlines
        found.update(TRANSLATED.intersection([seen] if isinstance(seen, str) else seen or ()))
        return text

    yield from map(translate, chunks)
    yield translate("", final=True)


def describe_newlines(translated: Iterable[str]) -> str:
    r"""Return which line ends were read as line feeds: ``line ends \r\n read as \n``."""
    return f"line ends {' and '.join(repr(kind)[1:-1] for kind in translated)} read as \\n"
