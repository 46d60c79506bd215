"""What a run has written, as a sequence whose length costs no memory: the older of it stays where it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar, overload

NEWEST = 1000
"""Items that stay in memory; there are never more than twice as many."""

T = TypeVar("T")


class Rows(Sequence[T]):
    """Rows of metrics, or texts, in the order in which they were added. One thread adds; others may read.

    Parameters
    ----------
    items : iterable
        Those that are there.
    read : callable, optional
        Returns all that were written to a file, as far as `let_go` was told of them. Without it, all stay in memory.
    """

    def __init__(self, items: Iterable[T] = (), read: Callable[[], list[T]] | None = None) -> None:
        self._read = read
        self._kept: tuple[int, list[T]] = (0, list(items))  # how many stand in the file alone, and the others

    def append(self, item: T) -> None:
        """Add one."""
        self._kept[1].append(item)

    def let_go(self) -> None:
        """Take note that a file holds all of them, so that only the newest need stay in memory."""
        older, newest = self._kept
        if self._read is not None and len(newest) > 2 * NEWEST:
            self._kept = (older + len(newest) - NEWEST, newest[-NEWEST:])

    def _from(self, first: int) -> tuple[int, list[T]]:
        """Return all from the first on, or more, and which is the first of them."""
        older, newest = self._kept
        if self._read is None or first >= older:
            return older, newest
        return 0, self._read()[:older] + newest

    def __len__(self) -> int:
        older, newest = self._kept
        return older + len(newest)

    def __iter__(self) -> Iterator[T]:
        return iter(self._from(0)[1])

    def __reversed__(self) -> Iterator[T]:
        return reversed(self._from(0)[1])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        places = range(len(self))[at]  # refuses what is beyond the end
        first, found = self._from(places if isinstance(places, int) else min(places, default=len(self)))
        return found[places - first] if isinstance(places, int) else [found[place - first] for place in places]
