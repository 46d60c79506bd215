"""Fixtures that tests of several packages use."""

import os

import pytest

from elman.text import Corpus
from support.cli import Command, Ended, exit_code
from support.compile_lock import lock_compilation
from support.state import TEXT


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes: one more than cores, as tests of pages and servers mostly wait."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Share the compilation of kernels with the other workers."""
    if hasattr(config, "workerinput"):
        lock_compilation()


@pytest.fixture
def corpus() -> Corpus:
    """The text, ready to train on."""
    return Corpus.from_text(TEXT)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ended:
        return Ended(exit_code(*arguments), *capsys.readouterr())

    return run
