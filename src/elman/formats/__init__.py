"""Export and import of models, and the registry of formats; files are written atomically and validated when read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError

from elman.engine_registry import DEFAULT_ENGINE
from elman.errors import ElmanError, join_alternatives, option, quote, report_system_errors
from elman.formats.contents import ModelInfo
from elman.model.identity import check_is_model
from elman.model.loading import create_model, hub_name, load, name_model, read_model, save_model
from elman.model.model import Model
from elman.plugins import Registry
from elman.runs.directory import FILES, RunDirectory
from elman.runs.loggers import MANIFEST
from elman.runs.manifest import TextRecord
from elman.runs.snapshot import Snapshot, check_holds_no_run
from elman.storage import is_directory
from elman.storage.atomic import Data, replace_files, suggest_write_remedy, write_output
from elman.storage.untrusted import require_regular_file, safe_message
from elman.text import Alphabet


class Format(Protocol):
    """The interface of the modules of the formats."""

    SUFFIX: str
    """The suffix of its files, which no two formats share; empty for a folder."""
    HELP: str
    """What it contains, for ``--help``: a phrase without a full stop."""
    OPTIONS: tuple[str, ...]
    """The options of `export` that have an effect."""
    NOTE: str
    """What to know about the file, for a person who has just written one; empty for most formats."""

    def write(self, model: Model, info: ModelInfo, /) -> Data | dict[str, bytes]:
        """Return a model as the bytes of a file, or their pieces, or as those of the files of a folder, by name.

        Raise ElmanError if the format cannot represent the model.
        """
        ...

    @property
    def read(self) -> Callable[[Path, Alphabet | None], Snapshot] | None:
        """Return the network in an untrusted file, with a given alphabet or its own.

        Raise one of `_READ_ERRORS` if the file is invalid.

        None for a format that is not imported, or whose folder `elman.load` reads.
        """
        ...


FORMATS = Registry[Format]("elman.formats")
"""Formats by name."""

_READ_ERRORS = (ElmanError, SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What readers raise for an invalid file."""


def export(
    model: Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    license: str = "",
    language: str = "",
    weights: str = "",
    include_text: bool = False,
    order: int | None = None,
    space: str = "",
) -> None:
    """Write a model in another format.

    Parameters
    ----------
    model : Model or path
        A path is one that `elman.load` reads. With that of a run, a model card names the text.
    path : str or path
        The file, or the folder.
    format : str, optional
        One of ``FORMATS``: ``onnx``, ``torch`` (a PyTorch state dict), ``npz``, ``arpa`` (the n-gram counts for KenLM
        and decoders, without the network), ``page`` (a web page), or ``hub``, a folder for the Hugging Face Hub. By
        default the format whose suffix the file has: ``.onnx``, ``.safetensors``, ``.npz``, ``.arpa`` or ``.html``.
    license, language : str, optional
        Identifiers in the model card, such as ``mit`` and ``en``. A page has the licence only.
    weights : str, optional
        The type of the weights in a page: ``int8``, ``float16`` or ``float32``. By default the smallest that increases
        the loss by at most 0.002 nats per character.
    include_text : bool
        Whether a page or a folder may contain an n-gram table that is not pruned, from which the training text can be
        read.
    order : int, optional
        Length of the longest strings in an ARPA file, from 2; by default that of the model, ``ngram_order`` + 1.
    space : str, optional
        Word for the space in an ARPA file; by default ``<sp>``.

    Raises
    ------
    ElmanError
        If there is no model, the format is unknown or its suffix is another, a library (onnx) is not installed, the
        model cannot be represented in the format, or the path is a run or cannot be written.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> elman.export(model, "cats.npz")
    >>> elman.import_("cats.npz", engine="numpy")
    <Model: 1 x rnn 16, 11 characters, float64, numpy>
    """
    path = Path(path)
    chosen = find_format(path, format)
    options: dict[str, Any] = {"license": license, "language": language, "weights": weights}
    options |= {"include_text": include_text, "order": order, "space": space}
    for name in options:
        if options[name] and name not in chosen.OPTIONS:
            raise ElmanError(f"{option[name]} has no effect on {quote(path.name)}: remove it")
    name, text, day = path.stem, None, None
    if isinstance(model, str | os.PathLike):
        name, snapshot, (text, day) = name_model(Path(model)), read_model(model), _find_record(Path(model))
        model = create_model(snapshot)
    else:
        check_is_model(model)
        snapshot = model.snapshot()
    if not chosen.SUFFIX:
        name = path.resolve().name
    contents = chosen.write(model, ModelInfo(name, snapshot, text, day, **options))
    if isinstance(contents, dict):
        _write_folder(path, contents)
    else:
        check_holds_no_run(path)
        write_output(path, contents)


def import_(
    path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    alphabet: str | None = None,
    engine: str = DEFAULT_ENGINE,
) -> Model:
    """Return the model in a file or folder written by `export`, in a PyTorch state dict, or in an ARPA file.

    ``docs/how_to/export_and_import.md`` describes the files.

    Parameters
    ----------
    path : str or path
        A directory, or a name on the Hugging Face Hub, is loaded as by `elman.load`.
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
    if hub_name(path) or is_directory(path):
        if alphabet is not None:
            raise ElmanError(f"cannot combine {option.alphabet} with {quote(path)}, which contains its characters")
        model = load(path, engine=engine)
    else:
        model = _import_file(Path(path), None if alphabet is None else Alphabet(alphabet), engine)
    if out is not None:
        save_model(model, Path(out))
    return model


def _import_file(path: Path, alphabet: Alphabet | None, engine: str) -> Model:
    """Return the model in a file; a given alphabet overrides that of the file."""
    readers = {format.SUFFIX: format.read for format in FORMATS.values()}
    read = readers.get(path.suffix)
    if read is None:
        suffixes = ", ".join(suffix for suffix, read in readers.items() if read)
        raise ElmanError(f"the name of a file to import must end in one of {suffixes} (got {quote(path.name)})")
    with report_system_errors(f"read {quote(path)}"):
        require_regular_file(path).open("rb").close()  # gives a better reason than the libraries if it cannot be read
        try:
            snapshot = read(path, alphabet)
        except _READ_ERRORS as error:
            raise ElmanError(f"{quote(path)} cannot be imported: {safe_message(error)}") from error
    return create_model(snapshot, engine)


def format_help() -> str:
    """Return the help of ``--format``: every format, with its content."""
    return f"Format: {join_alternatives([f'{name} ({format.HELP})' for name, format in FORMATS.items()])}."


def find_format(path: Path, name: str | None = None) -> Format:
    """Return the format of a name, whose suffix the path must have; without a name, that of the suffix."""
    if name is None:
        for format in FORMATS.values():
            if path.suffix == format.SUFFIX != "":
                return format
        suffixes = ", ".join(format.SUFFIX for format in FORMATS.values() if format.SUFFIX)
        folders = ", ".join(name for name, format in FORMATS.items() if not format.SUFFIX)
        raise ElmanError(
            f"the file name must end in one of {suffixes}, which sets its format (got {quote(path.name)}); a folder"
            f" requires {option.format:{folders}}"
        )
    if name not in FORMATS:
        raise ElmanError(f"{option.format} must be one of {', '.join(FORMATS)} (got {quote(name)})")
    if not path.name.endswith(suffix := FORMATS[name].SUFFIX):
        raise ElmanError(f"the name of a file in the format {name} must end in {suffix} (got {quote(path.name)})")
    return FORMATS[name]


def _find_record(path: Path) -> tuple[TextRecord | None, date | None]:
    """Return what the record of a run says of its text, and when it was written last; None where there is no run."""
    folder = path.parent if path.name in FILES else path
    manifest = RunDirectory(folder).manifest_if_valid()
    if manifest is None:
        return None, None
    return manifest.corpus, date.fromtimestamp((folder / MANIFEST).stat().st_mtime)


def _write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into a folder, which is created, or whose files of these names are replaced."""
    if any(os.path.lexists(folder / name) for name in FILES):
        raise ElmanError(f"{quote(folder)} contains a run or a model: choose another {option.out}")
    with report_system_errors(f"write {quote(folder)}", suggest_write_remedy):
        folder.mkdir(parents=True, exist_ok=True)
    replace_files({folder / name: data for name, data in contents.items()})
