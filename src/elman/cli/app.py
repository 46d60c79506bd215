"""The command line as a whole: what every command shares, how a command ends, and the way out.

What a command calls is imported inside it, so that ``elman --help`` needs neither NumPy nor Numba.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cyclopts import App, CycloptsError, Group, MissingArgumentError, UnusedCliTokensError

from elman._version import __version__
from elman.errors import ElmanError

BAD_INPUT, NOT_PASSED, INTERRUPTED = 2, 1, 130

app = App(
    name="elman",
    version=__version__,
    help="Character-level recurrent networks on your own text, on your own CPU, every step shown.",
)
app["--help"].group = app["--version"].group = Group("Other", sort_key=9)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 (a check failed), 2 (bad input) or 130 (interrupted)."""
    if sys.stdout is None:  # closed by whoever started the process
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        # A text may hold what the terminal's own encoding does not; a lone surrogate is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
        sys.stdout.flush()
        return code
    except UnusedCliTokensError as error:
        return _refused(
            f"nothing is known to do with {' '.join(error.unused_tokens or [])!r}: leave it out, or see --help"
        )
    except MissingArgumentError as error:
        return _refused(_needed(error))
    except (ElmanError, CycloptsError) as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `elman sample RUN | head`
        _close_stdout()
        return 0
    except OSError as error:
        if error.filename is not None:
            return _refused(f"cannot use {str(error.filename)!r} ({error.strerror}): give another, or see to it")
        _close_stdout()  # every file has a name; what is left is standard output
        return _refused(f"cannot write to standard output ({error.strerror}): make room, or write elsewhere")


def _needed(error: MissingArgumentError) -> str:
    """Say which argument is missing, and what it is."""
    if error.argument is None:
        return str(error)
    what = (error.argument.parameter.help or "").partition(".")[0]
    return f"{error.argument.name} is needed, and nothing came: give one ({what})"


def _close_stdout() -> None:
    """Send what is still to be flushed nowhere, or Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _refused(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
