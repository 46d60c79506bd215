"""Where a text ends: before the first of some strings that is written whole."""

from __future__ import annotations

from collections.abc import Iterator


class Stops:
    """Passes text on until one of the stops is complete. What may be the beginning of one is held back.

    What is passed on in all does not depend on how the text comes in.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.stops = stops
        self.held = ""

    def take(self, text: str, last: bool) -> tuple[str, bool]:
        """Return what of the text may be passed on, and whether a stop has ended it; `last` holds nothing back."""
        self.held += text
        ends = [(start + len(stop), start) for stop in self.stops if (start := self.held.find(stop)) >= 0]
        if ends:
            return self.held[: min(ends)[1]], True
        kept = 0 if last else max((_overlap(self.held, stop) for stop in self.stops), default=0)
        passed, self.held = self.held[: len(self.held) - kept], self.held[len(self.held) - kept :]
        return passed, False


def until(stop: str, pieces: Iterator[str]) -> Iterator[str]:
    """Pass text on until `stop` begins, which is left out. What may be its beginning is held back."""
    stops = Stops((stop,))
    for piece in pieces:
        passed, ended = stops.take(piece, last=False)
        yield passed
        if ended:
            return
    yield stops.held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
