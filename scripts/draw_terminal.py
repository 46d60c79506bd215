"""Draw docs/images/terminal.svg: a terminal in which the README's first commands are carried out.

    python scripts/draw_terminal.py

The commands run in a pseudo-terminal, in a temporary directory, and what they print is drawn: progress bars in their
last state, and a long output without its middle. The kernels have been compiled before; the preset then takes about 6 s
on an idle machine.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COMMANDS = (
    "elman train shakespeare -o runs/bard --preset quick --validation 0.1",
    "elman sample runs/bard --prompt ROMEO: --temperature 0.7 --length 330 --seed 5",
)
WIDTH = 100
FIRST_LINES, LAST_LINES = 26, 2
"""Of the output of a command that are drawn."""

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"


def run_in_terminal(command: str, folder: str) -> str:
    """Return what the command prints in a terminal of `WIDTH` columns, with its control sequences."""
    environment = os.environ | {"COLUMNS": str(WIDTH), "LINES": "40", "TERM": "xterm-256color"}
    program = [sys.executable, "-m", *shlex.split(command)]
    primary, secondary = pty.openpty()
    with subprocess.Popen(program, stdout=secondary, stderr=secondary, cwd=folder, env=environment) as process:
        os.close(secondary)
        output = b"".join(iter(lambda: read(primary), b""))
    os.close(primary)
    if process.returncode:
        raise SystemExit(f"error: {command} ended with exit code {process.returncode}")
    return output.decode("utf-8")


def read(terminal: int) -> bytes:
    """Return the next bytes, none at the end, where Linux reports an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def last_state(output: str) -> str:
    """Return what a terminal shows in the end: without the lines that were erased to be written again."""
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        for _ in re.findall(r"\x1b\[1A\x1b\[2K", line):
            if lines:
                lines.pop()
        visible = re.split(r"\r|\x1b\[1A|\x1b\[2K", line)[-1]
        lines.append(re.sub(r"\x1b\[\?25[lh]", "", visible))
    return "\n".join(lines).strip("\n")


def omit_middle(output: str) -> str:
    """Return the first and the last lines of a long output."""
    lines = output.split("\n")
    if len(lines) <= FIRST_LINES + LAST_LINES:
        return output
    return "\n".join([*lines[:FIRST_LINES], "\x1b[2m[…]\x1b[0m", *lines[-LAST_LINES:]])


def main() -> None:
    """Run the commands and draw."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        run_in_terminal("elman train shakespeare -o compiled --preset quick --max-updates 2", folder)
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(omit_middle(last_state(run_in_terminal(command, folder)))))
            console.print()
    # Without the fonts that would be downloaded.
    code_format = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    FIGURE.write_text(console.export_svg(title="elman", code_format=code_format), encoding="utf-8")


if __name__ == "__main__":
    main()
