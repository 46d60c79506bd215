"""Where texts are read from: files and pipes, standard input, built-in corpora."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from elman.errors import ElmanError
from elman.text.alphabet import Alphabet
from elman.text.corpus import Corpus, gathered
from elman.text.datasets import BUILTIN, builtin_bytes
from elman.text.decoding import Reading
from elman.text.unknown import fold


def read_corpus(
    source: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    alphabet: Alphabet | None = None,
    extend: bool = False,
    rare: int = 0,
) -> Corpus:
    """Read a text from a file, from standard input, or from a built-in corpus.

    Parameters
    ----------
    source : str or path
        The string ``-`` is standard input, and the name of a built-in corpus is that corpus, even
        where the current folder has a file called so: write ``./shakespeare`` for the file.
        Everything else, and every path object, is a file; it may be a pipe, which is read to its end.
    encoding : str
        The encoding of the file or of standard input; the built-in corpora are UTF-8.
    alphabet : Alphabet, optional
        The alphabet to encode the text in, that of a trained model; without it the text's own.
    extend : bool
        With `alphabet`: take up characters that are not in there behind its own, in order of first appearance, unless
        it folds them.
    rare : int
        Without `alphabet`: fold the characters that occur fewer times than this into one; 0 folds none.

    Raises
    ------
    ElmanError
        If the source cannot be read or decoded; if it is empty; without `alphabet`, if it has a single distinct
        character; with `alphabet`, if it has a character that is not in there and is neither taken up nor folded.
    """
    encoding = "utf-8" if _is_builtin(source) else encoding
    with _opened(source) as (name, stream):
        reading = Reading(stream, encoding, name)
        known, indices = gathered(reading, name, alphabet, extend)
    corpus = Corpus(name, known, indices, reading.sha256, encoding)
    return corpus if alphabet is not None else fold(corpus, rare)


def read_pieces(source: str | os.PathLike[str], *, encoding: str = "utf-8") -> Iterator[str]:
    """Yield a text a piece at a time: of a pipe, what has come as soon as it has come.

    Parameters
    ----------
    source, encoding
        As of `read_corpus`.

    Raises
    ------
    ElmanError
        If the source cannot be read or decoded.
    """
    encoding = "utf-8" if _is_builtin(source) else encoding
    with _opened(source) as (name, stream):
        yield from Reading(_AsItComes(stream), encoding, name)


class _AsItComes:
    """A stream that waits for no more than it has; see `elman.text.decoding.Readable`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream: Any = stream

    def read(self, size: int) -> bytes:
        """Return what there is, up to so many bytes; nothing at the end."""
        return bytes(self.stream.read1(size))


@contextmanager
def _opened(source: str | os.PathLike[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Open a source; yield its name and its bytes."""
    if source == "-":
        yield "-", standard_input()
    elif _is_builtin(source):
        yield str(source), BytesIO(builtin_bytes(str(source)))
    else:
        path = Path(source)
        with _open(path) as stream:
            yield path.name, stream


def standard_input() -> IO[bytes]:
    """Return the bytes of standard input.

    Raises
    ------
    ElmanError
        If whoever started the process closed it.
    """
    if sys.stdin is None:
        raise ElmanError("standard input is closed: give a file")
    return sys.stdin.buffer


def _is_builtin(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a built-in corpus, which is UTF-8 whatever else is asked for."""
    return isinstance(source, str) and source in BUILTIN


def _open(path: Path) -> AbstractContextManager[IO[bytes]]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ElmanError(f"there is no file {str(path)!r}: {_instead_of(path)}") from None
    except IsADirectoryError:
        raise ElmanError(f"{str(path)!r} is a directory: give one of the files in it") from None
    except ValueError as error:  # a zero byte in the name
        raise ElmanError(f"cannot read {str(path)!r} ({error}): give the name of a file") from None
    except OSError as error:
        raise ElmanError(f"cannot read {str(path)!r} ({error.strerror}): give a file that you may read") from error


def _instead_of(path: Path) -> str:
    """Return what to give in place of a missing file: what has nearly its name, if there is any."""
    by_name = {name: name for name in BUILTIN}
    # Unlike iterdir, glob finds nothing, and raises nothing, in a folder it cannot list.
    by_name |= {sibling.name: str(sibling) for sibling in path.parent.glob("*")}
    near = difflib.get_close_matches(path.name, by_name)
    if near:
        return f"did you mean {' or '.join(repr(by_name[name]) for name in near)}?"
    return f"give a file, - for standard input, or a built-in name ({', '.join(BUILTIN)})"
