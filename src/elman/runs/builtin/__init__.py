"""The built-in model, which commands use if they are given none; NOTICE.md describes its texts and their licences.

Its file is that of a network (`elman.inference.network_file`), compressed with xz; safetensors defines the byte order.
Compressed files contain a model's fingerprint, so that the model of an earlier version can be found once there are
several.
"""

from __future__ import annotations

import hashlib
import lzma
import os
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from elman.errors import ElmanError
from elman.inference.network_file import SavedNetwork
from elman.runs.checkpoint import load_network

NAME = "builtin"
"""What stands for the newest built-in model where a run is expected."""


class BuiltinModel(NamedTuple):
    """A model in this package.

    Parameters
    ----------
    file : str
        Its number is increased by every new model.
    sha256 : str
        That of the file, in hexadecimal.
    fingerprint : str
        `elman.compression.fingerprint` of the model, in hexadecimal, which identifies it in compressed files.
    """

    file: str
    sha256: str
    fingerprint: str


MODELS = (
    BuiltinModel(
        "builtin-1.safetensors.xz",
        sha256="0bf45438868ea1f63290773893059f7dfff8897f1e58f99bfd7b32ce80cb2334",
        fingerprint="ceec5736168401265dc7b8734ec4ac4b72f2c5ce15cbb470e60d0accc7b15d79",
    ),
)
"""Every built-in model, the newest last; none is ever removed, as files compressed with it must stay readable."""


def read_builtin(model: BuiltinModel = MODELS[-1]) -> SavedNetwork:
    """Return a built-in model.

    Raises
    ------
    ElmanError
        If its file is missing or damaged.
    """
    try:
        compressed = (files(__package__) / model.file).read_bytes()
    except OSError as error:
        raise _damaged_error(f"cannot read {model.file}: {error.strerror}") from error
    if hashlib.sha256(compressed).hexdigest() != model.sha256:
        raise _damaged_error(f"the contents of {model.file} do not match its SHA-256")
    with TemporaryDirectory() as folder:  # safetensors reads files only
        path = Path(folder) / NAME
        path.write_bytes(lzma.decompress(compressed))
        return load_network(path)


def is_builtin(path: Path) -> bool:
    """Return whether a path is the name of the built-in model: a file or directory of this name takes precedence."""
    return path == Path(NAME) and not os.path.exists(path)  # noqa: PTH110 (False for a path that cannot be inspected)


def find_builtin(fingerprint: bytes) -> BuiltinModel | None:
    """Return the built-in model whose fingerprint begins with these bytes, if there is one."""
    found = (model for model in MODELS if bytes.fromhex(model.fingerprint).startswith(fingerprint))
    return next(found, None)


def _damaged_error(reason: str) -> ElmanError:
    return ElmanError(f"the built-in model cannot be used ({reason}): reinstall elman, or pass a run")
