"""``elman compress`` and ``elman decompress``."""

from __future__ import annotations

import codecs
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.apps.compress.container import DEFAULT_MODE, ModeName, mode_help
from elman.cli import (
    ANY_CASE,
    Json,
    OptionalInteger,
    Quiet,
    check_not_input,
    join_descriptions,
    parse_not_empty,
    print_results,
)
from elman.errors import ElmanError, quote, report_system_errors
from elman.storage import exists, is_file

if TYPE_CHECKING:
    from elman.model import BuiltinModel

SUFFIX = ".elm"

File = Annotated[
    str | Path,  # as `elman.cli.parameters.Corpus`
    Parameter(allow_leading_hyphen=True, converter=parse_not_empty),
]
Model = Annotated[Path | None, Parameter(name=["--model", "-m"])]
OutFile = Annotated[str | None, Parameter(name=["--out", "-o"], allow_leading_hyphen=True, converter=parse_not_empty)]

GROUP = "Use"


@join_descriptions
def compress(
    file: File,
    /,
    *,
    model: Model = None,
    out: OutFile = None,
    mode: Annotated[ModeName, ANY_CASE, Parameter(help=mode_help())] = DEFAULT_MODE,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Compress any file losslessly with a model, best if the file resembles the model's training text.

    Parameters
    ----------
    file
        File, or - for standard input.
    model
        Run directory, checkpoint file or hf://OWNER/NAME of the model, the same for compress and decompress. By default
        the built-in model.
    out
        File to write or replace, or - for standard output. By default FILE.elm, which must not exist,
        or - if FILE is -.
    """
    from elman.apps.compress.codec import compress_pieces
    from elman.apps.compress.container import MEMBER_SIZE
    from elman.cli import show_metrics, show_progress
    from elman.model import load, load_builtin

    file = str(file)
    path = _destination(file, out, file + SUFFIX, model)
    if as_json and path is None:
        raise ElmanError("--json and the compressed data cannot both go to standard output: pass --out")
    loaded = load_builtin() if model is None else load(model)
    with _Source(file) as original, show_progress("compressing", original.size(), quiet=quiet or as_json) as show:
        pieces = iter(lambda: original.read(MEMBER_SIZE), b"")
        compressed_bytes = _write(path, compress_pieces(pieces, loaded, mode, show))
    if as_json or path is not None:
        bits = 8 * compressed_bytes / original.chars if original.chars else None
        metrics: dict[str, Any] = {
            "bytes": original.bytes,
            "compressed_bytes": compressed_bytes,
            "chars": original.chars,
        }
        metrics |= {"bits_per_char": bits, "ratio": original.bytes / compressed_bytes}
        print_results(metrics, as_json, show_metrics)
    return 0


@join_descriptions
def decompress(
    file: File, /, *, model: Model = None, out: OutFile = None, max_output: OptionalInteger = None, quiet: Quiet = False
) -> int:
    """Restore a file that elman compress compressed with the same model.

    Parameters
    ----------
    file
        File, or - for standard input.
    model
        Run directory, checkpoint file or hf://OWNER/NAME of the model, the same for compress and decompress. By default
        the built-in model.
    out
        File to write or replace, or - for standard output. By default FILE without .elm, which must not
        exist, or - if FILE is -.
    max_output
        Maximum size of the original in bytes, for untrusted files.
    """
    from elman.apps.compress.codec import decompress_members
    from elman.apps.compress.container import split_members
    from elman.cli import show_progress
    from elman.model import load, load_builtin

    file = str(file)
    if out is None and file != "-" and not (file.endswith(SUFFIX) and Path(file).name != SUFFIX):
        remedy = "otherwise pass --out"
        raise ElmanError(f"the name of a compressed file must end in {SUFFIX} (got {quote(file)}); {remedy}")
    path = _destination(file, out, file.removesuffix(SUFFIX), model)
    with _Source(file) as source:
        members = split_members(source)
        first = next(members)
        loaded = load_builtin(_find_builtin(first)) if model is None else load(model)
        with show_progress("decompressing", source.size(), quiet=quiet) as show:
            _write(path, decompress_members(chain((first,), members), loaded, show, max_output))
    return 0


def _find_builtin(member: bytes) -> BuiltinModel:
    from elman.apps.compress.container import read_header
    from elman.model import find_builtin

    fingerprint = read_header(member)[0].fingerprint
    if (found := find_builtin(fingerprint)) is None:
        other = f"the file was not compressed by the built-in model of this version (fingerprint {fingerprint.hex()})"
        raise ElmanError(f"{other}: pass the run that compressed it with --model")
    return found


def _destination(file: str, out: str | None, default: str, model: Path | None) -> Path | None:
    """Return the file to write, or None for standard output; it is neither the input nor a file of the model."""
    if out == "-" or (out is None and file == "-"):
        if sys.stdout.isatty():
            raise ElmanError("cannot write binary data to a terminal: pass --out")
        return None
    if out is None and exists(default):
        raise ElmanError(f"{quote(default)} already exists; remove it, or pass --out to replace it")
    path = Path(out or default)
    check_not_input(path, Path(file), *([] if model is None else [model]))
    return path


class _Source:
    """A file, or standard input for -, and how much of it was read; a read error is reported in one line."""

    def __init__(self, name: str) -> None:
        from elman.text import open_standard_input

        self.name, self.bytes, self.chars = name, 0, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # a byte that is not UTF-8 counts as 1
        with self._reporting():
            self.stream = open_standard_input() if name == "-" else Path(name).open("rb")  # noqa: SIM115 (closed below)

    def __enter__(self) -> _Source:
        return self

    def size(self) -> int | None:
        """Return the size in bytes; None if it is unknown or 0."""
        return Path(self.name).stat().st_size or None if self.name != "-" and is_file(self.name) else None

    def __exit__(self, *exception: object) -> None:
        if self.name != "-":
            self.stream.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, fewer only at the end; all for -1."""
        with self._reporting():
            data = self.stream.read(size)
        self.bytes += len(data)
        self.chars += len(self._decoder.decode(data, final=not data))
        return data

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        with report_system_errors(f"read {quote(self.name)}", errors=(OSError, ValueError)):  # a zero byte in the name
            try:
                yield
            except IsADirectoryError as error:
                remedy = f"pipe an archive of it, tar cf - {shlex.quote(self.name)} | elman compress - --out FILE"
                raise ElmanError(f"cannot read {quote(self.name)} (a directory): {remedy}") from error


def _write(path: Path | None, pieces: Iterable[bytes]) -> int:
    from elman.storage import write_output

    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    if path is None:
        sys.stdout.buffer.writelines(counted())
        sys.stdout.buffer.flush()
    else:
        write_output(path, counted())
    return size
