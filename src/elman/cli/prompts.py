r"""The prompts of ``elman sample``: from the command line, a file, standard input, or a loop in the terminal.

The loop uses `readline`, which is part of Python wherever there is a line-editing library; a prompt is one line, and
needs no more than that.

A model whose alphabet has no backslash cannot mean one: there ``\n``, ``\r`` and ``\t`` in a prompt or a stop sequence
are a line feed, a carriage return and a tab. For other models a backslash is a backslash.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from elman.errors import ElmanError, quote

if TYPE_CHECKING:
    from pathlib import Path

    from elman.text import Alphabet

_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}


def interpret_escapes(text: str, alphabet: Alphabet) -> str:
    r"""Return a text with ``\n``, ``\r`` and ``\t`` replaced, unless the alphabet has the backslash."""
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

    In a terminal Ctrl-D ends them. Ctrl-C discards the line; pressed twice in succession it interrupts.

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
