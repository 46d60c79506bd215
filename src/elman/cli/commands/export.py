"""``elman export`` and ``elman import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli import parameters
from elman.cli.parameters import Name, Out, Run, check_not_input, join_descriptions, passed_options
from elman.errors import ElmanError, join_alternatives, quote, report_system_errors


@join_descriptions
def export(
    run: Run,
    /,
    out: Out,
    *,
    format: Annotated[Name | None, _format_parameter()] = None,
    options: Annotated[parameters.ExportOptions | None, Parameter(name="*")] = None,
) -> int:
    """Export a model to another format, such as ONNX or ARPA, to a web page, or to a folder for the Hugging Face Hub.

    Parameters
    ----------
    out
        File or folder to write; existing files are replaced.
    """
    from elman.formats import export

    check_not_input(out, run)
    export(run, out, format=format, **passed_options(options))
    print(out)
    return 0


def import_(
    file: Annotated[Path, _file_parameter()], /, out: Out, *, alphabet: Path | None = None, space: str = ""
) -> int:
    """Import a model from a file or folder written by elman export, a PyTorch state dict or an ARPA file of characters.

    Parameters
    ----------
    out
        Directory for the model.
    alphabet
        UTF-8 file of the characters in index order, for a FILE without them.
    space
        Word for the space in an ARPA file; by default the first of <sp>, <space>, ▁ and | in it.
    """
    from elman.formats import import_

    import_(file, out=out, alphabet=None if alphabet is None else _read_characters(alphabet), space=space)
    print(out)
    return 0


def _format_parameter() -> Parameter:
    # Derived from the registry of formats when the command is parsed: the registry requires NumPy.
    from elman.formats import format_help

    return Parameter(help=f"{format_help()} By default the format of OUT's suffix.")


def _file_parameter() -> Parameter:
    from elman.formats import list_readers

    return Parameter(help=f"File ({join_alternatives([*list_readers()])}), folder, or hf://OWNER/NAME.")


def _read_characters(alphabet: Path) -> str:
    from elman.storage import read_regular_file

    try:
        with report_system_errors(f"read the alphabet {quote(alphabet)}"):
            return read_regular_file(alphabet).decode("utf-8")  # unlike `read_text`, keeps carriage returns
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {quote(alphabet)} is not UTF-8") from None
