"""The commands that compress a file by a trained network and give it back."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.app import app
from elman.cli.parameters import Json, refuse_to_replace
from elman.errors import ElmanError

SUFFIX = ".elm"

File = Annotated[str, Parameter(help="A file, or - for standard input.", allow_leading_hyphen=True)]
By = Annotated[
    Path,
    Parameter(name=["--model", "-m"], help="Run directory of the network, or its checkpoint: the same both ways."),
]


@app.command
def compress(
    file: File,
    /,
    *,
    model: By,
    out: Annotated[
        str | None,
        Parameter(
            help="The file to write, replaced if it is there; - is standard output. By default FILE.elm, which must"
            " not be there, and standard output for standard input.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    adapt: Annotated[
        bool,
        Parameter(negative="", help="Go on learning from what is coded: smaller, and several times slower both ways."),
    ] = False,
    as_json: Json = False,
) -> int:
    """Compress any file without loss by a network that expects texts like it."""
    from elman.cli.display import show_figures
    from elman.compression import compress
    from elman.runs.run import load

    path = _destination(file, out, file + SUFFIX, model)
    if as_json and path is None:
        raise ElmanError("standard output takes the compressed file or its figures, and both were asked: give --out")
    data = _read(file)
    compressed = compress(load(model), data, adapt=adapt)
    _write(path, compressed)
    chars = len(data.decode("utf-8", "surrogateescape"))  # a byte that is no UTF-8 counts as one
    figures = {
        "bytes": len(data),
        "compressed_bytes": len(compressed),
        "chars": chars,
        "bits_per_char": 8 * len(compressed) / chars if chars else None,
        "ratio": len(data) / len(compressed),
    }
    if as_json:
        print(json.dumps(figures))
    elif path is not None:
        show_figures(figures)
    return 0


@app.command
def decompress(
    file: File,
    /,
    *,
    model: By,
    out: Annotated[
        str | None,
        Parameter(
            help="The file to write, replaced if it is there; - is standard output. By default FILE without .elm,"
            " which must not be there, and standard output for standard input.",
            allow_leading_hyphen=True,
        ),
    ] = None,
) -> int:
    """Give back the file that elman compress was given; the network must be the same."""
    from elman.compression import decompress
    from elman.runs.run import load

    if out is None and file != "-" and not (file.endswith(SUFFIX) and Path(file).name != SUFFIX):
        raise ElmanError(f"the name of a compressed file ends in {SUFFIX}, and {file!r} came: give --out")
    path = _destination(file, out, file.removesuffix(SUFFIX), model)
    _write(path, decompress(load(model), _read(file)))
    return 0


def _destination(file: str, out: str | None, default: str, model: Path) -> Path | None:
    """Return where to write, or None for standard output; neither the file that is read is replaced nor the network."""
    if out == "-" or (out is None and file == "-"):
        if sys.stdout.isatty():
            raise ElmanError("a terminal cannot show a file of any bytes: give --out")
        return None
    if out is None and os.path.exists(default):  # noqa: PTH110 (as of a name too long for the system, it says no)
        raise ElmanError(f"{default!r} is there already: remove it, or give --out, which replaces")
    path = Path(out or default)
    refuse_to_replace(path, Path(file), model)
    return path


def _read(file: str) -> bytes:
    from elman.text import standard_input

    try:
        return standard_input().read() if file == "-" else Path(file).read_bytes()
    except (OSError, ValueError) as error:  # the second for a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise ElmanError(f"cannot read {file!r} ({reason}): give a file that can be read, or -") from error


def _write(path: Path | None, data: bytes) -> None:
    from elman.storage.atomic import replace_file

    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        replace_file(path, data)
