"""Options whose value may be left out."""

import pytest

from elman.cli.optional_values import add_implied_values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("eval run text --adapt", "eval run text --adapt=weights"),
        ("eval --adapt run text", "eval --adapt=weights run text"),
        ("eval run --adapt text --json", "eval run --adapt=weights text --json"),
        ("eval run text --adapt --json", "eval run text --adapt=weights --json"),
        ("eval run text --adapt both --json", "eval run text --adapt both --json"),
        ("eval run text --adapt counts", "eval run text --adapt counts"),
        ("eval run text --adapt=counts", "eval run text --adapt=counts"),
        ("eval --adapt -- --adapt counts", "eval --adapt=weights -- --adapt counts"),
        ("sample run --adapt", "sample run --adapt"),
        ("train text", "train text"),
        ("", ""),
    ],
)
def test_the_value_left_out_is_added(given: str, expected: str) -> None:
    assert add_implied_values(given.split()) == expected.split()
