"""Options whose value may be left out."""

import pytest

from elman.cli.optional_values import add_implied_values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("compress file --adapt", "compress file --adapt=weights"),
        ("compress --adapt file --json", "compress --adapt=weights file --json"),
        ("compress file --adapt both --json", "compress file --adapt both --json"),
        ("compress file --adapt=counts", "compress file --adapt=counts"),
        ("compress file -m run --adapt -o out", "compress file -m run --adapt=weights -o out"),
        ("compress --adapt -- --adapt counts", "compress --adapt=weights -- --adapt counts"),
        ("sample run --adapt", "sample run --adapt"),
        ("train text", "train text"),
        ("", ""),
    ],
)
def test_the_value_left_out_is_added(given: str, expected: str) -> None:
    assert add_implied_values(given.split()) == expected.split()
