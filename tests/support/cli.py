"""The command line, run in the process of a test."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from elman.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


def exit_code(*arguments: object) -> int:
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    assert isinstance(raised.value.code, int)
    return raised.value.code


def assert_refused(ended: Ended, *words: str) -> None:
    """The command ended with one line, on standard error, which contains these words."""
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.endswith("\n")
    assert ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err
