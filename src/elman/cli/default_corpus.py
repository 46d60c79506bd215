"""The text of a training whose command line names none."""

from __future__ import annotations

from collections.abc import Callable

from elman.errors import ElmanError


def choose_corpus(on_notice: Callable[[str], None]) -> str:
    """Return ``-`` if a text is piped to standard input, else the built-in text.

    Parameters
    ----------
    on_notice : callable
        Called with a line that says so, where standard input is a pipe that delivers nothing.

    Raises
    ------
    ElmanError
        If standard input is a pipe that has ended without a text: the program that should have written it has failed.
    """
    from elman.runs.data import DEFAULT_TEXT
    from elman.text.standard_input import PIPE_SECONDS, has_piped_text, is_empty_pipe, is_pipe

    if has_piped_text():
        return "-"
    if is_empty_pipe():
        raise ElmanError(
            f"standard input is a pipe without data: name a text, or redirect /dev/null to train on {DEFAULT_TEXT}"
        )
    if is_pipe():
        on_notice(
            f"standard input is a pipe that delivered nothing in {PIPE_SECONDS:.0f} s (pass - to wait for it): using"
            f" the built-in text {DEFAULT_TEXT}"
        )
    return DEFAULT_TEXT
