"""One writer at a time: the lock that a training holds on the directory it writes to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from elman.errors import ElmanError
from elman.storage.atomic import PARTIAL_SUFFIX, sync_directory

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"


class Writer:
    """The right to write to a directory, which one at a time has; reading needs none.

    It is a lock of the operating system on the file ``.lock`` there. The kernel gives it back when the process ends,
    however it ends: the file that a dead process leaves is in nobody's way.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        self._file: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Take the right at once where there was a writer before; else `take` does so when the writing begins."""
        # Unlike Path.exists, this takes a name too long for the system as one that is not there.
        if os.path.exists(self.folder / LOCK):  # noqa: PTH110
            self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the right back."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._file = None

    def take(self) -> None:
        """Take the right, if it is not taken yet; make the directory, if there is none; clear up after the dead.

        Raises
        ------
        ElmanError
            If another has it, or the system refuses.
        """
        if self._lock is not None:
            return
        from filelock import FileLock, Timeout

        path = self.folder / LOCK
        lock = FileLock(path, timeout=0, thread_local=False)
        try:
            if not os.path.isdir(self.folder):  # noqa: PTH112
                self.folder.mkdir(parents=True)
                with suppress(OSError):  # a folder above that may not be read
                    sync_directory(self.folder.parent)
            lock.acquire()
            status = path.stat()
            for left in self.folder.glob(f".*{PARTIAL_SUFFIX}"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
        except Timeout:
            raise ElmanError(
                f"{str(self.folder)!r} is for one writer at a time, and another process is writing to it: "
                "wait until that has ended, or choose another --out"
            ) from None
        except OSError as error:
            lock.release()
            raise cannot_write(self.folder, error) from error
        self._lock, self._file = lock, (status.st_dev, status.st_ino)

    def check(self) -> None:
        """Make sure, where the right is taken, that the directory is still the one it was taken for.

        Raises
        ------
        ElmanError
            If the directory was deleted or moved away, even if another stands in its place.
        """
        if self._lock is None:
            return
        try:
            status = (self.folder / LOCK).stat()
            there = (status.st_dev, status.st_ino) == self._file
        except OSError:
            there = False
        if not there:
            raise ElmanError(
                f"{str(self.folder)!r} is no longer the directory that this run writes to, it was deleted or moved: "
                "put it back and go on by --resume, or train again with another --out"
            )


def cannot_write(folder: Path, error: OSError) -> ElmanError:
    """Return the error that says why nothing can be written in a directory."""
    return ElmanError(f"cannot write in {str(folder)!r} ({error.strerror}): make room or choose another --out")
