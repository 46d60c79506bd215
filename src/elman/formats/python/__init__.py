"""One file of Python that computes a model with NumPy alone, for programs in which Elman is not installed.

The file is `model.py` of this package; its last string contains an npz file, compressed and in Base64.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path

from elman.errors import ElmanError
from elman.formats import npz
from elman.formats.format import Format, ModelInfo
from elman.model import Model

_PROGRAM = Path(__file__).with_name("model.py")


def write(model: Model, info: ModelInfo) -> Iterator[bytes]:
    """Return the pieces of a file."""
    if model.masker is not None:
        raise ElmanError("a model with masks cannot be exported to python; export to npz")
    before, after = _PROGRAM.read_bytes().split(b'DATA = """', 1)
    return iter((before, b'DATA = """\n', base64.encodebytes(gzip.compress(npz.write(model, info), mtime=0)), after))


FORMAT = Format(".py", "one file of Python and NumPy, without Elman", write, cells=("rnn", "gru", "lstm"))
