"""The files of the built-in models, snapshots compressed with xz; NOTICE.md describes their texts and the licences."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from elman.errors import ElmanError


class BuiltinModel(NamedTuple):
    """A model in this package."""

    file: str
    """Its number is increased by every new model."""
    sha256: str
    """That of the file, in hexadecimal."""
    fingerprint: str
    """`elman.model.fingerprint` of the model, in hexadecimal, which identifies it in compressed files."""


MODELS = (
    BuiltinModel(
        "builtin-1.safetensors.xz",
        sha256="2eb5d2c1ea0a1eb11f27f256c2f2c1e4989642d99d09173e7d7877e394979030",
        fingerprint="28d879c2f629663ba9687213b9e9136f56ad032e6b251dfee6126f66a2de726e",
    ),
)
"""Every built-in model, the newest last; none is ever removed, as files compressed with it must stay readable."""


@contextmanager
def unpack_builtin(model: BuiltinModel) -> Iterator[Path]:
    """Make a built-in model available as a safetensors file, which is removed afterwards."""
    try:
        compressed = (files(__package__) / model.file).read_bytes()
    except OSError as error:
        raise _damaged_error(f"cannot read {model.file}: {error.strerror}") from error
    if hashlib.sha256(compressed).hexdigest() != model.sha256:
        raise _damaged_error(f"the contents of {model.file} do not match its SHA-256")
    try:
        folder = TemporaryDirectory()  # safetensors reads files only
        path = Path(folder.name) / "builtin"
        path.write_bytes(lzma.decompress(compressed))
    except OSError as error:
        raise ElmanError(f"the built-in model cannot be unpacked: {error.strerror}") from error
    with folder:
        yield path


def _damaged_error(reason: str) -> ElmanError:
    return ElmanError(f"the built-in model cannot be used ({reason}): reinstall elman, or pass a run")
