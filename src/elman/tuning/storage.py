"""Where a study is stored: a journal file for the processes of one host, or a PostgreSQL database for several hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from elman.errors import ElmanError, quote
from elman.storage.untrusted import safe_message
from elman.tuning.locks import DatabaseLocks, FileLocks, TrialLocks

JOURNAL = "journal.log"
LOCKS = "locks"
RUNGS = (25, 50)
"""Percent of its budget at which a trial is compared with the others: the worse half is pruned at each."""
_POSTGRESQL = "postgresql+psycopg"
_CONNECT = {"connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
"""Arguments of a connection, so that a worker notices that the server is gone."""
_NETWORK_FILE_SYSTEMS = {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "gpfs", "lustre", "nfs", "nfs4", "smb3"}
_MOUNTS = Path("/proc/self/mounts")


@dataclass
class OpenStudy:
    """A study, and the locks of its trials."""

    study: optuna.Study
    locks: TrialLocks


@dataclass(frozen=True)
class StorageAddress:
    """Where a study is stored.

    Parameters
    ----------
    directory : Path
        The directory of the sweep, which has the journal.
    name : str
        The name of the study.
    url : str or None
        The database; None for a journal.
    """

    directory: Path
    name: str
    url: str | None = field(default=None, repr=False)

    def describe(self) -> str:
        """Return it for messages, without a password."""
        return str(self.directory / JOURNAL) if self.url is None else _parse_url(self.url).render_as_string()

    @contextmanager
    def open(self, pruner: str) -> Iterator[OpenStudy]:
        """Open the study, and create it if there is none.

        Raises
        ------
        ElmanError
            If the database cannot be used, also later in the block.
        """
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            if self.url is None:
                storage = _open_journal(self.directory / JOURNAL)
                yield OpenStudy(self._create_study(storage, pruner), FileLocks(self.directory / LOCKS))
            else:
                url = _parse_url(self.url)
                with _database_errors(url), _connect(url) as connection, ExitStack() as stack:
                    locks = DatabaseLocks(connection, self.name)
                    with locks.schema():  # creating tables twice at a time fails
                        study = self._create_study(stack.enter_context(_open_database(url)), pruner)
                    yield OpenStudy(study, locks)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def _create_study(self, storage: optuna.storages.BaseStorage, pruner: str) -> optuna.Study:
        halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2)
        return optuna.create_study(
            storage=storage,
            study_name=self.name,
            direction="minimize",
            load_if_exists=True,
            pruner=halving if pruner == "halving" else optuna.pruners.NopPruner(),
        )


class JournalLock:
    """The lock for appending to a journal, which the system releases if the process is killed.

    Optuna's own locks are files that a killed process leaves behind, and that others remove after 30 seconds.

    Parameters
    ----------
    journal : Path
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.lock = FileLock(f"{journal}.lock", thread_local=False)

    def acquire(self) -> bool:
        """Acquire it; remove a partial last line, which a killed process may have left."""
        self.lock.acquire()
        with self.journal.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read(1) not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release it."""
        self.lock.release()


def _open_journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock: Any = JournalLock(path)  # Optuna does not export the base class
        return JournalStorage(JournalFileBackend(str(path), lock))
    except (ValueError, KeyError) as error:
        raise ElmanError(f"{quote(path)} is not a journal of Optuna ({safe_message(error)})") from None


def _parse_url(text: str) -> URL:
    """Return the URL of a PostgreSQL database.

    Raises
    ------
    ElmanError
        If it is something else.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ElmanError("--storage must be a URL such as postgresql+psycopg://user@host/database") from None
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite":
        raise ElmanError(
            "--storage cannot be SQLite, which corrupts databases on shared directories: omit --storage on one host,"
            " use postgresql+psycopg:// on several"
        )
    if url.drivername not in (_POSTGRESQL, "postgresql", "postgres"):
        raise ElmanError(f"--storage must be a URL postgresql+psycopg://… (got {quote(url.drivername)})")
    return url.set(drivername=_POSTGRESQL)


def check_address(url: str | None) -> None:
    """Check the URL of a storage.

    Raises
    ------
    ElmanError
        If it is not one of PostgreSQL.
    """
    if url is not None:
        _parse_url(url)


@contextmanager
def _connect(url: URL) -> Iterator[Any]:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_CONNECT)
    with engine.connect() as connection:
        yield connection


@contextmanager
def _open_database(url: URL) -> Iterator[RDBStorage]:
    storage = RDBStorage(
        url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True, "connect_args": _CONNECT}
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _database_errors(url: URL) -> Iterator[None]:
    """Report errors of a database in one line, without its password."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise ElmanError("--storage requires psycopg, which is not installed: pip install 'psycopg[binary]'") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        if url.password:
            reason = reason.replace(str(url.password), "***")
        shown = url.set(query={}).render_as_string()
        raise ElmanError(f"cannot use the database {shown} ({safe_message(ValueError(reason))})") from None


def find_network_file_system(path: Path) -> str:
    """Return the type of the file system that contains a path if it is a network file system; empty otherwise."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text("utf-8").splitlines()]
    except OSError:  # not Linux
        return ""
    path = path.absolute()
    points = {mount[1].replace("\\040", " "): mount[2] for mount in mounts if len(mount) > 2}
    for parent in (path, *path.parents):
        if (kind := points.get(str(parent))) is not None:
            return kind if kind in _NETWORK_FILE_SYSTEMS else ""
    return ""
