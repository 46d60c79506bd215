"""What a command reads: the text and the model if none is named, the runs in directories, and prompts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from elman.errors import ElmanError, quote

if TYPE_CHECKING:
    from elman.inference import Model
    from elman.text import Alphabet

T = TypeVar("T")

_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}


def choose_corpus(on_notice: Callable[[str], None]) -> str:
    """Return the text of a training that names none: ``-`` if one is piped to standard input, else the built-in text.

    Parameters
    ----------
    on_notice : callable
        Called with a line that says so, where standard input is a pipe that delivers nothing.

    Raises
    ------
    ElmanError
        If standard input is a pipe that has ended without a text: the program that should have written it has failed.
    """
    from elman.runs.data import DEFAULT_TEXT
    from elman.text.sources import PIPE_SECONDS, inspect_standard_input

    piped = inspect_standard_input()
    if piped == "text":
        return "-"
    if piped == "ended pipe":
        raise ElmanError(
            f"standard input is a pipe without data: name a text, or redirect /dev/null to train on {DEFAULT_TEXT}"
        )
    if piped == "silent pipe":
        on_notice(
            f"standard input is a pipe that delivered nothing in {PIPE_SECONDS:.0f} s (pass - to wait for it): using"
            f" the built-in text {DEFAULT_TEXT}"
        )
    return DEFAULT_TEXT


def split_run(run: Path | None, corpus: Sequence[str | Path]) -> tuple[Path | None, list[str | Path]]:
    """Return the run, if there is one, and the texts of a command whose RUN may be left out.

    It is left out if the first argument is a file of text, ``-`` or the name of a built-in text. Anything else is a
    run.

    Raises
    ------
    ElmanError
        If the first argument is a path that does not exist, and so neither.
    """
    from elman.runs.models import is_builtin

    if run is None:
        return None, list(corpus)
    if _is_text(str(run)):
        return None, [str(run), *corpus]
    if not (os.path.exists(run) or is_builtin(run)):  # noqa: PTH110 (False for a name that no file can have)
        raise ElmanError(
            f"there is no checkpoint {quote(run)}, and no text of this name: pass a run directory written by elman"
            " train, a text file, or both"
        )
    return run, list(corpus)


def _is_text(name: str) -> bool:
    from elman.storage.tensors import is_named_or_begins_like_tensors
    from elman.text.sources import is_builtin

    if not os.path.isfile(name):  # noqa: PTH113 (False for a name that no file can have)
        return name == "-" or (is_builtin(name) and not os.path.exists(name))  # noqa: PTH110
    return not is_named_or_begins_like_tensors(Path(name))


def load_model(run: Path | None, *, quiet: bool) -> Model:
    """Load the model of a run or, without one, the built-in model, which is reported on standard error unless `quiet`.

    Raises
    ------
    ElmanError
        If there is no checkpoint, or it is truncated or altered.
    """
    from elman.runs.models import load, load_builtin

    if run is not None:
        return load(run)
    if not quiet:
        print("using the built-in model, as no run is given", file=sys.stderr)
    return load_builtin()


def read_runs(paths: Sequence[Path], read: Callable[[Path, str], T]) -> list[T]:
    """Read the runs in directories, and warn of those that cannot be read.

    Parameters
    ----------
    paths : sequence of Path
        Run directories, and directories that are searched for them.
    read : callable
        Reads a run directory, and is told under which name to show it: its own or, where another one has the same,
        its path.

    Raises
    ------
    ElmanError
        If one of `paths` is itself a run that cannot be read, or contains no run.
    """
    from elman.runs.saved_runs import find_runs

    found = list(dict.fromkeys(run for path in paths for run in (find_runs(path) if path.is_dir() else []) or [path]))
    names = [path.resolve().name for path in found]
    results = []
    for path, name in zip(found, names, strict=True):
        try:
            results.append(read(path, name if names.count(name) == 1 else str(path)))
        except ElmanError as error:
            if path in paths:
                raise
            print(f"warning: {error}", file=sys.stderr)
    return results


def interpret_escapes(text: str, alphabet: Alphabet) -> str:
    r"""Return a prompt or a stop sequence with ``\n``, ``\r`` and ``\t`` as line feed, carriage return and tab.

    A model whose alphabet has the backslash may mean it: for such a model it stays one.
    """
    if "\\" in alphabet.characters:
        return text
    return re.sub(r"\\[nrt]", lambda match: _ESCAPES[match[0]], text)


def read_prompt(source: Path) -> str:
    """Return the complete text of a file, or of standard input if its path is -.

    Raises
    ------
    ElmanError
        If it cannot be read, or is not UTF-8.
    """
    from elman.text import open_standard_input

    from_stdin = str(source) == "-"
    name = "standard input" if from_stdin else quote(source)
    try:
        data = open_standard_input().read() if from_stdin else source.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ElmanError(f"the prompt in {name} is not UTF-8") from None
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        raise ElmanError(f"cannot read {name} ({getattr(error, 'strerror', None) or error})") from None


def is_terminal() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def read_lines() -> Iterator[str]:
    """Yield the lines that are entered in the terminal, or those of standard input, each without its end.

    In a terminal Ctrl-D ends them. Ctrl-C discards the line; pressed twice in succession it interrupts. Lines are
    edited by `readline`, which is part of Python wherever there is a line-editing library.

    Raises
    ------
    ElmanError
        If a line is not UTF-8.
    KeyboardInterrupt
        If it was pressed twice.
    """
    return _prompt_for_lines() if is_terminal() else _read_standard_input()


def _prompt_for_lines() -> Iterator[str]:
    with suppress(ImportError):  # there is none on Windows, where the console itself edits lines
        import readline  # noqa: F401 (its import lets `input` edit lines and recall them)

    interrupted = False
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            print("\npress Ctrl-D, or Ctrl-C again, to end")
        else:
            interrupted = False
            yield line


def _read_standard_input() -> Iterator[str]:
    from elman.text import open_standard_input

    for number, line in enumerate(open_standard_input(), 1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ElmanError(f"line {number} of standard input is not UTF-8") from None
