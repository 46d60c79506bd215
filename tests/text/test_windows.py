"""Windows: the target of every character is its successor, and short texts are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import ElmanError
from elman.text import Windows


def text_of(length: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return indices that tell every position from every other."""
    return np.arange(length, dtype=np.uint8)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 60))
def test_an_epoch_reads_every_batch_row_in_order(seq_length: int, batch_size: int, extra: int) -> None:
    text = text_of(batch_size * seq_length + 1 + extra)
    windows = Windows(text, seq_length, batch_size)
    positions = range(0, windows.per_epoch * seq_length, seq_length)
    x, y = (np.concatenate(parts).reshape(-1, batch_size) for parts in zip(*map(windows.at, positions), strict=True))
    for row in range(batch_size):
        begin = row * windows.row_length
        np.testing.assert_array_equal(x[:, row], text[begin : begin + len(x)])
        np.testing.assert_array_equal(y[:, row], text[begin + 1 : begin + 1 + len(x)])
    assert 0 <= windows.row_length - len(x) < seq_length
    assert 0 <= len(text) - 1 - batch_size * windows.row_length < batch_size


@pytest.mark.parametrize("batch_size", [1, 2])
def test_windows_are_views(batch_size: int) -> None:
    text = text_of(12)
    for array in Windows(text, 4, batch_size).at(0):
        assert np.shares_memory(array, text)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_epoch_begins_where_no_window_is_left(batch_size: int) -> None:
    windows = Windows(text_of(batch_size * 12 + 1), 5, batch_size)
    assert [windows.begins_epoch(position) for position in (0, 5, 7, 8, 10)] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("seq_length", "batch_size", "message"),
    [
        (25, 1, "the text has 25 characters, but a sequence length of 25 needs at least 26"),
        (4, 3, "the text has 12 characters, but a batch size of 3 and a sequence length of 4 need at least 13"),
    ],
)
def test_the_shortest_text_has_one_window(seq_length: int, batch_size: int, message: str) -> None:
    minimum = batch_size * seq_length + 1
    windows = Windows(text_of(minimum), seq_length, batch_size)
    assert windows.per_epoch == 1
    assert windows.at(0)[1].flat[-1] == minimum - 1
    with pytest.raises(ElmanError, match=message):
        Windows(text_of(minimum - 1), seq_length, batch_size)
