"""The lock that a training run holds on its directory, so that there is one writer at a time."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from elman.errors import ElmanError, LockedError, quote
from elman.storage.atomic import PARTIAL_SUFFIX, suggest_write_remedy, sync_directory

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"
ACQUIRE_SECONDS = 0.1
"""How long a writer waits for the lock: `DirectoryLock.is_held` holds it for an instant."""


class DirectoryLock:
    """An exclusive lock for writing to a directory; reading needs none.

    It is a lock of the operating system on the file ``.lock`` there. The kernel releases it when the process ends,
    however it ends: the file that a dead process leaves behind blocks nobody.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: FileLock | None = None
        self._file: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Acquire it at once where the lock file exists; otherwise `acquire` does so before the first write."""
        # Unlike Path.exists, this treats a name too long for the system as nonexistent.
        if os.path.exists(self.directory / LOCK):  # noqa: PTH110
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._file = None

    def acquire(self) -> None:
        """Acquire the lock unless it is held already; create the directory if needed; remove partial files.

        Raises
        ------
        ElmanError
            If another writer holds it, or the system refuses.
        """
        if self._lock is not None:
            return
        from filelock import FileLock, Timeout

        path = self.directory / LOCK
        lock = FileLock(path, timeout=ACQUIRE_SECONDS, thread_local=False)
        try:
            if not os.path.isdir(self.directory):  # noqa: PTH112
                self.directory.mkdir(parents=True)
                with suppress(OSError):  # the parent may be unreadable
                    sync_directory(self.directory.parent)
            lock.acquire()
            status = path.stat()
            for partial in self.directory.glob(f".*{PARTIAL_SUFFIX}"):  # of a process that was killed while writing
                partial.unlink(missing_ok=True)
        except Timeout:
            raise LockedError(
                f"{quote(self.directory)} is locked, another process is writing to it; wait until that ends or choose "
                "another --out"
            ) from None
        except OSError as error:
            lock.release()
            raise cannot_write(self.directory, error) from error
        self._lock, self._file = lock, (status.st_dev, status.st_ino)

    def is_held(self) -> bool:
        """Return whether a writer holds it; this object must not be one."""
        from filelock import FileLock, Timeout

        path = self.directory / LOCK
        if not os.path.exists(path):  # noqa: PTH110
            return False
        try:
            with FileLock(path, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True
        except OSError:  # who may not write there cannot tell
            return False

    def check(self) -> None:
        """Check, where the lock is held, that the directory is still the locked one.

        Raises
        ------
        ElmanError
            If the directory was deleted or moved, even if another one has its name now.
        """
        if self._lock is None:
            return
        try:
            status = (self.directory / LOCK).stat()
            same = (status.st_dev, status.st_ino) == self._file
        except OSError:
            same = False
        if not same:
            raise ElmanError(
                f"{quote(self.directory)} is no longer the directory that this run writes to, it was deleted or moved; "
                "restore it and use --resume, or train again with another --out"
            )


def cannot_write(directory: Path, error: OSError) -> ElmanError:
    """Return the error for a directory that cannot be written to."""
    reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
    return ElmanError(f"cannot write in {quote(directory)} ({reason}): {suggest_write_remedy(error)}")
