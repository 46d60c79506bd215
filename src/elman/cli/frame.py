"""The application: its commands, the sources of their options, and their exit codes and errors.

The value of an option is from the command line or otherwise from ``ELMAN_<COMMAND>_<OPTION>`` or otherwise from the
file of ``--config``. A command imports the modules that it calls, so ``elman --help`` needs neither NumPy nor Numba.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType, NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import (
    App,
    Argument,
    ArgumentCollection,
    CoercionError,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    RepeatArgumentError,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.config import Dict, Env

from elman._version import __version__
from elman.cli import parameters
from elman.cli.commands import BAD_INPUT, INTERRUPTED, STARTED
from elman.cli.parameters import flatten_hint, join_descriptions
from elman.errors import ElmanError, command_line, join_alternatives, quote, shorten
from elman.machine import HANGUP, postpone_signal
from elman.options import suggest_option
from elman.plugins import Registry

COMMANDS = {
    "Train": ["train", "plot", "runs"],
    "Use": ["sample", "eval", "score"],
    "Exchange": ["export", "import"],
    "Study": ["gradcheck"],
    "Other": ["cache"],
}
"""Group -> commands of the core, in the order of ``--help``: most used first."""
PATHS = {"runs": "runs:app", "plot": "runs:plot", "eval": "eval:evaluate", "import": "export:import_"}
"""Command -> module and function, if their names differ from the command's."""
CORE = {
    name: f"elman.cli.commands.{PATHS.get(name, f'{name}:{name}')}" for names in COMMANDS.values() for name in names
}
"""Command of the core -> module and function."""
INSTALLED = Registry[Any]("elman.commands")
"""Commands of applications. `GROUP` in the module of a command is its group in ``--help``."""

GROUPS = {title: Group(title, sort_key=place) for place, title in enumerate(COMMANDS, 1)}
OTHER = GROUPS["Other"]


ENVIRONMENT = "ELMAN_"  # prefix of environment variables


def create_app(describe: bool = False) -> App:
    """Return the application with the commands of the core or, to `describe` them, all commands, which are imported."""
    app = App(
        name="elman",
        version=__version__,
        version_flags=["--version", "-V"],
        help="Train character-level language models (RNN, GRU, LSTM) on your own text, on a CPU, and use them.",
        help_format="plaintext",
    )
    for place, (name, path) in enumerate((CORE | (_list_installed() if describe else {})).items()):
        app.command(path, name=name, **(_describe(name, path) | {"sort_key": place} if describe else {}))
    app["--help"].group = app["--version"].group = OTHER
    app.command(_show_help, name="help", show=False)
    app.register_install_completion_command(
        group=OTHER,
        help="Install shell completion of commands and options, and load it in the startup file of the shell.",
    )
    app.meta.config = [_reject_empty_paths]
    app.meta.default(_launch)
    return app


def _list_installed() -> dict[str, str]:
    """Return the module and function of each command of an application; warn of one that cannot be imported."""
    return {name: INSTALLED.entry_points[name].value for name in INSTALLED.load_all()}


def _describe(name: str, path: str) -> dict[str, Any]:
    """Return the group and the help of a command."""
    target, module = resolve_name(path), sys.modules[path.partition(":")[0]]
    titles = {name: title for title, names in COMMANDS.items() for name in names}
    group = GROUPS.get(titles.get(name, getattr(module, "GROUP", "")), OTHER)
    return {"group": group, "help": target.help if isinstance(target, App) else target.__doc__}


def _add_installed(tokens: Sequence[str]) -> None:
    """Add the commands of applications; import the command that is called or whose help is requested."""
    for name, entry_point in INSTALLED.entry_points.items():
        if name not in app:
            app.command(entry_point.value, name=name)
        if name in tokens[:2]:
            INSTALLED[name]  # Cyclopts would end with a traceback if it cannot be imported


@join_descriptions
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(group=OTHER)] = None,
) -> int:
    """Run a command with the options that a file and the environment set.

    Parameters
    ----------
    config
        TOML file with options, such as "[train] hidden_size = 128". Environment variables, such as
        ELMAN_TRAIN_HIDDEN_SIZE, override it; the command line overrides both.
    """
    tables = {} if config is None else _read_tables(config)

    def add_from_file(called: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        options = _add_positional_arguments(_find_options(tables, app, commands, config), str(config), arguments)
        for name in reversed(commands):
            options = {name: options}
        Dict(options, source=str(config))(called, commands, arguments)

    app.config = [_warn_of_unknown_variables, Env(ENVIRONMENT, show=False), add_from_file, _reject_empty_paths]
    return _call(tokens, app)


def _call(tokens: Sequence[str], app: App) -> int:
    return int(app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0)


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """Return the options in a TOML file, by command; each command has its own table."""
    from elman.storage.files import read_toml

    names, tables = [*CORE, *INSTALLED], read_toml(path)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ElmanError(f"{quote(name)} in {quote(path)} must be in the table of a command, such as [train]")
        if name not in names:
            raise ElmanError(f"unknown command {quote(name)} in {quote(path)}; {suggest(name, names)}")
    return tables


def _find_options(table: dict[str, Any], command: App, commands: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    """Return the options of a command, of which ``[runs.diff]`` is the table of ``runs diff``."""
    for name, value in table.items():
        if name in command and not isinstance(value, dict):
            raise ElmanError(f"{quote(name)} in {quote(path)} must be the table of a command")
    if commands:
        return _find_options(table.get(commands[0], {}), command[commands[0]], commands[1:], path)
    if "config" in table:
        raise ElmanError(f"'config' in {quote(path)} is not read: pass --config on the command line")
    return {name: value for name, value in table.items() if name not in command}


def _add_positional_arguments(table: dict[str, Any], source: str, arguments: ArgumentCollection) -> dict[str, Any]:
    """Add texts and runs, which Cyclopts cannot set by name, to the arguments; return the other options."""
    options = dict(table)
    for argument in arguments:
        value = None if argument.index is None else options.pop(argument.name.lower(), None)
        if value is not None and not argument.tokens:
            _, takes_several = argument.token_count()
            for n, each in enumerate(value if takes_several and isinstance(value, list) else [value]):
                argument.append(Token(keyword=argument.name.lower(), value=str(each), source=source, index=n))
    return options


def _warn_of_unknown_variables(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Warn of environment variables that name no option of the command; they may belong to another program."""
    prefix = f"{ENVIRONMENT}{'_'.join(commands).upper()}_"
    names = {name.lstrip("-").replace("-", "_").lower() for argument in arguments for name in argument.names}
    for variable in sorted(os.environ) if commands else ():
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix) and name not in names:
            near = suggest_option(name, names)
            hint = f"did you mean {prefix}{near.upper()}?" if near else "see --help"
            print(f"warning: {shorten(variable)} is ignored: {commands[0]} has no such option; {hint}", file=sys.stderr)


def _reject_empty_paths(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Reject empty paths: ``Path("")`` is the current directory."""
    for argument in arguments:
        empty = [token for token in argument.tokens if not token.value.strip()]
        if empty and Path in flatten_hint(argument.hint):
            raise ElmanError(f"{_name_option(empty[0], argument)} must not be empty (got {quote(empty[0].value)})")


def _show_help(*command: str) -> int:
    _add_installed(command)
    return _call([*command, "--help"], app)


def _split_config(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return ``--config`` with its value, and the other arguments: after several texts, it would be read as a text."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for n, argument in enumerate(arguments[:end]):
        name, has_value, _ = argument.partition("=")
        if name == "--config":
            width = 1 if has_value else 2
            if n + width > end:
                raise ElmanError("--config requires a value")
            return arguments[n : n + width], arguments[:n] + arguments[n + width :]
    return [], arguments


app = create_app()


def main(arguments: list[str] | None = None, started: float | None = None) -> None:
    """Run the command line and exit: 0, 1 (a check failed), 2 (invalid input), 130 (interrupted), 128 + a signal.

    A command that saves its work on SIGTERM exits with 130.

    `started` is the time of `time.monotonic` at which the process started, by default now.
    """
    STARTED.set(started)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the process that started this one
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        # A text may contain characters that the terminal's encoding does not have, or lone surrogates.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if not os.environ.get("COLUMNS", "").strip("0 "):  # a terminal without a size; Rich would print nothing
        os.environ.pop("COLUMNS", None)
    if threading.current_thread() is threading.main_thread():
        for number in {signal.SIGTERM, HANGUP or signal.SIGTERM}:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _exit)  # removes temporary files; some commands replace the handler
    with command_line(), warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        code = _run(sys.argv[1:] if arguments is None else arguments)
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # Python would exit with 120, as for a closed terminal
            _discard(descriptor)
    sys.exit(code)


def _exit(number: int, frame: FrameType | None) -> None:
    if not postpone_signal(number, frame):
        sys.exit(128 + number)


def _run(arguments: list[str]) -> int:
    try:
        if parameters.HELP_ALL in arguments:
            parameters.shows_all = True
            arguments = ["--help" if each == parameters.HELP_ALL else each for each in arguments]
        if arguments in ([], ["help"], ["--help"], ["-h"]):
            create_app(describe=True).help_print([])
            code = 0
        else:
            config, rest = _split_config(arguments)
            if not rest or rest[0] not in CORE:
                _add_installed(rest)
            code = _call([*config, *rest], app.meta)
        sys.stdout.flush()
        return code
    except ElmanError as error:
        return _report_error(str(error))
    except CycloptsError as error:
        return _report_error(describe_usage_error(error, app))
    except MemoryError as error:  # NumPy's message has the size of the array
        reason = str(error) or "Python cannot allocate more"
        return _report_error(f"not enough memory ({reason}): use a smaller model, or for training smaller settings")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `elman sample RUN | head`
        _discard()
        return 0
    except SystemExit as exit:  # raised by Rich, which prints the help
        if isinstance(exit.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        if error.filename is not None:
            return _report_error(f"cannot use {quote(error.filename)} ({error.strerror})")
        _discard()  # an error of a file has its name, so this one is of standard output
        return _report_error(f"cannot write to standard output ({error.strerror})")


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _discard(descriptor: int = 1) -> None:
    """Discard buffered output, by default for standard output: otherwise Python reports an error when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _report_error(message: str) -> int:
    with suppress(OSError):  # standard error is a file on a full disk
        print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return BAD_INPUT


# --- Messages for command lines that Cyclopts rejects, the same for all its versions ---

_KINDS = {bool: "true or false", float: "a number", int: "an integer"}


def describe_usage_error(error: CycloptsError, app: App) -> str:
    """Return the message for an error in a command line, a file of options or an environment variable."""
    tokens = error.unused_tokens or []
    match error:
        case UnknownCommandError() if tokens[0].startswith("-"):
            return f"unknown option {shorten(tokens[0])}; {suggest(tokens[0], app)}"
        case UnknownCommandError():
            commands = [each for each in app if not each.startswith("-")]
            hint = suggest(tokens[0], [*commands, "runs diff"], f"the commands are {', '.join(commands)}")
            return f"unknown command {quote(tokens[0])}; {hint}"
        case UnknownOptionError(token=token):
            arguments = (error.app or app).assemble_argument_collection()
            names = [name for argument in arguments for name in argument.names]
            if _is_from_file(token):  # options in a file or a variable have no hyphens
                names = [name.lstrip("-") for name in names]
            return f"unknown option {_name_option(token)}; {suggest(_name_keyword(token), names)}"
        case UnusedCliTokensError():
            return f"unexpected argument{'s' if len(tokens) > 1 else ''} {quote(' '.join(tokens))}; see --help"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} is passed more than once"
        case MissingArgumentError(argument=argument) if argument is not None:
            if passed := [token for token in tokens if token.startswith("-") and token in argument.names]:
                return f"{passed[-1]} requires a value"
            kind = "option" if argument.name.startswith("-") else "argument"
            described = (error.app or app).assemble_argument_collection(parse_docstring=True)[argument.name]
            return f"missing required {kind} {argument.name} ({_summarize(described.parameter.help or '')})"
        case CoercionError(token=token, target_type=hint, argument=argument) if token is not None and hint is not None:
            problem, remedy = error.msg or f"must be {_describe_type(hint)}", ""
            if get_origin(hint) is Literal:
                choices = get_args(hint)
                problem, remedy = f"must be one of {', '.join(choices)}", suggest(token.value, choices, "")
            return f"{_name_option(token, argument)} {problem} (got {quote(token.value)}){remedy and '; ' + remedy}"
    return shorten(error)


def _describe_type(hint: Any) -> str:
    kinds = [_describe_type(each) for each in get_args(hint) if each is not NoneType]
    return join_alternatives(list(dict.fromkeys(kinds))) if kinds else _KINDS.get(hint, "a string")


def suggest(name: str, names: Iterable[str], otherwise: str = "see --help") -> str:
    """Return a hint for an unknown name: the most similar existing name, or otherwise a reference to the help."""
    by_word = {each.lstrip("-").replace("-", "_").lower(): each for each in names}
    near = suggest_option(name.lstrip("-"), by_word)  # hyphens would make all options similar
    return f"did you mean {by_word[near]}?" if near else otherwise


def _name_option(token: Token, argument: Argument | None = None) -> str:
    """Return the name of a token's option and, if the token is from a file, the file; or the name of its argument."""
    if token.keyword is None and argument is not None:
        return argument.name
    return shorten(_name_keyword(token)) + (f" in {quote(token.source)}" if _is_from_file(token) else "")


def _is_from_file(token: Token) -> bool:
    return token.source not in ("", "cli", "env")


def _name_keyword(token: Token) -> str:
    """Return the name of an option as it was passed, ``--seed`` for ``--seed=1``, or the path of the keys in a file."""
    keyword = (token.keyword or token.value).partition("=")[0]
    return keyword[1:-1].replace("][", ".") if keyword.startswith("[") else keyword


def _summarize(help: str) -> str:
    """Return the first phrase of a help text, for use in a sentence."""
    phrase = re.split(r"[.:;](?:\s|$)", help)[0]
    return phrase if phrase[1:2].isupper() else phrase[:1].lower() + phrase[1:]
