"""Fixtures that tests of several packages use."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from elman.storage.files import replace_file
from elman.text import Corpus
from elman.training import records
from elman.training.run import Run
from support.cli import Command, Ended, exit_code
from support.compile_lock import lock_compilation
from support.processes import children
from support.state import TEXT, T
from support.training import train

# A busy machine may take any time for an example, also where the environment variable CI selects another profile.
settings.register_profile("elman", settings(), deadline=None)
settings.load_profile("elman")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes: one more than cores, as tests of pages and servers mostly wait."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Share the compilation of kernels with the other workers, and bytecode among all processes.

    Signals have their default handlers, here and in the processes that tests start: a shell lets a process in the
    background ignore an interrupt, and nohup a hangup.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Hundreds of processes are started, and each would compile the package and the tests anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if hasattr(config, "workerinput"):
        lock_compilation()


@pytest.fixture(scope="session", autouse=True)
def _no_orphans() -> Iterator[None]:
    """End the processes that tests have started and, being interrupted, could not end."""
    yield
    for pid in children(os.getpid()):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def drawn_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs draw the plot of their losses, which takes longer than a training of this size."""
    monkeypatch.setattr(records, "write_plot", write_plot)


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the wait for the disk, milliseconds for each file, which only a power failure would need."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


write_plot = records.write_plot


@pytest.fixture(scope="session", autouse=True)
def _short_ends() -> Iterator[None]:
    """Let runs, also those of fixtures, end with an empty file in place of the plot, and short samples.

    See `drawn_plots`; the samples take longer than a training of the usual size.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "write_plot", write_empty_plot)
        patch.setattr(records, "FINAL_LENGTH", 100)
        yield


def write_empty_plot(run: Run, path: Path) -> None:
    replace_file(path, b"")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from support.browser import chromium  # which takes a second to import

    with chromium() as browser:
        yield browser


@pytest.fixture
def corpus() -> Corpus:
    return Corpus.from_text(TEXT)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Ended:
        return Ended(exit_code(*arguments), *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ELMAN_NO_BROWSER", "1")
    (tmp_path / "novel.txt").write_text(TEXT, "utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path, trained: Path) -> Path:
    return Path(shutil.copytree(trained, folder / "run"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(Corpus.from_text(TEXT, "novel.txt"), hidden_size=3, seq_length=T, engine="numpy", epochs=2, out=out)
    return out
