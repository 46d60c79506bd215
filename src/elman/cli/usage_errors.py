"""The messages for command lines that Cyclopts rejects, in one wording whatever its version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import get_args

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from elman.option_names import suggest_option

_KINDS = {bool: "true or false", float: "a number", int: "an integer"}


def describe_usage_error(error: CycloptsError, app: App) -> str:
    """Return what is wrong with a command line."""
    tokens = error.unused_tokens or []
    match error:
        case UnknownCommandError():
            kind, name = ("option", tokens[0]) if tokens[0].startswith("-") else ("command", repr(tokens[0]))
            return f"unknown {kind} {name}; {suggest(tokens[0], app)}"
        case UnknownOptionError(token=token):
            name = (token.keyword or token.value).partition("=")[0]
            return f"unknown option {name}; {suggest(name, [n for a in error.argument_collection for n in a.names])}"
        case UnusedCliTokensError():
            return f"unexpected argument{'s' if len(tokens) > 1 else ''} {' '.join(tokens)!r}; see --help"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} is passed more than once"
        case MissingArgumentError(argument=argument) if argument is not None:
            if passed := [token for token in tokens if token.startswith("-") and token in argument.names]:
                return f"{passed[-1]} requires a value"
            kind = "option" if argument.name.startswith("-") else "argument"
            return f"missing required {kind} {argument.name} ({_summarize(argument.parameter.help or '')})"
        case CoercionError(token=token, target_type=hint) if token is not None and hint is not None:
            return _describe_value(token.keyword or "", token.value, hint)
    return str(error)


def suggest(name: str, names: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest of those that exist, or where they are listed."""
    by_word = {each.lstrip("-").replace("-", "_"): each for each in names}  # hyphens would make all options similar
    near = suggest_option(name.lstrip("-"), by_word)
    return f"did you mean {by_word[near]}?" if near else "see --help"


def _summarize(help: str) -> str:
    """Return the first phrase of a help text, to be continued in a sentence."""
    phrase = re.split(r"[.:;](?:\s|$)", help)[0]
    return phrase if phrase[1:2].isupper() else phrase[:1].lower() + phrase[1:]


def _describe_value(option: str, value: str, hint: type) -> str:
    choices = get_args(hint)
    if not choices:
        return f"{option} must be {_KINDS.get(hint, hint.__name__)} (got {value!r})"
    near = get_close_matches(value, choices, 1)
    remedy = f"; did you mean {near[0]}?" if near else ""
    return f"{option} must be one of {', '.join(choices)} (got {value!r}){remedy}"
