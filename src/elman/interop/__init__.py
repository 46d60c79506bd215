"""Export and import of models, and the registry of formats; files are written atomically and validated when read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError

from elman.engine import get_engine
from elman.engines import DEFAULT_ENGINE
from elman.errors import ElmanError, join_alternatives, quote
from elman.inference.fingerprint import check_is_model
from elman.inference.model import Model
from elman.inference.network_file import check_holds_no_run
from elman.interop import npz, onnx, torch
from elman.interop.contents import Contents
from elman.runs.models import save_model
from elman.storage.atomic import write_output
from elman.storage.untrusted import require_regular_file, safe_message
from elman.text import Alphabet


class Format(Protocol):
    """The interface of the modules of the formats."""

    SUFFIX: str
    """The suffix of its files; no two formats share one."""
    HELP: str
    """What its files contain, for ``--help``: a phrase without a full stop."""

    def write(self, model: Model, /) -> bytes:
        """Return a model as the bytes of a file; raise ElmanError if the format cannot represent it."""
        ...

    def read(self, path: Path, /) -> Contents:
        """Return what an untrusted file contains; raise one of `_READ_ERRORS` if it is invalid."""
        ...


FORMATS: dict[str, Format] = {"onnx": onnx, "torch": torch, "npz": npz}
"""Formats by name."""

_READ_ERRORS = (ElmanError, SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What readers raise for an invalid file."""


def export(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model in the format given by the file suffix.

    Parameters
    ----------
    model : Model
    path : str or path
        Its suffix is that of a format in ``FORMATS``: ``.onnx``, ``.safetensors`` (a PyTorch state dict) or ``.npz``.

    Raises
    ------
    ElmanError
        If `model` is no model, the suffix is unknown, a library (onnx) is not installed, the model cannot be
        represented in the format, or the file is the checkpoint of a run or cannot be written.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> elman.export(model, "cats.npz")
    >>> elman.import_("cats.npz", engine="numpy")
    <Model: 1 x rnn 16, 11 characters, float32, numpy>
    """
    check_is_model(model)
    path = Path(path)
    format_ = _format_of(path)
    check_holds_no_run(path)
    write_output(path, format_.write(model))


def import_(
    path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    alphabet: str | None = None,
    engine: str = DEFAULT_ENGINE,
) -> Model:
    """Return the model in a file written by `export`, or in a PyTorch state dict.

    ``docs/how_to/export_and_import.md`` describes the files.

    Parameters
    ----------
    path : str or path
    out : str or path, optional
        A directory to save the model to, from which `elman.load` and the commands load it like a run.
    alphabet : str, optional
        The characters in the order of their indices, if the file does not contain them.
    engine : str
        ``numba`` or ``numpy``.

    Raises
    ------
    ElmanError
        If the file does not exist, is corrupted or inconsistent, or contains another kind of network; if `out`
        contains a run or a model already.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> elman.export(model, "cats.npz")
    >>> imported = elman.import_("cats.npz", engine="numpy")
    >>> imported.score("the mat") == model.score("the mat")
    True
    """
    path, given_alphabet = Path(path), None if alphabet is None else Alphabet(alphabet)
    read, engine_used = _format_of(path).read, get_engine(engine)
    try:
        require_regular_file(path).open("rb").close()  # gives a better reason than the libraries if it cannot be read
        model = read(path).build_model(given_alphabet, engine_used)
    except OSError as error:
        raise ElmanError(f"cannot read {quote(path)} ({error.strerror})") from error
    except _READ_ERRORS as error:
        raise ElmanError(f"{quote(path)} cannot be imported: {safe_message(error)}") from error
    if out is not None:
        save_model(model, Path(out))
    return model


def format_help() -> str:
    """Return the help of ``--to``: every format, with the content of its files."""
    return f"Format: {join_alternatives([f'{name} ({format.HELP})' for name, format in FORMATS.items()])}."


def _format_of(path: Path) -> Format:
    for format in FORMATS.values():
        if path.suffix == format.SUFFIX:
            return format
    suffixes = ", ".join(format.SUFFIX for format in FORMATS.values())
    raise ElmanError(f"the file name must end in one of {suffixes}, which sets its format (got {quote(path.name)})")
