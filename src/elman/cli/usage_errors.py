"""The messages for command lines that Cyclopts rejects, in one wording whatever its version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from elman.errors import join_alternatives, quote, shorten
from elman.options import suggest_option

_KINDS = {bool: "true or false", float: "a number", int: "an integer"}


def describe_usage_error(error: CycloptsError, app: App) -> str:
    """Return what is wrong with a command line, a file of options or an environment variable."""
    tokens = error.unused_tokens or []
    match error:
        case UnknownCommandError() if tokens[0].startswith("-"):
            return f"unknown option {shorten(tokens[0])}; {suggest(tokens[0], app)}"
        case UnknownCommandError():
            commands = [each for each in app if not each.startswith("-")]
            hint = suggest(tokens[0], commands, f"the commands are {', '.join(commands)}")
            return f"unknown command {quote(tokens[0])}; {hint}"
        case UnknownOptionError(token=token):
            arguments = (error.app or app).assemble_argument_collection()
            names = [name for argument in arguments for name in argument.names]
            if _is_from_file(token):  # where options have no hyphens
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
        case CoercionError(token=token, target_type=hint) if token is not None and hint is not None:
            problem, remedy = error.msg or f"must be {_describe_type(hint)}", ""
            if get_origin(hint) is Literal:
                choices = get_args(hint)
                problem, remedy = f"must be one of {', '.join(choices)}", suggest(token.value, choices, "")
            return f"{_name_option(token)} {problem} (got {quote(token.value)}){remedy and '; ' + remedy}"
    return shorten(error)


def _describe_type(hint: Any) -> str:
    if arguments := [each for each in get_args(hint) if each is not NoneType]:
        return join_alternatives(list(dict.fromkeys(map(_describe_type, arguments))))
    return _KINDS.get(hint, "a string")


def suggest(name: str, names: Iterable[str], otherwise: str = "see --help") -> str:
    """Return a hint for an unknown name: the nearest of those that exist, or otherwise another hint."""
    by_word = {each.lstrip("-").replace("-", "_").lower(): each for each in names}
    near = suggest_option(name.lstrip("-"), by_word)  # hyphens would make every two options similar
    return f"did you mean {by_word[near]}?" if near else otherwise


def _name_option(token: Token) -> str:
    """Return the name of the option that a token is a value of, and the file it is from, if from one."""
    return shorten(_name_keyword(token)) + (f" in {quote(token.source)}" if _is_from_file(token) else "")


def _is_from_file(token: Token) -> bool:
    return token.source not in ("", "cli", "env")


def _name_keyword(token: Token) -> str:
    """Return an option as it was passed: of ``--seed=1`` the name, of the keys ``[eval][window]`` of a file a path."""
    keyword = (token.keyword or token.value).partition("=")[0]
    return keyword[1:-1].replace("][", ".") if keyword.startswith("[") else keyword


def _summarize(help: str) -> str:
    """Return the first phrase of a help text, to be continued in a sentence."""
    phrase = re.split(r"[.:;](?:\s|$)", help)[0]
    return phrase if phrase[1:2].isupper() else phrase[:1].lower() + phrase[1:]
