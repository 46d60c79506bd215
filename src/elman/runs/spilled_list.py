"""A list of records whose older items are only in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, overload

from elman.errors import require_extra

NEWEST = 1000
"""Items kept in memory after a spill; there are at most twice as many before the next one."""

T = TypeVar("T")


class SpilledList(Sequence[T]):
    """A list of which only the newest items stay in memory. One thread appends; others may read.

    Parameters
    ----------
    items : iterable
        The initial items.
    read : callable, optional
        Returns all items that the file contains. Without it, all stay in memory.
    """

    def __init__(self, items: Iterable[T] = (), read: Callable[[], list[T]] | None = None) -> None:
        self._read = read
        self._split: tuple[int, list[T]] = (0, list(items))  # how many are only in the file, and the others

    def append(self, item: T) -> None:
        """Add an item."""
        self._split[1].append(item)

    def spill(self) -> None:
        """Drop older items from memory; the file must contain all items by now."""
        older, newest = self._split
        if self._read is not None and len(newest) > 2 * NEWEST:
            self._split = (older + len(newest) - NEWEST, newest[-NEWEST:])

    def to_pandas(self) -> Any:
        """Return the items as a ``pandas.DataFrame``, a column per field.

        Raises
        ------
        ElmanError
            If pandas is not installed.
        """
        with require_extra("pandas"):
            from pandas import DataFrame
        return DataFrame([asdict(item) for item in self])  # type: ignore[call-overload]

    def __repr__(self) -> str:
        """Return the number of items and the last one."""
        return f"<{len(self):,} records{f', the last {self[-1]!r}' if len(self) else ''}>"

    def _from(self, first: int) -> tuple[int, list[T]]:
        """Return the items from `first` on, or more, after the index of the first one returned."""
        older, newest = self._split
        if self._read is None or first >= older:
            return older, newest
        return 0, self._read()[:older] + newest

    def __len__(self) -> int:
        older, newest = self._split
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
        indices = range(len(self))[at]  # raises an IndexError beyond the end
        first, items = self._from(indices if isinstance(indices, int) else min(indices, default=len(self)))
        return items[indices - first] if isinstance(indices, int) else [items[index - first] for index in indices]
