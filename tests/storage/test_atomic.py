"""Replaced files."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from elman.storage.atomic import replace_file, replace_file_by_pieces


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one")
    replace_file_by_pieces(path, (b"tw", b"o"))
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in directories")
def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    """As with /dev/stdout and /dev/null, which root could replace by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(path.read_bytes)
        replace_file_by_pieces(path, (b"a", b"b"))
        assert read.result(timeout=10) == b"ab"
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]
