"""Windows: every character has its successor as target, and short texts are refused."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ElmanError
from elman.text import Windows


def text_of(length: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return indices that tell every position from every other."""
    return np.arange(length, dtype=np.uint8)


def test_a_window_and_its_targets() -> None:
    x, y = Windows(text_of(12), seq_length=4).at(3)
    np.testing.assert_array_equal(x, [3, 4, 5, 6])
    np.testing.assert_array_equal(y, [4, 5, 6, 7])


@pytest.mark.parametrize(("length", "windows"), [(6, 1), (10, 1), (11, 2), (15, 2), (16, 3)])
def test_windows_in_an_epoch(length: int, windows: int) -> None:
    assert Windows(text_of(length), seq_length=5).per_epoch == windows


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 100))
def test_an_epoch_predicts_every_character_but_the_first_and_the_rest(seq_length: int, extra: int) -> None:
    text = text_of(seq_length + 1 + extra)
    windows = Windows(text, seq_length)
    positions = range(0, windows.per_epoch * seq_length, seq_length)
    targets = np.concatenate([windows.at(position)[1] for position in positions])
    np.testing.assert_array_equal(targets, text[1 : len(targets) + 1])
    assert 0 <= len(text) - 1 - len(targets) < seq_length


def test_windows_are_views() -> None:
    text = text_of(12)
    for array in Windows(text, seq_length=4).at(0):
        assert np.shares_memory(array, text)


def test_the_shortest_text_has_one_window() -> None:
    assert Windows(text_of(26), seq_length=25).per_epoch == 1


def test_a_shorter_text_is_refused() -> None:
    expected = (
        "a text of N = 25 characters is too short for windows of T = 25, which need"
        " N >= T + 1 = 26: lower --seq-length, or use a longer text"
    )
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        Windows(text_of(25), seq_length=25)
