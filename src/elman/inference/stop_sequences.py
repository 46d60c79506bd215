"""Stop sequences: a generated text ends before the first of them that occurs in it."""

from __future__ import annotations

from collections.abc import Iterator


class StopSequenceFilter:
    """Pass text through until a stop sequence is complete, holding back what may be the beginning of one.

    The output does not depend on how the text is divided into chunks.

    Parameters
    ----------
    stop : tuple of str
        Stop sequences, none empty.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self.stop = stop
        self.pending = ""

    def feed(self, text: str, last: bool) -> tuple[str, bool]:
        """Add a chunk of text; return the text that is released, and whether a stop sequence ended it.

        Nothing is held back of the `last` chunk.
        """
        self.pending += text
        matches = [(start + len(stop), start) for stop in self.stop if (start := self.pending.find(stop)) >= 0]
        if matches:
            return self.pending[: min(matches)[1]], True
        num_held = 0 if last else max((_overlap(self.pending, stop) for stop in self.stop), default=0)
        end = len(self.pending) - num_held
        released, self.pending = self.pending[:end], self.pending[end:]
        return released, False


def cut_at_stop(stop: str, chunks: Iterator[str]) -> Iterator[str]:
    """Yield text until `stop` begins; the stop sequence itself is left out."""
    stop_filter = StopSequenceFilter((stop,))
    for chunk in chunks:
        released, stopped = stop_filter.feed(chunk, last=False)
        yield released
        if stopped:
            return
    yield stop_filter.pending


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest suffix of `text` that is a proper prefix of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
