"""Fixtures of the tests that exchange compressed files with other processes and machines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.codec_subprocess import write
from support.small_blocks import small_blocks


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "here"
    folder.mkdir()
    with small_blocks():
        write(folder)
        yield folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder
