"""``elman export`` and ``elman import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.parameters import Name, Out, Run, check_not_input
from elman.errors import ElmanError, join_alternatives, quote


def export(
    run: Run,
    /,
    *,
    to: Annotated[Name, _format_parameter()],
    out: Annotated[Out | None, _file_parameter()] = None,
) -> int:
    """Export a model to another format, such as ONNX."""
    from elman.interop import FORMATS, export
    from elman.runs.models import load

    if to not in FORMATS:
        raise ElmanError(f"--to must be one of {', '.join(FORMATS)} (got {quote(to)})")
    suffix = FORMATS[to].SUFFIX
    path = Path("network" + suffix) if out is None else out
    if path.suffix != suffix:
        raise ElmanError(f"--out must end in {suffix} for --to {to} (got {quote(path.name)})")
    check_not_input(path, run)
    export(load(run), path)
    print(path)
    return 0


def import_(
    file: Annotated[Path, _import_parameter()],
    /,
    *,
    out: Annotated[Out, Parameter(help="Directory for the model.")],
    alphabet: Annotated[
        Path | None,
        Parameter(help="UTF-8 file with the characters in the order of their indices, for a FILE without them."),
    ] = None,
) -> int:
    """Import a model from a file that elman export wrote, or from a PyTorch state dict."""
    from elman.interop import import_

    import_(file, out=out, alphabet=None if alphabet is None else _read_characters(alphabet))
    print(out)
    return 0


# The parameters are derived from the registry of formats when one of the two commands is parsed: that registry requires
# NumPy, which ``elman --help`` does not import.


def _format_parameter() -> Parameter:
    from elman.interop import format_help

    return Parameter(help=format_help())


def _file_parameter() -> Parameter:
    from elman.interop import list_suffixes

    defaults = join_alternatives([f"network{suffix}" for suffix in list_suffixes()])
    return Parameter(help=f"File to write; an existing one is replaced. By default {defaults}.")


def _import_parameter() -> Parameter:
    from elman.interop import list_suffixes

    return Parameter(help=f"File ending in {join_alternatives(list_suffixes())}.")


def _read_characters(alphabet: Path) -> str:
    """Return the characters of a file, with its line feeds and carriage returns as they are."""
    from elman.storage.untrusted import require_regular_file

    try:
        return require_regular_file(alphabet).read_bytes().decode("utf-8")
    except OSError as error:
        raise ElmanError(f"cannot read the alphabet {quote(alphabet)} ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {quote(alphabet)} is not UTF-8") from None
