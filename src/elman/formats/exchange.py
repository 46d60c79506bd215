"""Export and import of models, and the registry of formats; files are written atomically and validated when read."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from elman.engine_registry import DEFAULT_ENGINE
from elman.errors import (
    ElmanError,
    check_type,
    checks_types,
    join_alternatives,
    option,
    quote,
    report_system_errors,
)
from elman.formats.format import Format, ModelInfo
from elman.model.loading import check_is_model, create_model, hub_name, load, name_model, read_model, save_model
from elman.model.model import Model
from elman.options import Option, document_options, suggest_option
from elman.plugins import Registry
from elman.runs.directory import FILES, RunDirectory, TextRecord
from elman.runs.loggers import MANIFEST
from elman.runs.snapshot import Snapshot, check_holds_no_run
from elman.storage import is_directory, real_path
from elman.storage.files import replace_files, require_regular_file, safe_message, suggest_write_remedy, write_output
from elman.text import Alphabet

FORMATS = Registry[Format]("elman.formats")  # formats by name

_READ_ERRORS = (ElmanError, SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The exceptions that readers raise for an invalid file."""


def format_help() -> str:
    """Return the help of ``--format``: every format with its contents."""
    return f"Format: {join_alternatives([f'{name} ({format.help})' for name, format in FORMATS.items()])}."


def list_export_options() -> tuple[Option, ...]:
    """Return the options of all formats; several formats may have the same option."""
    return tuple({each.name: each for format in FORMATS.values() for each in format.options}.values())


def list_readers() -> dict[str, Callable[..., Snapshot]]:
    """Return the functions that read a file, by suffix."""
    formats = ((each, each.read) for each in FORMATS.values())
    return {suffix: read for each, read in formats if read for suffix in (each.suffix, *each.also_reads)}


@document_options(
    (
        Option("format", str | None, None, f"{format_help()} By default the format of the path's suffix."),
        *list_export_options(),
    )
)
@checks_types
def export(
    model: Model | str | os.PathLike[str], path: str | os.PathLike[str], *, format: str | None = None, **options: Any
) -> None:
    """Write a model in another format.

    Parameters
    ----------
    model : Model or path
        A model, or a path that `elman.load` reads. If it is a run's path, a model card names the text.
    path : str or path
        The file, or the folder.
    OPTIONS

    Raises
    ------
    ElmanError
        If there is no model, the format is unknown or does not have the path's suffix, a library (onnx) is not
        installed, the model cannot be represented in the format, or the path is a run or cannot be written.

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
    target = find_format(path, format)
    chosen = FORMATS[target]
    _check_options(options, chosen, path)
    name, text, day = path.stem, None, None
    if isinstance(model, str | os.PathLike):
        check_type("model", model, "os.PathLike[str]")
        name, snapshot, (text, day) = name_model(Path(model)), read_model(model), _find_record(Path(model))
        model = create_model(snapshot)
    else:
        check_is_model(model)
        snapshot = model.snapshot()
    chosen.require(target, model.parameters.architecture)
    if not chosen.suffix:
        name = real_path(path).name
    used = {each.name: options[each.name] for each in chosen.options if each.name in options}
    contents = chosen.write(model, ModelInfo(name, snapshot, text, day), **used)
    if isinstance(contents, dict):
        _write_folder(path, contents)
    else:
        check_holds_no_run(path)
        write_output(path, contents)


@checks_types
def import_(
    path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    alphabet: str | None = None,
    space: str = "",
    engine: str = DEFAULT_ENGINE,
) -> Model:
    """Return the model in a file or folder written by `export`, in a PyTorch state dict, or in an ARPA file.

    ``docs/how_to/export_and_import.md`` describes the files.

    Parameters
    ----------
    path : str or path
        The file. A directory, or a name on the Hugging Face Hub, is loaded as `elman.load` does.
    out : str or path, optional
        A directory to save the model in, from which `elman.load` and the commands load it like a run.
    alphabet : str, optional
        The characters in the order of their indices, if the file does not contain them.
    space : str
        The word for the space in an ARPA file; by default the first of ``<sp>``, ``<space>``, ``▁`` and ``|`` in it.
    engine : str
        ``numba`` or ``numpy``.

    Raises
    ------
    ElmanError
        If the file does not exist, is corrupted or inconsistent, or contains a network of another kind; if `out`
        already contains a run or a model.

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
        model = _import_file(Path(path), None if alphabet is None else Alphabet(alphabet), space, engine)
    if out is not None:
        save_model(model, Path(out))
    return model


def _import_file(path: Path, alphabet: Alphabet | None, space: str, engine: str) -> Model:
    """Return the model in a file; a given alphabet overrides the alphabet of the file."""
    readers, options = list_readers(), {"space": space} if space else {}
    read = next((read for suffix, read in readers.items() if path.name.endswith(suffix)), None)
    if read is None:
        suffixes = ", ".join(readers)
        raise ElmanError(f"the name of a file to import must end in one of {suffixes} (got {quote(path.name)})")
    if not options.keys() <= inspect.signature(read).parameters.keys():
        raise ElmanError(f"{option.space} has no effect on {quote(path.name)}: remove it")
    with report_system_errors(f"read {quote(path)}"):
        require_regular_file(path).open("rb").close()  # reports a better reason than the libraries do
        try:
            snapshot = read(path, alphabet, **options)
        except _READ_ERRORS as error:
            raise ElmanError(f"{quote(path)} cannot be imported: {safe_message(error)}") from error
    return create_model(snapshot, engine)


def find_format(path: Path, name: str | None = None) -> str:
    """Return the name of a format, whose suffix the path must have; by default the format of the path's suffix."""
    if name is None:
        for known, format in FORMATS.items():
            if path.suffix == format.suffix != "":
                return known
        suffixes = ", ".join(f"{each.suffix} ({known})" for known, each in FORMATS.items() if each.suffix)
        requires = f"a folder requires {option.format:{', '.join(n for n, each in FORMATS.items() if not each.suffix)}}"
        sets = f"{suffixes}, which sets its format (got {quote(path.name)})"
        raise ElmanError(f"the file name must end in one of {sets}; {requires}")
    if name not in FORMATS:
        raise ElmanError(f"{option.format} must be one of {', '.join(FORMATS)} (got {quote(name)})")
    if not path.name.endswith(suffix := FORMATS[name].suffix):
        raise ElmanError(f"the name of a file in the format {name} must end in {suffix} (got {quote(path.name)})")
    return name


def _check_options(options: Mapping[str, Any], chosen: Format, path: Path) -> None:
    known, own = ({each.name: each for each in options} for options in (list_export_options(), chosen.options))
    for name, value in options.items():
        if name not in known:
            near = suggest_option(name, [*known, "format"])
            raise TypeError(f"unknown option {name!r}; {f'did you mean {near}?' if near else 'see help(elman.export)'}")
        known[name].check(value)
        if value and name not in own:
            raise ElmanError(f"{option[name]} has no effect on {quote(path.name)}: remove it")


def _find_record(path: Path) -> tuple[TextRecord | None, date | None]:
    """Return the record of a run's text and the date when the run was last written; None if there is no run."""
    folder = path.parent if path.name in FILES else path
    manifest = RunDirectory(folder).manifest_if_valid()
    if manifest is None:
        return None, None
    try:
        return manifest.corpus, date.fromtimestamp((folder / MANIFEST).stat().st_mtime)
    except (OSError, ValueError, OverflowError):  # the file is gone, or its year has five digits
        return manifest.corpus, None


def _write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into a folder, which is created if needed; existing files of these names are replaced."""
    if any(os.path.lexists(folder / name) for name in FILES):
        raise ElmanError(f"{quote(folder)} contains a run or a model: choose another {option.out}")
    with report_system_errors(f"write {quote(folder)}", suggest_write_remedy):
        folder.mkdir(parents=True, exist_ok=True)
    replace_files({folder / name: data for name, data in contents.items()})
