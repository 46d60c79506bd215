"""The application: its commands, and how each of them ends.

A command imports what it calls, so that ``elman --help`` needs neither NumPy nor Numba.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from elman._version import __version__
from elman.cli.commands import BAD_INPUT, INTERRUPTED
from elman.cli.commands.compress import compress, decompress
from elman.cli.commands.ensemble import ensemble
from elman.cli.commands.eval import evaluate
from elman.cli.commands.explain import explain
from elman.cli.commands.export import export, import_
from elman.cli.commands.gradcheck import gradcheck
from elman.cli.commands.plot import plot
from elman.cli.commands.report import report
from elman.cli.commands.runs import runs
from elman.cli.commands.sample import sample
from elman.cli.commands.score import score
from elman.cli.commands.serve import serve
from elman.cli.commands.sweep import sweep
from elman.cli.commands.train import train
from elman.cli.commands.view import view
from elman.cli.option_sources import option_sources
from elman.cli.optional_values import add_implied_values
from elman.cli.parameters import ANY_CASE, parse_nonempty_path
from elman.cli.usage_errors import UnknownOption, describe_usage_error
from elman.errors import ElmanError, command_line, quote

COMMANDS: dict[str, dict[str, Callable[..., int]]] = {
    "Train": {"train": train, "sweep": sweep, "view": view, "plot": plot, "runs": runs},
    "Use": {
        "sample": sample,
        "eval": evaluate,
        "score": score,
        "explain": explain,
        "serve": serve,
        "compress": compress,
        "decompress": decompress,
    },
    "Exchange": {"export": export, "import": import_, "ensemble": ensemble},
    "Study": {"gradcheck": gradcheck, "report": report},
}
"""Group -> command -> function, in the order of ``--help``: most used first."""

OTHER = Group("Other", sort_key=len(COMMANDS) + 1)


def _create_app() -> App:
    app = App(
        name="elman",
        version=__version__,
        version_flags=["--version", "-V"],
        help="Train character-level language models (RNN, GRU, LSTM) on your own text, on a CPU, and use them.",
        help_format="plaintext",
    )
    for position, (title, commands) in enumerate(COMMANDS.items(), 1):
        group = Group(title, sort_key=position)
        for place, (name, function) in enumerate(commands.items(), 1):
            path = f"{function.__module__}:{function.__name__}"  # its parameters are read when it is called
            app.command(path, name=name, group=group, sort_key=place, help=function.__doc__)
    app["--help"].group = app["--version"].group = OTHER
    app.command(_install_completion, name="--install-completion", group=OTHER)
    app.meta.default(_launch)
    return app


def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(
            group=OTHER,
            converter=parse_nonempty_path,
            help='TOML file with options, such as "[train] hidden_size = 128". Environment variables, such as'
            " ELMAN_TRAIN_HIDDEN_SIZE, override it, and the command line overrides both.",
        ),
    ] = None,
) -> int:
    """Run a command, with the options that a file and the environment set.

    Raises
    ------
    ElmanError
        If an option that is parsed as a text is unknown.
    """
    arguments = _mark_paths(_expand_help(list(tokens)))
    app.config = option_sources(config, [name for commands in COMMANDS.values() for name in commands])
    arguments = add_implied_values(arguments)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UnknownOption as error:
        raise ElmanError(error.describe(app, arguments[0])) from None
    return int(code or 0)


def _install_completion(
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None, ANY_CASE, Parameter(help="Shell; by default the one in use.")
    ] = None,
) -> int:
    """Install shell completion of commands and options, and load it in the startup file of the shell."""
    from cyclopts.completion.detect import ShellDetectionError

    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError:
        raise ElmanError("cannot detect the shell in use: pass --shell bash, zsh or fish") from None
    print(f"{path} (restart the shell to use it)")
    return 0


def _move_config(arguments: list[str]) -> list[str]:
    """Return a command line with ``--config`` first: after the command, one that takes several texts would take it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for n, argument in enumerate(arguments[:end]):
        if argument == "--config" or argument.startswith("--config="):
            width = 1 if "=" in argument else 2
            return arguments[n : n + width] + arguments[:n] + arguments[n + width :]
    return arguments


def _mark_paths(arguments: list[str]) -> list[str]:
    """Return a command line in which nothing after ``--`` looks like an option: these arguments are paths."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    paths = [f"./{each}" if each.startswith("-") and each != "-" else each for each in arguments[end + 1 :]]
    return arguments[: end + 1] + paths


def _expand_help(arguments: list[str]) -> list[str]:
    """Return ``help train`` as ``train --help``."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else arguments


app = _create_app()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 (a check failed), 2 (bad input) or 130 (interrupted)."""
    if sys.stdout is None:  # closed by the process that started this one
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        # A text may contain what the terminal's encoding does not; a lone surrogate is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    with command_line():
        code = _run(sys.argv[1:] if arguments is None else arguments)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        code = app.meta(_move_config(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return int(code or 0)
    except ElmanError as error:
        return _report_error(str(error))
    except CycloptsError as error:
        return _report_error(describe_usage_error(error, app))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `elman sample RUN | head`
        _discard_stdout()
        return 0
    except SystemExit as exit:  # raised by Rich, which prints the help
        if isinstance(exit.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        if error.filename is not None:
            return _report_error(f"cannot use {quote(error.filename)} ({error.strerror})")
        _discard_stdout()  # every file has a name; what remains is standard output
        return _report_error(f"cannot write to standard output ({error.strerror})")


def _discard_stdout() -> None:
    """Discard what is still buffered, or Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _report_error(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
