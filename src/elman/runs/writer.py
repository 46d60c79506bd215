"""Writing a run: records first, then the checkpoint that covers them; and the lock of the only writer.

Whenever a process is killed, the checkpoint is complete, and the records contain at least those that it covers;
`rewind` drops the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from elman.errors import ElmanError, LockedError, VersionError, option, quote
from elman.runs.checkpoint import Checkpoint, serialize_checkpoint
from elman.runs.directory import BEST, CHECKPOINT, FILES, LOCK, PLOT, RunDirectory, RunManifest
from elman.runs.history import Metrics, Sample
from elman.runs.loggers import MANIFEST, open_loggers, optional_loggers
from elman.runs.snapshot import Snapshot
from elman.storage import exists, is_directory, is_file, real_path
from elman.storage.files import remove_abandoned, replace_file, replace_files, suggest_write_remedy, sync_directory

if TYPE_CHECKING:
    from filelock import FileLock

ACQUIRE_SECONDS = 0.1
"""Seconds that a writer waits for the lock: `DirectoryLock.is_held` holds it for an instant."""


class DirectoryLock:
    """An exclusive lock for writing to a directory: the system's lock of the file ``.lock``. Readers need none.

    The operating system releases it when the process ends, however it ends: a file left behind blocks no writer.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / LOCK
        self._lock: FileLock | None = None
        self._file: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        """Acquire the lock now if the lock file exists; otherwise `acquire` does so before the first write."""
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
                self.directory.mkdir(parents=True, exist_ok=True)  # another process may create it now
                with suppress(OSError):  # the parent may be unreadable
                    sync_directory(self.directory.parent)
            lock.acquire()
            self._file = self._identify()
            remove_abandoned(self.directory, is_locked=True)
        except Timeout:
            locked = f"{quote(self.directory)} is locked, another process is writing to it"
            raise LockedError(f"{locked}; wait until that ends or choose another {option.out}") from None
        except OSError as error:
            lock.release()
            raise cannot_write(self.directory, error) from error
        self._lock = lock

    def is_held(self) -> bool:
        """Return whether a writer holds the lock; this object must not hold it."""
        from filelock import FileLock, Timeout

        if not exists(self.path):
            return False
        try:
            with FileLock(self.path, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True
        except OSError:  # without write permission, this cannot be found out
            return False

    def check(self) -> None:
        """Raise ElmanError if the locked directory was deleted or moved, even if another one has its name now."""
        with suppress(OSError):
            if self._lock is None or self._identify() == self._file:
                return
        moved = f"{quote(self.directory)} is no longer the directory that this run writes to: it was deleted or moved"
        raise ElmanError(f"{moved}; restore it and use {option.resume:True}, or train again with another {option.out}")

    def _identify(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino


def reject_links(*directories: Path) -> None:
    """Check that directories in an output directory are not links, which may lead to another user's directory."""
    for directory in directories:
        if directory.is_symlink():
            remedy = f"remove it or choose another {option.out}"
            raise ElmanError(f"{quote(directory)} is a link, which is not followed: {remedy}")


def require_free(directory: Path, names: Iterable[str]) -> None:
    """Raise ElmanError if there are files of these names, which may be another program's and would be replaced.

    A link or a named pipe contains nothing that would be lost.
    """
    for path in (directory / name for name in names):
        if not path.is_symlink() and (is_file(path) or is_directory(path)):
            raise ElmanError(f"{quote(path)} already exists; move it, or choose another {option.out}")


def cannot_write(directory: Path, error: OSError) -> ElmanError:
    """Return the error of a write to a directory that failed with an error of the system."""
    reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
    return ElmanError(f"cannot write in {quote(directory)} ({reason}){suggest_write_remedy(error)}")


class RunWriter:
    """Writes the files of one run, and holds the lock of its directory from the first write to the end of the block.

    `log` names optional loggers; on `resume`, the loggers in ``run.json`` are added. `overwrite` is for `create`.
    """

    def __init__(self, path: Path, log: Sequence[str] = (), *, resume: bool = False, overwrite: bool = False) -> None:
        self.path, self.files, self.overwrite = path, RunDirectory(path), overwrite
        manifest = self.files.manifest_if_valid() if resume else None
        self.log = tuple(dict.fromkeys([*(manifest.log if manifest else ()), *log]))
        self.loggers = open_loggers(path, self.log)
        self.lock = DirectoryLock(path)

    def __enter__(self) -> Self:
        """Acquire the lock if its file exists."""
        self.lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the loggers, and release the lock."""
        try:
            self._call_loggers("close")
        finally:
            self.lock.__exit__(*exception)

    def create(self, manifest: RunManifest, checkpoint: Checkpoint) -> None:
        """Start a run in a directory without a run, or whose run may be replaced; all other files are left alone."""
        self.lock.acquire()
        replaces = self.overwrite and self.files.holds_run()
        if replaces:
            _require_own_checkpoint(self.files)
        else:
            others = f"add {option.resume:True} to continue it, {option.overwrite:True} to replace it, or "
            self.files.require_unused(others)
            if self.files.manifest_if_valid() is None:  # otherwise they are of a run; a process was killed below
                require_free(self.path, [MANIFEST, PLOT, *(logger.path.name for logger in self.loggers)])
        # The checkpoint is renamed last, once both files are written. Until then there is no run, or the complete run
        # that is replaced; from then on the new run can be resumed, which rewinds the records.
        replace_files(
            {self.path / MANIFEST: self._serialize(manifest), self.path / CHECKPOINT: serialize_checkpoint(checkpoint)},
            remove=[self.path / name for name in (PLOT, BEST, CHECKPOINT)] if replaces else [],
        )
        if replaces:
            _remove_optional(self.path)  # the new run may not have them
        self.rewind([], [])

    def write_manifest(self, manifest: RunManifest) -> None:
        """Write ``run.json``."""
        replace_file(self.path / MANIFEST, self._serialize(manifest))

    def remove_plot(self) -> None:
        """Remove the plot of the losses, if there is one."""
        with report_errors(self.path):
            (self.path / PLOT).unlink(missing_ok=True)

    def _serialize(self, manifest: RunManifest) -> bytes:
        """Return the contents of ``run.json``, with the loggers of the run."""
        return (json.dumps(replace(manifest, log=self.log).as_dict(), indent=2) + "\n").encode()

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records to all logs."""
        self.lock.check()
        self._call_loggers("append", metrics, samples)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Make all logs contain exactly the records that the checkpoint covers."""
        self._call_loggers("rewind", metrics, samples)

    def _call_loggers(self, method: str, *records: Sequence[Metrics | Sample]) -> None:
        with report_errors(self.path):
            for logger in self.loggers:
                getattr(logger, method)(*records)

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint."""
        self.lock.check()
        replace_file(self.path / CHECKPOINT, serialize_checkpoint(checkpoint))

    def save_selected(self, selected: Snapshot | None) -> None:
        """Replace the file of the network that is used instead of the last one; None removes the file."""
        if selected is not None:
            replace_file(self.path / BEST, selected.serialize())
            return
        with report_errors(self.path):
            (self.path / BEST).unlink(missing_ok=True)


@contextmanager
def report_errors(directory: Path) -> Iterator[None]:
    """Report a system error in the block as one line."""
    try:
        yield
    except OSError as error:
        raise cannot_write(directory, error) from error


def require_removable(path: Path) -> None:
    """Raise ElmanError if there is no run, or if it is being trained."""
    files = RunDirectory(path)
    is_rest = files.is_empty() and not exists(path / MANIFEST)  # left by an interrupted removal
    if not is_rest and not files.holds_run():
        raise ElmanError(f"{quote(path)} contains no run")
    if DirectoryLock(path).is_held():
        raise LockedError(f"the run in {quote(path)} is being trained: stop it first")
    if not is_rest:
        _require_own_checkpoint(files)


def remove_run(path: Path) -> None:
    """Remove the files of a run, the checkpoint last, and the directory if it contains no others."""
    require_removable(path)
    with DirectoryLock(path) as lock:
        lock.acquire()
        _remove_optional(path)
        with report_errors(path):
            for name in reversed(FILES):
                (path / name).unlink(missing_ok=True)
    with report_errors(path):
        (path / LOCK).unlink(missing_ok=True)
        if not path.is_symlink() and not any(path.iterdir()):
            real_path(path).rmdir()  # "." cannot be removed


def _require_own_checkpoint(files: RunDirectory) -> None:
    """Raise ElmanError if the checkpoint may be a file of another program."""
    if files.manifest_if_valid() is None:
        with suppress(VersionError):
            files.load()


def _remove_optional(path: Path) -> None:
    """Remove the files that only some runs have."""
    with report_errors(path):
        (path / PLOT).unlink(missing_ok=True)
        for logger in optional_loggers().values():
            logger.load().remove(path / logger.target)
