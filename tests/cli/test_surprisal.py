"""Text in the terminal with the surprisal of its characters."""

from types import SimpleNamespace

import pytest

from elman.cli.surprisal import color_text, number_text, shows_colors


def test_runs_of_one_colour_and_the_end_of_the_line() -> None:
    assert color_text("abcd", [0.5, 2.1, 3.9, 40.0]) == "a\x1b[38;5;16;48;5;229mbc\x1b[0m\x1b[38;5;16;48;5;203md\x1b[0m"
    assert color_text("a", [float("nan"), 4.0]) == "a\x1b[38;5;16;48;5;215m↵\x1b[0m"
    assert color_text("a", [1.0, 1.0]) == "a"


def test_digits_stand_below_their_characters() -> None:
    assert number_text("ab漢c", [2.5, 1.0, 25.0, 4.9, 3.0]) == "ab漢c\n2 9 43"
    assert number_text("e\u0301x", [9.0, 9.0, 3.0]) == "e\u0301x\n93"  # a combining character has no column
    assert number_text("ab", [0.0, float("nan")]) == "ab"


@pytest.mark.parametrize(
    ("environment", "is_terminal", "shows"),
    [({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False)],
)
def test_where_colours_are_wanted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_terminal: bool, shows: bool
) -> None:
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: is_terminal))
    assert shows_colors() == shows
