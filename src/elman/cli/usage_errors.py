"""The messages for command lines that Cyclopts rejects, in one wording whatever its version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
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
from elman.option_names import SIMILARITY, suggest_option

_KINDS = {bool: "true or false", float: "a number", int: "an integer"}

_MOST_USED = ("train", "sample", "eval")
"""Listed first where a command is unknown."""


def describe_usage_error(error: CycloptsError, app: App) -> str:
    """Return what is wrong with a command line."""
    tokens = error.unused_tokens or []
    match error:
        case UnknownCommandError() if tokens[0].startswith("-"):
            return f"unknown option {shorten(tokens[0])}; {suggest(tokens[0], app)}"
        case UnknownCommandError():
            return f"unknown command {quote(tokens[0])}; {_suggest_command(tokens[0], app)}"
        case UnknownOptionError(token=token):
            names = [each for argument in error.argument_collection for each in argument.names]
            name = (token.keyword or token.value).partition("=")[0]
            return f"unknown option {shorten(name)}; {suggest(name, names)}"
        case UnusedCliTokensError():
            return f"unexpected argument{'s' if len(tokens) > 1 else ''} {quote(' '.join(tokens))}; see --help"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} is passed more than once"
        case MissingArgumentError(argument=argument) if argument is not None:
            if passed := [token for token in tokens if token.startswith("-") and token in argument.names]:
                return f"{passed[-1]} requires a value"
            kind = "option" if argument.name.startswith("-") else "argument"
            return f"missing required {kind} {argument.name} ({_summarize(argument.parameter.help or '')})"
        case CoercionError(token=token, target_type=hint) if token is not None and hint is not None:
            return _describe_value(name_option(token), token.value, hint)
    return shorten(error)


class UnknownOption(Exception):
    """Raised for an option that is parsed as one of several texts, by a function that does not know the command."""

    def describe(self, app: App, command: str) -> str:
        """Return what is wrong, with the option of the command that it most likely means."""
        names = [name for argument in app[command].assemble_argument_collection() for name in argument.names]
        return f"unknown option {shorten(self)}; {suggest(str(self), names)}"


def suggest(name: str, names: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest of those that exist, or where they are listed."""
    by_word = {_as_word(each).replace("-", "_"): each for each in names}
    near = suggest_option(name.lstrip("-"), by_word)
    return f"did you mean {by_word[near]}?" if near else "see --help"


def find_similar(name: str, names: Iterable[str]) -> str | None:
    """Return the nearest of the names that are spelled nearly so, if there is one."""
    by_word = {_as_word(each): each for each in names}
    near = get_close_matches(_as_word(name), by_word, 1, SIMILARITY)
    return by_word[near[0]] if near else None


def _as_word(name: str) -> str:
    """Return a name as it is compared: hyphens before it would make every two options similar."""
    return name.lstrip("-").replace("_", "-").lower()


def _suggest_command(name: str, app: App) -> str:
    """Return a hint for an unknown command: the nearest one, or all of them."""
    commands = [each for each in app if not each.startswith("-")]
    if near := find_similar(name, commands):
        return f"did you mean {near}?"
    others = [each for each in commands if each not in _MOST_USED]
    return f"the commands are {', '.join([*_MOST_USED, *others])}"


def name_option(token: Token) -> str:
    """Return the name of the option that a token is a value of, and the file it is from, if from one.

    An environment variable has a name that says so.
    """
    return (token.keyword or "") + ("" if token.source in ("", "cli", "env") else f" in {quote(token.source)}")


def _summarize(help: str) -> str:
    """Return the first phrase of a help text, to be continued in a sentence."""
    phrase = re.split(r"[.:;](?:\s|$)", help)[0]
    return phrase if phrase[1:2].isupper() else phrase[:1].lower() + phrase[1:]


def _describe_value(option: str, value: str, hint: Any) -> str:
    if get_origin(hint) is Literal:
        return describe_choice(option, value, get_args(hint))
    return f"{option} must be {describe_type(hint)} (got {quote(value)})"


def describe_type(hint: Any) -> str:
    """Return what a value of a type is, in words.

    Examples
    --------
    >>> describe_type(float | str | None), describe_type(list[str] | None)
    ('a number or a string', 'a list of strings')
    """
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) in (list, tuple):
        return "a list of strings"
    if arguments := [each for each in get_args(hint) if each is not NoneType]:
        return join_alternatives(list(dict.fromkeys(map(describe_type, arguments))))
    return _KINDS.get(hint, "a string")


def describe_choice(option: str, value: str, choices: Iterable[str]) -> str:
    """Return what is wrong with a value that is none of the choices."""
    near = find_similar(value, choices)
    remedy = f"; did you mean {near}?" if near else ""
    return f"{option} must be one of {', '.join(choices)} (got {quote(value)}){remedy}"
