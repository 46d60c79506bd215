"""Files of text for tests, and the lines with which they are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.text import read_corpus

PLAIN = "It was a dark and stormy night;\nthe rain fell in torrents.\n"
NOISE = np.random.default_rng(1).bytes(3000)


def write(name: str, data: bytes = PLAIN.encode()) -> Path:
    """Write a file, in the directory that its name says."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refused(source: Any, **options: Any) -> str:
    """Return the one line with which a source is refused."""
    with pytest.raises(ElmanError) as raised:
        read_corpus(source, **options)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 400
    return line
