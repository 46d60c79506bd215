"""Fixtures that tests of several packages use."""

import pytest

from elman.text import Corpus
from support.cli import Command, Ended, exit_code
from support.state import TEXT


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
