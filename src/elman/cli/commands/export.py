"""``elman export`` and ``elman import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.parameters import Flag, Name, Out, Run, check_not_input, join_descriptions
from elman.errors import ElmanError, quote, report_system_errors


@join_descriptions
def export(
    run: Run,
    /,
    out: Out,
    *,
    format: Annotated[Name | None, _format_parameter()] = None,
    license: Annotated[str, Parameter(show_default=False)] = "",
    language: Annotated[str, Parameter(show_default=False)] = "",
    weights: Annotated[Name, Parameter(show_default=False)] = "",
    include_text: Flag = False,
    order: int | None = None,
    space: Annotated[str, Parameter(show_default=False)] = "",
) -> int:
    """Export a model to another format, such as ONNX or ARPA, to a web page, or to a folder for the Hugging Face Hub.

    Parameters
    ----------
    out
        File or folder to write; existing files are replaced.
    license
        Licence in a model card or page, such as mit or cc-by-4.0.
    language
        Language in a model card, such as en.
    weights
        Weights in a page: int8, float16 or float32. By default the smallest that increase the loss by at most 0.002
        nats per character.
    include_text
        Write a page or a folder even if the training text can be read from the model's unpruned n-gram table.
    order
        Maximum length of the n-grams in an ARPA file, at least 2; by default --ngram-order plus 1. KenLM's own default
        maximum is 6.
    space
        Word for the space in an ARPA file, such as | for many CTC vocabularies; by default <sp>.
    """
    from elman.formats import export, find_format

    check_not_input(out, run)
    export(
        run, out, format=format, license=license, language=language, weights=weights, include_text=include_text,
        order=order, space=space,
    )  # fmt: skip
    print(out)
    if note := find_format(out, format).NOTE:
        print(note, file=sys.stderr)
    return 0


def import_(file: Path, /, out: Out, *, alphabet: Path | None = None) -> int:
    """Import a model from a file or folder written by elman export, a PyTorch state dict or an ARPA file of characters.

    Parameters
    ----------
    file
        File (.onnx, .safetensors, .npz or .arpa), folder, or hf://OWNER/NAME.
    out
        Directory for the model.
    alphabet
        UTF-8 file of the characters in index order, for a FILE without them.
    """
    from elman.formats import import_

    import_(file, out=out, alphabet=None if alphabet is None else _read_characters(alphabet))
    print(out)
    return 0


def _format_parameter() -> Parameter:
    # Derived from the registry of formats when the command is parsed: the registry requires NumPy.
    from elman.formats import format_help

    return Parameter(help=f"{format_help()} By default that of the suffix of OUT.")


def _read_characters(alphabet: Path) -> str:
    """Return the characters of a file, with its line feeds and carriage returns as they are."""
    from elman.storage.untrusted import read_regular_file

    try:
        with report_system_errors(f"read the alphabet {quote(alphabet)}"):
            return read_regular_file(alphabet).decode("utf-8")
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {quote(alphabet)} is not UTF-8") from None
