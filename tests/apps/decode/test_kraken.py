"""The decoder for kraken returns the records of its greedy decoder, or those of a more probable text."""

import re
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import elman
from support.training import train

CODEC: Any = SimpleNamespace(
    c2l={" ": [1], "a": [2], "b": [3], "c": [4], "ch": [5], "é": [6, 7], "\n": [8], "d": [9], "e": [10]}
)
CLASSES = 11


def greedy(line: Any) -> list[tuple[int, int, int, Any]]:
    """Return what kraken's `greedy_decoder` does of a line (C, W)."""
    found = groupby(enumerate(line.argmax(axis=0).tolist()), key=lambda frame: frame[1])
    spans = ((k, [t for t, _ in frames]) for k, frames in found if k)
    return [(k, ts[0], ts[-1], pytest.approx(line[k, ts].max())) for k, ts in spans]


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum(axis=-2, keepdims=True)


def test_a_clear_line_is_decoded_as_by_kraken() -> None:
    path = [2, 2, 0, 3, 1, 1, 5, 0, 5, 6, 7, 0]
    x = np.random.default_rng(1).normal(size=(2, CLASSES, 14))
    x[0, path, np.arange(12)] += 12
    x[1, path[:9], np.arange(9)] += 12
    lines = softmax(x)
    decode = elman.kraken_decoder(CODEC)
    expected = [greedy(lines[0, :, :12]), greedy(lines[1, :, :9])]
    assert [label for label, *_ in expected[0]] == [2, 3, 1, 5, 5, 6, 7]
    assert decode(lines, np.array([12, 9])) == expected
    assert decode(lines[0, :, :12]) == expected[:1]


def test_a_model_decides_what_is_unclear() -> None:
    model = train(elman.Corpus.from_text("cab\nbade\ncab cab\n" * 20), preset="counts", lines=True, validation=0).model
    line = np.random.default_rng(1).uniform(0.009, 0.011, (CLASSES, 5))
    line[[4, 2, 3], [0, 2, 4]] = 0.93
    line[0, [1, 3]] = 0.93
    line[[2, 4], 2] = 0.44, 0.50  # cab or ccb
    assert [label for label, *_ in elman.kraken_decoder(CODEC)(line)[0]] == [4, 4, 3]
    ((first, (label, start, end, p), last),) = elman.kraken_decoder(CODEC, model, alpha=1.0)(line)
    assert (first[0], label, start, end, last[0]) == (4, 2, 2, 2, 3)
    assert p == pytest.approx(0.44)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("text",), "outputs must have the shape (lines, labels, frames) (got 'text')"),
        (([1.0, 2.0],), "outputs must have the shape (lines, labels, frames) (got [1.0, 2.0])"),
        ((np.zeros((1, 3, 2)), [2, 2]), "seq_lens must be the frames of each of 1 lines (got [2, 2])"),
        ((np.zeros((1, 3, 2)), [-1]), "seq_lens must be the frames of each of 1 lines (got [-1])"),
        ((np.zeros((1, 3, 2)), "a"), "seq_lens must be the frames of each of 1 lines (got 'a')"),
        ((np.zeros((1, 3, 2)), 2), "seq_lens must be the frames of each of 1 lines (got 2)"),
    ],
)
def test_wrong_arrays(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(elman.ElmanError, match=f"^{re.escape(message)}$"):
        elman.kraken_decoder(SimpleNamespace(c2l={"h": [1], "i": [2]}))(*arguments)
