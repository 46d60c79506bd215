"""A text ready to train on, and where it came from.

The text is exactly what its bytes say. Newlines are kept as they are, so CRLF stays two characters.
Decoding is strict, so nothing is replaced in silence. Only a leading byte order mark is dropped.
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError
from elman.text.alphabet import Alphabet
from elman.text.builtin import BUILTIN, builtin_bytes

_BYTE_ORDER_MARK = "\ufeff"


# Compared by identity: the equality of arrays is an array, not a truth value.
@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as indices into its alphabet, N characters long.

    Parameters
    ----------
    name : str
        The file's name without its folder, ``-`` for standard input, or the built-in's name.
    alphabet : Alphabet
    indices : ndarray of ``alphabet.dtype``, shape (N,)
    sha256 : str
        Hexadecimal, of the bytes the text was decoded from.
    encoding : str
        What those bytes were decoded as.
    """

    name: str
    alphabet: Alphabet
    indices: NDArray[np.unsignedinteger]
    sha256: str
    encoding: str

    def __post_init__(self) -> None:
        K = len(self.alphabet)
        if self.indices.ndim != 1 or self.indices.dtype.kind != "u" or (len(self.indices) and self.indices.max() >= K):
            raise ElmanError(
                f"a corpus needs a row of unsigned indices below K = {K}, and {self.indices.dtype} of shape "
                f"{self.indices.shape} came: make it by Corpus.from_text or read_corpus"
            )

    @property
    def text(self) -> str:
        """The text, decoded anew each time it is asked for."""
        return self.alphabet.decode(self.indices)

    @classmethod
    def from_text(cls, text: str, name: str = "text") -> Corpus:
        """Return the corpus of a text in memory; its hash is that of its UTF-8 bytes.

        Raises
        ------
        ElmanError
            If `text` has fewer than two distinct characters.
        """
        return cls._from_decoded(text, name, text.encode("utf-8", "surrogatepass"), "utf-8", None)

    @classmethod
    def _from_decoded(cls, text: str, name: str, data: bytes, encoding: str, alphabet: Alphabet | None) -> Corpus:
        if not text:
            raise ElmanError(f"{name!r} holds no text: give one of at least two characters")
        if alphabet is None:
            alphabet = Alphabet.from_text(text)
            if len(alphabet) < 2:
                raise ElmanError(
                    f"{name!r} holds a single distinct character, {text[0]!r}, so there is nothing"
                    " to learn: give a text of at least two"
                )
        sha256 = hashlib.sha256(data).hexdigest()
        return cls(name, alphabet, alphabet.encode(text), sha256, encoding)


def read_corpus(source: str | os.PathLike[str], *, encoding: str = "utf-8", alphabet: Alphabet | None = None) -> Corpus:
    """Read a text from a file, from standard input, or from a built-in corpus.

    Parameters
    ----------
    source : str or path
        The string ``-`` is standard input, and the name of a built-in corpus is that corpus, even
        where the current folder has a file called so: write ``./shakespeare`` for the file.
        Everything else, and every path object, is a file.
    encoding : str
        The encoding of the file or of standard input; the built-in corpora are UTF-8.
    alphabet : Alphabet, optional
        The alphabet to encode the text in, that of a trained model; without it the text's own.

    Raises
    ------
    ElmanError
        If the source cannot be read or decoded; if it is empty; without `alphabet`, if it has a
        single distinct character; with `alphabet`, if it has a character that is not in there.
    """
    if source == "-":
        if sys.stdin is None:
            raise ElmanError("standard input is closed: give a file, or a built-in name")
        name, data = "-", sys.stdin.buffer.read()
    elif isinstance(source, str) and source in BUILTIN:
        name, data, encoding = source, builtin_bytes(source), "utf-8"
    else:
        path = Path(source)
        name, data = path.name, _read_file(path)
    return Corpus._from_decoded(_decode(data, encoding, name), name, data, encoding, alphabet)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
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


def _decode(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding).removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise ElmanError(
            f"byte 0x{error.object[error.start]:02x} at offset {error.start} of {name!r} is not"
            f" {encoding}: name the text's own encoding, such as {_likely_encodings(data)}"
        ) from None
    except (LookupError, ValueError):  # the second for a name with a zero byte, or that of no real encoding
        raise ElmanError(
            f"{encoding!r} is not a text encoding that Python knows: use utf-8, latin-1, cp1252 or another of its names"
        ) from None


def _likely_encodings(data: bytes) -> str:
    # The mark that Windows programs open UTF-16 with is no UTF-8, and reads as noise in latin-1.
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "--encoding utf-16"
    return "--encoding latin-1 or --encoding cp1252"
