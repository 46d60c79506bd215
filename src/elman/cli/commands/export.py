"""``elman export`` and ``elman import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from elman.cli.parameters import Out, Run, check_not_input
from elman.errors import ElmanError


def export(
    run: Run,
    /,
    *,
    to: Annotated[
        Literal["onnx", "torch", "npz"],
        Parameter(
            help="Format: onnx (with its RNN, GRU or LSTM operator), torch (a PyTorch state dict in safetensors) or npz"
            " (NumPy arrays)."
        ),
    ],
    out: Annotated[
        Out | None,
        Parameter(
            help="File to write; an existing one is replaced. By default network.onnx, network.safetensors or"
            " network.npz."
        ),
    ] = None,
) -> int:
    """Export a model to ONNX, PyTorch or NumPy."""
    from elman.interop import SUFFIXES, export
    from elman.runs.run import load

    path = Path("network" + SUFFIXES[to]) if out is None else out
    if path.suffix != SUFFIXES[to]:
        raise ElmanError(f"--out must end in {SUFFIXES[to]} for --to {to} (got {path.name!r})")
    check_not_input(path, run)
    export(load(run), path)
    print(path)
    return 0


def import_(
    file: Annotated[Path, Parameter(help="File ending in .onnx, .safetensors or .npz.")],
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


def _read_characters(alphabet: Path) -> str:
    """Return the characters of a file, with its line feeds and carriage returns as they are."""
    from elman.storage.untrusted import require_regular_file

    try:
        return require_regular_file(alphabet).read_bytes().decode("utf-8")
    except OSError as error:
        raise ElmanError(f"cannot read the alphabet {str(alphabet)!r} ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {str(alphabet)!r} is not UTF-8") from None
