"""The sources of texts: files, directories, glob patterns, open files, standard input and built-in texts.

A built-in text is named in place of a file:

``python-docs``
    The topics of Python's own ``help()``, from the standard library's `pydoc_data.topics`, in sorted order of their
    names, joined by a line feed. They grow with Python, so runs are comparable only within one minor version of it.
``shakespeare``
    Tiny Shakespeare: a million characters of Shakespeare's plays, as published with Karpathy's char-rnn. Downloaded
    once, verified by its SHA-256, and cached (in `ELMAN_CACHE`, or in the system's cache directory).
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import select
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Literal, cast

from elman.errors import MAX_SHOWN, ElmanError, is_path, quote, report_system_errors, shorten
from elman.storage import cache_dir, is_directory, make_absolute, real_path, writable_cache_dir

Source = str | os.PathLike[str] | IO[bytes] | IO[str]
"""A file, directory, glob pattern, open file, ``-`` or built-in text; see `elman.text.read_corpus`."""

STANDARD_INPUT = "-"

_CHECKPOINT = "checkpoint.safetensors"
"""The file that marks a run directory. The files of runs are not read as text with the directory they are in."""
_LONGEST_NAME = 255
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_GLOB = re.compile(r"[*?[]")

PIPE_SECONDS = 5.0  # how long a pipe on standard input may take to deliver its first bytes


@dataclass(frozen=True)
class TextInput:
    """One file of a corpus, before it is read."""

    label: str  # the name of the file in error messages
    path: str  # as in `elman.text.corpus.TextFile`; empty for an open file
    open: Callable[[], AbstractContextManager[Any]]  # returns a context manager that yields a stream of bytes
    encoding: str = ""  # ``utf-8`` where that is known; otherwise empty
    found: bool = False  # whether it was found in a directory or by a pattern, where binary files are skipped
    keeps_newlines: bool = False
    """Whether it is an open text file: its own argument ``newline`` decides how its line ends are read."""


def list_inputs(source: Source | Sequence[Source]) -> tuple[str, list[TextInput]]:
    """Return the name of a corpus and the files that it is read from, in order."""
    sources: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    if not sources:
        raise ElmanError("the list of files is empty")
    if sum(each == STANDARD_INPUT for each in sources if isinstance(each, str)) > 1:
        raise ElmanError("standard input (-) can be read only once")
    listed = [_list_source(each) for each in sources]
    inputs = [each for _, some in listed for each in some]
    name = listed[0][0]
    return name if len(sources) == 1 else f"{name} and {len(sources) - 1} more", inputs


def is_builtin(source: object) -> bool:
    """Return whether a source is a built-in text."""
    return isinstance(source, str) and source in BUILTIN_CORPORA


def locate_source(source: str) -> str:
    """Return a source that is the same in every directory."""
    as_it_is = source == STANDARD_INPUT or is_builtin(source) or _URL.match(source)
    return source if as_it_is else make_absolute(source)


def _list_source(source: Source) -> tuple[str, list[TextInput]]:
    if isinstance(source, str):
        if source == STANDARD_INPUT:
            return source, [TextInput("standard input", source, lambda: nullcontext(open_standard_input()))]
        if is_builtin(source):
            return source, [TextInput(quote(source), source, lambda: BytesIO(BUILTIN_CORPORA[source]()), "utf-8")]
        _check_is_path(source)
        if _GLOB.search(source) and not os.path.lexists(source):
            return source, _list_files(_expand(source), f"no file matches {quote(source)}")
    elif not is_path(source):
        return _list_open_file(source)
    path = Path(source)
    if is_directory(path):
        return real_path(path).name or str(path), _list_files(_walk(path), f"there is no file in {quote(path)}")
    return path.name, [_describe_file(path, source)]


def _check_is_path(source: str) -> None:
    """Reject a string that is a URL or the text itself instead of the name of a file."""
    if not source:
        raise ElmanError("the name of the text is empty")
    if _URL.match(source):
        command = f"curl -LO {shlex.quote(source)}" if len(source) <= MAX_SHOWN else "curl -LO URL"
        raise ElmanError(f"{shorten(source)} is a URL; download it first: {command}")
    is_text = "\n" in source or len(os.path.basename(source)) > _LONGEST_NAME  # noqa: PTH119
    if is_text and not os.path.lexists(source):
        remedy = "pass a file, or in Python elman.Corpus.from_text(text)"
        raise ElmanError(f"a text of {len(source):,} characters is not the name of a file: {remedy}")


def open_standard_input() -> IO[bytes]:
    """Return standard input as a stream of bytes; reject one that the parent process closed."""
    if sys.stdin is None:
        raise ElmanError("standard input is closed: use a file")
    return sys.stdin.buffer


def inspect_standard_input() -> Literal["text", "ended pipe", "silent pipe", "nothing"]:
    """Return the state of standard input.

    ``text`` is a pipe that delivers bytes within `PIPE_SECONDS`, or a file redirected to it that is not empty.
    ``nothing`` is a terminal, the null device, a closed standard input, a socket, a file that was read in part, such as
    the list that a shell loop reads, and on Windows a pipe. A silent pipe may stay open without delivering anything.
    """
    try:
        descriptor = sys.stdin.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return "text" if os.lseek(descriptor, 0, os.SEEK_CUR) == 0 < status.st_size else "nothing"
        if not stat.S_ISFIFO(status.st_mode):
            return "nothing"
        ready, _, _ = select.select([descriptor], [], [], PIPE_SECONDS)
        if not ready:
            return "silent pipe"
        return "text" if cast(BufferedReader, sys.stdin.buffer).peek(1) else "ended pipe"
    except (AttributeError, OSError, ValueError):  # closed, replaced by another object, or a pipe on Windows
        return "nothing"


def has_piped_text() -> bool:
    """Return whether a text is piped or redirected to standard input, see `inspect_standard_input`."""
    return inspect_standard_input() == "text"


def _list_open_file(source: Any) -> tuple[str, list[TextInput]]:
    if not callable(getattr(source, "read", None)):
        raise ElmanError(
            "a corpus must be a path, a list of paths, an open file or an elman.Corpus"
            f" (got {type(source).__name__}); for a text use Corpus.from_text, for lines Corpus.from_lines"
        )
    given = getattr(source, "name", None)
    name = Path(given).name if isinstance(given, str) and given else "file"

    def read(chars: int) -> Any:
        try:
            return source.read(chars)
        except (OSError, ValueError) as error:  # closed, or open for writing, or not in its encoding
            raise ElmanError(f"cannot read {quote(name)} ({error})") from None

    if not isinstance(read(0), str):
        return name, [TextInput(quote(name), "", lambda: nullcontext(source))]
    encoded = SimpleNamespace(read=lambda chars: read(chars).encode("utf-8", "surrogatepass"))
    return name, [TextInput(quote(name), "", lambda: nullcontext(encoded), "utf-8", keeps_newlines=True)]


def _list_files(paths: Iterable[Path], none: str) -> list[TextInput]:
    """Return the files among `paths`, without pipes and devices; if there are none, raise an error that says `none`."""
    inputs = [_describe_file(path, path, found=True) for path in paths if path.is_file()]
    if not inputs:
        raise ElmanError(f"{none}; hidden files and run directories are skipped")
    return inputs


def _expand(pattern: str) -> Iterator[Path]:
    """Yield the paths that a pattern matches, in sorted order, except paths in run directories that it matches too."""
    root = Path(_GLOB.split(pattern)[0] + "x").parent
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (absolute patterns)
        path = Path(match)
        folders = (folder for folder in path.parents if folder.is_relative_to(root))
        if not any((folder / _CHECKPOINT).exists() for folder in folders):
            yield path


def _walk(directory: Path) -> Iterator[Path]:
    """Yield the files in a directory and below, in sorted order, without hidden files, runs and linked directories."""
    with report_system_errors(f"read the directory {quote(directory)}"):
        entries = sorted(directory.iterdir())
    if directory / _CHECKPOINT in entries:
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif not path.is_symlink():
            yield from _walk(path)


def _describe_file(path: Path, given: str | os.PathLike[str], found: bool = False) -> TextInput:
    return TextInput(quote(given), make_absolute(path), lambda: _open_file(path), found=found)


def _open_file(path: Path) -> AbstractContextManager[IO[bytes]]:
    with report_system_errors(f"read {quote(path)}", errors=(OSError, ValueError)):  # a zero byte in the name
        try:
            return path.open("rb")
        except FileNotFoundError:
            if path.is_symlink():
                raise ElmanError(f"{quote(path)} is a link to {quote(path.readlink())}, which does not exist") from None
            raise ElmanError(f"there is no file {quote(path)}: {_suggest_source(path)}") from None


def _suggest_source(path: Path) -> str:
    """Return a hint for a missing file: files and corpora with a similar name, if there are any."""
    # Unlike iterdir, glob raises nothing in a directory that it cannot list.
    by_name = {name: name for name in BUILTIN_CORPORA} | {each.name: str(each) for each in path.parent.glob("*")}
    if similar := difflib.get_close_matches(path.name, by_name):
        return f"did you mean {' or '.join(quote(by_name[name]) for name in similar)}?"
    in_python = "in Python elman.Corpus.from_text(text) or from_lines(lines)"
    return f"use a file, - for standard input, a built-in text ({', '.join(BUILTIN_CORPORA)}), or {in_python}"


_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_FILE = "shakespeare.txt"  # name of the downloaded text in the cache directory
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def _find_shakespeare() -> Path:
    """Return the path of the text, in a cache that others have filled if it is there."""
    path = cache_dir() / SHAKESPEARE_FILE
    return path if path.is_file() else writable_cache_dir() / SHAKESPEARE_FILE


def _python_docs() -> bytes:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")


def _fetch(url: str, sha256: str, path: Path) -> bytes:
    """Return the bytes of `path`, downloaded from `url` unless the file exists; it must have the SHA-256."""
    # Imported here because it is slow to import and only this text needs it.
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent)
    except ValueError:
        reason = "SHA-256 mismatch"
    except OSError as error:  # including the errors of requests
        reason = type(error).__name__
    else:
        return path.read_bytes()
    raise ElmanError(f"cannot download {url} ({reason}): use your own file or python-docs, or save the file as {path}")


BUILTIN_CORPORA: dict[str, Callable[[], bytes]] = {
    "python-docs": _python_docs,
    "shakespeare": lambda: _fetch(_SHAKESPEARE_URL, _SHAKESPEARE_SHA256, _find_shakespeare()),
}
"""Name -> a function that returns the text as UTF-8 bytes; it raises `ElmanError` if a download fails."""
