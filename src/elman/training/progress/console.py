"""Standard error, or the output of a notebook's cell, as the displays write to it."""

from __future__ import annotations

import unicodedata

from rich.console import Console


class StderrConsole(Console):
    """Standard error; in a notebook, the output of the cell."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    @property
    def is_watched(self) -> bool:
        """Whether it is a notebook or a terminal, on which lines can be overwritten."""
        # Rich alone takes a log for a terminal if FORCE_COLOR is set, as it often is in CI.
        is_terminal = self.is_terminal and self.file.isatty() and not self.is_dumb_terminal
        return self.is_jupyter or is_terminal

    def print_line(self, line: str) -> None:
        """Print a line as it is, however long."""
        self.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Print nothing more; training continues."""
        self.quiet = True


def visible(text: str) -> str:
    """Return a text with a visible symbol for every control character except tabs and line feeds."""
    return "".join(c if c in "\t\n" or unicodedata.category(c) != "Cc" else _symbol(c) for c in text)


def _symbol(control: str) -> str:
    return chr(0x2400 + ord(control)) if ord(control) < 0x20 else "\N{SYMBOL FOR DELETE}"
