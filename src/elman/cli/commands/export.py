"""The commands that hand a network to other programs and take one from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from elman.cli.app import app
from elman.cli.parameters import Run, refuse_to_replace
from elman.errors import ElmanError


@app.command
def export(
    run: Run,
    /,
    *,
    to: Annotated[
        Literal["onnx", "torch", "npz"],
        Parameter(help="ONNX with its RNN, GRU or LSTM; a state dict of PyTorch in safetensors; or NumPy's arrays."),
    ],
    out: Annotated[
        Path | None,
        Parameter(
            help="The file to write, replaced if it is there;"
            " network.onnx, network.safetensors or network.npz by default."
        ),
    ] = None,
) -> int:
    """Write a trained network in a format that other programs read."""
    from elman.interop import SUFFIXES, export
    from elman.runs.run import load

    path = Path("network" + SUFFIXES[to]) if out is None else out
    if path.suffix != SUFFIXES[to]:
        raise ElmanError(f"--out must end in {SUFFIXES[to]} for --to {to}, and {path.name!r} came: give another name")
    refuse_to_replace(path, run)
    export(load(run), path)
    print(path)
    return 0


@app.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="A file ending in .onnx, .safetensors or .npz.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="The directory to put the network in.")],
    alphabet: Annotated[
        Path | None,
        Parameter(help="A UTF-8 file of the characters in the order of their indices, where FILE does not say them."),
    ] = None,
) -> int:
    """Take a network from a file that elman export wrote, or from a state dict of PyTorch."""
    from elman.interop import import_

    import_(file, out=out, alphabet=None if alphabet is None else _characters(alphabet))
    print(out)
    return 0


def _characters(path: Path) -> str:
    """Return the characters of a file, line feeds and carriage returns as they stand."""
    from elman.storage.untrusted import require_regular_file

    try:
        return require_regular_file(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise ElmanError(f"cannot read the alphabet {str(path)!r} ({error.strerror}): give a file") from error
    except UnicodeDecodeError:
        raise ElmanError(f"the alphabet {str(path)!r} is no UTF-8: save it in that encoding") from None
