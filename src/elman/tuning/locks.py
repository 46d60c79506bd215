"""Locks that tell which trials have a worker. A lock ends with its process, however that ends.

With a journal they are locks of the operating system on files. With PostgreSQL they are advisory locks of a connection,
which the server releases when the connection ends; it finds a host that has lost power or network by TCP keepalives.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from filelock import FileLock
    from sqlalchemy import Connection

_KEEPALIVES = ("tcp_keepalives_idle = 20", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")
"""The server gives up a silent host after 20 + 3 x 10 seconds."""
_STUDY, _SCHEMA = 0, -1
"""Numbers of the locks that are not of a trial; trial n has the number n + 1."""


class TrialLocks(Protocol):
    """The locks of one study."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Wait until no other worker chooses a trial, and let none do so in the block."""

    def try_acquire(self, number: int) -> bool:
        """Acquire the lock of a trial; return False if another worker holds it."""

    def release(self, number: int) -> None:
        """Release the lock of a trial."""


class FileLocks(TrialLocks):
    """Locks on files in a directory.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.held: dict[int, FileLock] = {}

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of the study."""
        with self._lock("study"):
            yield

    def try_acquire(self, number: int) -> bool:
        """Acquire the lock of a trial; return False if another process holds it."""
        from filelock import Timeout

        lock = self._lock(f"{number:04d}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self.held[number] = lock
        return True

    def release(self, number: int) -> None:
        """Release the lock of a trial."""
        self.held.pop(number).release()

    def _lock(self, name: str) -> FileLock:
        from filelock import FileLock

        return FileLock(self.directory / f"{name}.lock", thread_local=False)


class DatabaseLocks(TrialLocks):
    """Advisory locks of a connection to PostgreSQL.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    study : str
        The name of the study.
    """

    def __init__(self, connection: Connection, study: str) -> None:
        self.connection = connection
        self.key = zlib.crc32(f"elman {study}".encode()) - 2**31
        for setting in _KEEPALIVES:
            connection.exec_driver_sql(f"SET {setting}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of the study."""
        with self._hold(self.key, _STUDY):
            yield

    @contextmanager
    def schema(self) -> Iterator[None]:
        """Hold the lock for the creation of tables, which all studies share."""
        with self._hold(zlib.crc32(b"elman tables") - 2**31, _SCHEMA):
            yield

    def try_acquire(self, number: int) -> bool:
        """Acquire the lock of a trial; return False if another connection holds it."""
        return bool(self._call("pg_try_advisory_lock", self.key, number + 1))

    def release(self, number: int) -> None:
        """Release the lock of a trial."""
        self._call("pg_advisory_unlock", self.key, number + 1)

    @contextmanager
    def _hold(self, key: int, number: int) -> Iterator[None]:
        self._call("pg_advisory_lock", key, number)
        try:
            yield
        finally:
            self._call("pg_advisory_unlock", key, number)

    def _call(self, function: str, key: int, number: int) -> object:
        return self.connection.exec_driver_sql(f"SELECT {function}({key}, {number})").scalar()
