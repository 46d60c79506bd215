"""Former names of options, which are still accepted and shown nowhere."""

from __future__ import annotations

from elman.config import RENAMED
from elman.errors import flag

FORMER_OPTIONS = {
    "train": {flag(former): flag(name) for former, name in RENAMED.items()},
    "report": {"--rare": "--min-count"},
    "gradcheck": {"--random-state": "--seed"},
    "sample": {"--prime": "--prompt", "--random-state": "--seed"},
    "score": {"--context": "--carry-state"},
    "serve": {
        "--streams": "--max-batch-size",
        "--queue": "--max-queued-requests",
        "--drain": "--shutdown-timeout",
    },
}
"""Command -> former option -> option."""


def replace_former_options(arguments: list[str]) -> list[str]:
    """Return the arguments of a command line with the current names of its options.

    No option takes a value that begins with two hyphens unless it is joined by ``=``, so that an argument that is
    equal to a former option is that option.
    """
    options = FORMER_OPTIONS.get(arguments[0], {}) if arguments else {}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [_replace(argument, options) for argument in arguments[:end]] + arguments[end:]


def _replace(argument: str, options: dict[str, str]) -> str:
    name, equals, value = argument.partition("=")
    return options.get(name, name) + equals + value
