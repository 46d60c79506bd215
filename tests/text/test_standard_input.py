"""Whether a text is piped to standard input: never where waiting for it would block a job that has none."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elman.cli.default_corpus import choose_corpus
from elman.errors import ElmanError
from elman.text import has_piped_text, standard_input
from elman.text.loading import read_corpus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="select takes no pipes there")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in the place of standard input; returns its other end."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "r", encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        monkeypatch.setattr(standard_input, "PIPE_SECONDS", 0.0)
        yield writer


def choose() -> tuple[str, list[str]]:
    notices: list[str] = []
    return choose_corpus(notices.append), notices


def test_a_pipe_that_delivers_is_read(pipe: int) -> None:
    os.write(pipe, b"a text")
    assert choose() == ("-", [])
    os.close(pipe)
    assert read_corpus("-").text == "a text"


def test_a_pipe_that_ends_is_an_error(pipe: int) -> None:
    os.close(pipe)
    with pytest.raises(
        ElmanError, match=r"^standard input is a pipe without data: name a text, or redirect /dev/null "
    ):
        choose()


def test_a_pipe_that_never_delivers_is_not_waited_for(pipe: int) -> None:
    text, (notice,) = choose()
    assert text == "python-docs"
    assert notice.endswith("using the built-in text python-docs")
    os.close(pipe)


def test_a_file_is_read_from_its_beginning_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_text("one\ntwo\n", encoding="utf-8")
    with (tmp_path / "list").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert has_piped_text()
        os.lseek(file.fileno(), 4, os.SEEK_SET)  # as a loop of a shell that reads lines
        assert choose() == ("python-docs", [])


def test_what_is_neither_pipe_nor_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open(encoding="utf-8") as null:
        for other in (None, object(), null):
            monkeypatch.setattr("sys.stdin", other)
            assert choose() == ("python-docs", [])
