"""``elman export`` and ``elman import``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli.parameters import Name, Out, Run, check_not_input
from elman.errors import ElmanError, quote

if TYPE_CHECKING:
    from elman.inference import Model


def export(
    run: Run,
    /,
    *,
    to: Annotated[Name, _format_parameter()],
    out: Annotated[
        Out | None,
        Parameter(
            help="File to write or replace. By default the name of RUN with the suffix of the format; a file of"
            " another model is not replaced."
        ),
    ] = None,
) -> int:
    """Export a model to another format, such as ONNX."""
    from elman.interop import FORMATS, export
    from elman.runs.directory import FILES
    from elman.runs.models import load
    from elman.storage.tensors import SUFFIX

    if to not in FORMATS:
        raise ElmanError(f"--to must be one of {', '.join(FORMATS)} (got {quote(to)})")
    suffix = FORMATS[to].SUFFIX
    name = (run.parent if run.name in FILES else run).resolve().name.removesuffix(SUFFIX)
    path = Path(name + suffix) if out is None else out
    if path.suffix != suffix:
        raise ElmanError(f"--out must end in {suffix} for --to {to} (got {quote(path.name)})")
    check_not_input(path, run)
    model = load(run)
    if out is None and os.path.lexists(path):
        _check_same_model(path, model)
    export(model, path)
    print(path)
    return 0


def _check_same_model(path: Path, model: Model) -> None:
    """Check that an existing file, which an export would replace, is an export of the same model."""
    from elman.inference.fingerprint import fingerprint
    from elman.interop import import_

    with suppress(ElmanError):
        if fingerprint(import_(path, engine="numpy")) == fingerprint(model):
            return
    raise ElmanError(f"{quote(path)} exists and is not an export of this model: pass --out")


def import_(
    file: Annotated[Path, Parameter(help="File to read, with the suffix of a format of elman export.")],
    /,
    *,
    out: Annotated[Out, Parameter(help="Directory for the model.")],
    alphabet: Annotated[
        Path | None,
        Parameter(help="UTF-8 file of the characters in index order, for a FILE without them."),
    ] = None,
) -> int:
    """Import a model from a file that elman export wrote, or from a PyTorch state dict."""
    from elman.interop import import_

    import_(file, out=out, alphabet=None if alphabet is None else _read_characters(alphabet))
    print(out)
    return 0


def _format_parameter() -> Parameter:
    # Derived from the registry of formats when the command is parsed: the registry requires NumPy.
    from elman.interop import format_help

    return Parameter(help=format_help())


def _read_characters(alphabet: Path) -> str:
    """Return the characters of a file, with its line feeds and carriage returns as they are."""
    from elman.storage.untrusted import require_regular_file

    try:
        return require_regular_file(alphabet).read_bytes().decode("utf-8")
    except OSError as error:
        raise ElmanError(f"cannot read the alphabet {quote(alphabet)} ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {quote(alphabet)} is not UTF-8") from None
