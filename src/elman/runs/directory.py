"""The run directory: the files of one run, written so that they agree at every instant, and the lock of its writer."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from elman.errors import ElmanError, LockedError, option, quote
from elman.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, serialize_checkpoint
from elman.runs.history import Metrics, Sample, parse_metrics, parse_samples
from elman.runs.loggers import LOGGERS, MANIFEST, MAX_RECORDS, open_loggers, optional_loggers
from elman.runs.manifest import RunManifest
from elman.runs.snapshot import Snapshot, save_network
from elman.storage import exists, is_directory
from elman.storage.files import PARTIAL_SUFFIX, replace_file, replace_files, suggest_write_remedy, sync_directory
from elman.storage.tensors import read_description
from elman.storage.untrusted import MAX_FILE, parse_strict_json, read_regular_file, require_int, safe_message

if TYPE_CHECKING:
    from filelock import FileLock

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
METRICS, SAMPLES = LOGGERS["csv"].target, LOGGERS["samples"].target
PLOT = "smooth_loss.png"
FILES = (CHECKPOINT, BEST, METRICS, SAMPLES, MANIFEST)
"""The files of a run directory that cannot be made again without training."""
LOCK = ".lock"
ACQUIRE_SECONDS = 0.1
"""How long a writer waits for the lock: `DirectoryLock.is_held` holds it for an instant."""
_T = TypeVar("_T")
_Record = TypeVar("_Record", Metrics, Sample)


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
            raise _cannot_write(self.directory, error) from error
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


class RunDirectory:
    """The files of one run, of which checkpoint, metrics and samples belong together. Only a writer holds `lock`.

    Records are written and synced before the checkpoint that covers them; `rewind` drops those that none covers. `log`
    names loggers beside those that every run has, on `resume` also those of ``run.json``; `overwrite` is for `create`.
    """

    def __init__(self, path: Path, log: Sequence[str] = (), *, resume: bool = False, overwrite: bool = False) -> None:
        self.path, self.overwrite = path, overwrite
        manifest = self.manifest_if_valid() if resume else None
        self.log = tuple(dict.fromkeys([*(manifest.log if manifest else ()), *log]))
        self.loggers = open_loggers(path, self.log)
        self.lock = DirectoryLock(path)
        self.plot_path = path / PLOT

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock from the first write on, and close the loggers at the end."""
        with self.lock:
            try:
                yield
            finally:
                for logger in self.loggers:
                    with self._readable_errors():
                        logger.close()

    def holds_run(self) -> bool:
        """Whether it contains a run, that is, a checkpoint."""
        return exists(self.path / CHECKPOINT)

    def is_empty(self) -> bool:
        """Whether it exists and is empty, except for files of a process that was killed right at the start."""
        try:
            return all(path.name in (LOCK, MANIFEST) or path.suffix == PARTIAL_SUFFIX for path in self.path.iterdir())
        except OSError:
            return False

    def load(self) -> Checkpoint:
        """Load the checkpoint."""
        return load_checkpoint(self.path / CHECKPOINT)

    def metrics(self) -> list[Metrics]:
        """Read the rows of ``metrics.csv`` that the checkpoint covers; a full disk may leave more."""
        return self._select_covered(self.written_metrics())

    def written_metrics(self) -> list[Metrics]:
        """Read all rows of ``metrics.csv``."""
        return self._read(METRICS, lambda data: parse_metrics(_complete_lines(data)))

    def samples(self) -> list[Sample]:
        """Read the lines of ``samples.jsonl`` that the checkpoint covers."""
        return self._select_covered(self._read(SAMPLES, lambda data: parse_samples(_complete_lines(data))))

    def _select_covered(self, records: list[_Record]) -> list[_Record]:
        """Return the records that the checkpoint covers; all, if it cannot be read."""
        try:
            last = require_int(read_description(self.path / CHECKPOINT)["state"]["update"], "update")
        except (ValueError, KeyError, TypeError):
            return records
        return [record for record in records if record.update <= last]

    def read_manifest(self) -> dict[str, Any]:
        """Read ``run.json``."""
        return self._read(MANIFEST, lambda data: dict(parse_strict_json(data.decode("utf-8"))))

    def manifest(self) -> RunManifest:
        """Read and parse ``run.json``."""
        return self._read(MANIFEST, lambda data: RunManifest.parse(parse_strict_json(data.decode("utf-8"))))

    def manifest_if_valid(self) -> RunManifest | None:
        """Return the same; None if it is lost or damaged, since a run with a checkpoint is resumed without it, too."""
        try:
            return self.manifest()
        except ElmanError:
            return None

    def create(self, manifest: RunManifest, checkpoint: Checkpoint) -> None:
        """Start a run in a directory that contains none, unless it may be replaced; all other files are left alone.

        The checkpoint is renamed last, after ``run.json``, once both are written: until then there is no run, or the
        complete one that is replaced; from then on the new one can be resumed, which rewinds the records.
        """
        replaces = self.overwrite and self.holds_run()
        if replaces:
            self.lock.acquire()
            self._require_own_checkpoint()
        else:
            self.lock.acquire()
            self.require_unused(f"add {option.resume:True} to continue it, {option.overwrite:True} to replace it, or ")
        replace_files(
            {
                self.path / MANIFEST: self._serialize_manifest(manifest),
                self.path / CHECKPOINT: serialize_checkpoint(checkpoint),
            },
            remove=[self.path / name for name in (PLOT, BEST, CHECKPOINT)] if replaces else [],
        )
        if replaces:
            self._remove_optional()  # which the new run may not have
        self.rewind([], [])

    def require_removable(self) -> None:
        """Raise ElmanError if there is no run, or if it is being trained."""
        if not self.holds_run():
            raise ElmanError(f"{quote(self.path)} contains no run")
        if self.lock.is_held():
            raise LockedError(f"the run in {quote(self.path)} is being trained: stop it first")
        self._require_own_checkpoint()

    def remove(self) -> None:
        """Remove the files of the run, the checkpoint last, and the directory if it contains no others."""
        self.require_removable()
        with self.lock:
            self.lock.acquire()
            self._remove_optional()
            with self._readable_errors():
                for name in reversed(FILES):
                    (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def _require_own_checkpoint(self) -> None:
        """Raise ElmanError if the checkpoint may be a file of another program."""
        if self.manifest_if_valid() is None:
            self.load()

    def _remove_optional(self) -> None:
        """Remove the files of a run that not every run has."""
        with self._readable_errors():
            self.plot_path.unlink(missing_ok=True)
            for logger in optional_loggers().values():
                logger.load().remove(self.path / logger.target)

    def save_network(self, imported: Snapshot) -> None:
        """Save a network where there is neither a run nor a network, as the best network of a run."""
        self.lock.acquire()
        self.require_unused()
        save_network(self.path / BEST, imported)

    def write_manifest(self, manifest: RunManifest) -> None:
        """Write ``run.json``."""
        replace_file(self.path / MANIFEST, self._serialize_manifest(manifest))

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records to all logs."""
        self.lock.check()
        with self._readable_errors():
            for logger in self.loggers:
                logger.append(metrics, samples)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Let all logs contain exactly the records that the checkpoint covers."""
        with self._readable_errors():
            for logger in self.loggers:
                logger.rewind(metrics, samples)

    def save(self, checkpoint: Checkpoint, selected: Snapshot | None = None) -> None:
        """Replace the checkpoint, which is complete, and next to it the copy of the network that is used."""
        self.lock.check()
        save_checkpoint(self.path / CHECKPOINT, checkpoint)
        self.save_selected(selected)

    def save_selected(self, selected: Snapshot | None) -> None:
        """Replace the copy of the network that is used instead of the last one; None if there is none."""
        if selected is not None:
            replace_file(self.path / BEST, selected.serialize())
            return
        with self._readable_errors():
            (self.path / BEST).unlink(missing_ok=True)

    def _serialize_manifest(self, manifest: RunManifest) -> bytes:
        """Return the contents of ``run.json``, with the loggers of the run."""
        return (json.dumps(replace(manifest, log=self.log).as_dict(), indent=2) + "\n").encode()

    def require_unused(self, remedy: str = "") -> None:
        """Raise ElmanError if there is a run or a model."""
        if self.holds_run():
            raise ElmanError(f"{quote(self.path)} already contains a run; {remedy}choose another {option.out}")
        if (self.path / BEST).exists():
            raise ElmanError(f"{quote(self.path)} already contains a model; choose another {option.out}")

    def _read(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        path = self.path / name
        try:
            return parse(read_regular_file(path, MAX_FILE if name == MANIFEST else MAX_RECORDS))
        except FileNotFoundError:
            if self.holds_run():
                raise ElmanError(f"the run in {quote(self.path)} has no {name}") from None
            raise ElmanError(f"no {name} in {quote(self.path)}; pass a run directory written by elman train") from None
        except NotADirectoryError:
            raise ElmanError(f"{quote(self.path)} is a file; pass a run directory written by elman train") from None
        except (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error) as error:
            remedy = "restore a copy or train again"
            raise ElmanError(f"{quote(path)} cannot be read as {name} ({safe_message(error)}); {remedy}") from error

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def _complete_lines(data: bytes) -> list[str]:
    """Return lines without a partial one at the end, which a killed run may have left."""
    return data[: data.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]


def _cannot_write(directory: Path, error: OSError) -> ElmanError:
    reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
    return ElmanError(f"cannot write in {quote(directory)} ({reason}){suggest_write_remedy(error)}")
