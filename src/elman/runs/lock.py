"""The lock of a directory: one process at a time writes to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from elman.errors import ElmanError, LockedError, option, quote
from elman.storage import exists, is_directory
from elman.storage.files import PARTIAL_SUFFIX, suggest_write_remedy, sync_directory

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"
ACQUIRE_SECONDS = 0.1
"""How long a writer waits for the lock: `DirectoryLock.is_held` holds it for an instant."""


class DirectoryLock:
    """An exclusive lock for writing to a directory, of the operating system on the file ``.lock``; reading needs none.

    The kernel releases it when the process ends, however it ends: the file left behind blocks nobody.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / LOCK
        self._lock: FileLock | None = None
        self._file: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Acquire it at once where the lock file exists; otherwise `acquire` does so before the first write."""
        if exists(self.path):
            self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def acquire(self) -> None:
        """Acquire the lock unless it is held already; create the directory if needed; remove partial files."""
        if self._lock is not None:
            return
        from filelock import FileLock, Timeout

        lock = FileLock(self.path, timeout=ACQUIRE_SECONDS, thread_local=False)
        try:
            if not is_directory(self.directory):
                self.directory.mkdir(parents=True)
                with suppress(OSError):  # the parent may be unreadable
                    sync_directory(self.directory.parent)
            lock.acquire()
            self._file = self._identify()
            for partial in self.directory.glob(f".*{PARTIAL_SUFFIX}"):  # of a process that was killed while writing
                partial.unlink(missing_ok=True)
        except Timeout:
            raise LockedError(
                f"{quote(self.directory)} is locked, another process is writing to it; wait until that ends or choose "
                f"another {option.out}"
            ) from None
        except OSError as error:
            lock.release()
            raise cannot_write(self.directory, error) from error
        self._lock = lock

    def is_held(self) -> bool:
        """Return whether a writer holds it; this object must not be one."""
        from filelock import FileLock, Timeout

        if not exists(self.path):
            return False
        try:
            with FileLock(self.path, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True
        except OSError:  # who may not write there cannot tell
            return False

    def check(self) -> None:
        """Raise ElmanError if the locked directory was deleted or moved, even if another one has its name now."""
        with suppress(OSError):
            if self._lock is None or self._identify() == self._file:
                return
        raise ElmanError(
            f"{quote(self.directory)} is no longer the directory that this run writes to, it was deleted or moved; "
            f"restore it and use {option.resume:True}, or train again with another {option.out}"
        )

    def _identify(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino


def reject_links(*directories: Path) -> None:
    """Check that directories in an output directory are not links, which may lead to someone else's."""
    for directory in directories:
        if directory.is_symlink():
            remedy = f"remove it or choose another {option.out}"
            raise ElmanError(f"{quote(directory)} is a link, which is not followed: {remedy}")


def cannot_write(directory: Path, error: OSError) -> ElmanError:
    """Return the error for one of the system that a write to a directory has met."""
    reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
    return ElmanError(f"cannot write in {quote(directory)} ({reason}){suggest_write_remedy(error)}")
