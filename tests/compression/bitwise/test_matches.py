"""Matches continue behind mismatches, prefer what is longer and learn how often they are right."""

import numpy as np
import pytest

from elman.compression.bitwise import matches as module
from elman.compression.bitwise.matches import MAX_MISSES, MIN_LENGTHS, PARAGRAPHS, SEARCHED, Matches, make_matches
from elman.compression.bitwise.tree import build_tree
from elman.compression.experts.match import NONE

SHORTEST, M = SEARCHED - 1, SEARCHED + PARAGRAPHS


def read(text: str, R: int = 1) -> tuple[Matches, np.ndarray]:
    """Let R rows read a text each, with nothing before; return the matches and the history."""
    codes = np.array([ord(c) for c in text], np.int64)
    history = np.full((len(codes) + 1) * R, NONE, np.int32)
    made = make_matches(R, 1 << 16, M, ord("\n"))  # so large that hardly any two contexts share an entry
    for step, x in enumerate(codes):
        history[step * R : (step + 1) * R] = x
        module.read_symbols(made, history, 0, step, np.full(R, x), np.ones(R, np.bool_))
    return made, history


def predictions(text: str) -> list[str]:
    """Return what each match model predicts behind a text; "" for nothing."""
    made, history = read(text)
    module.set_predictions(made, history, 0)
    return ["" if k < 0 else chr(k) for k in made.predicted.tolist()]


def test_each_match_model_has_its_minimum_length() -> None:
    for z, length in enumerate(MIN_LENGTHS):
        repeated = "".join(chr(1000 + i) for i in range(length))
        assert predictions("xy" + repeated + "z" + repeated)[z] == "z"
        assert predictions("xy" + repeated + "z" + repeated[1:])[z] == ""


def test_the_latest_occurrence_is_followed() -> None:
    assert predictions("abcdefgX....abcdefgY....abcdefg")[SHORTEST] == "Y"


def test_a_match_continues_behind_a_mismatch() -> None:
    line = "GET /index.html HTTP/1.1 200 "
    assert predictions(f"{line}137 bytes\n{line}52")[1] == "7"
    made, _ = read(f"{line}137 bytes\n{line}538")
    assert made.lengths[SHORTEST, 0] == 0
    assert made.misses[SHORTEST, 0] == 0b101


def test_a_match_ends_after_many_mismatches() -> None:
    known = "abcdefghijklmnopqrstuvwxyz0123456789"
    for misses in (MAX_MISSES - 1, MAX_MISSES):
        unknown = "".join(chr(2000 + i) for i in range(misses))
        predicted = predictions(known + known.upper() + known + unknown)[0]
        assert predicted == ("" if misses == MAX_MISSES else known.upper()[misses])


def test_a_longer_match_replaces_an_unreliable_one() -> None:
    a, b = "the cat sat on the mat", "the dog sat on the mat"
    assert predictions(f"{a}A{b}B{a}")[SHORTEST] == "A"


def test_the_first_line_of_a_paragraph_is_predicted_from_those_two_and_three_before() -> None:
    scene = "\n\nROMEO:\na\n\nJULIET:\nb\n\nNURSE:\nc\n\n"
    assert predictions(scene)[SEARCHED:] == ["J", "R"]
    assert predictions(scene + "JUL")[SEARCHED:] == ["I", ""]
    assert predictions(scene + "JULIET:")[SEARCHED:] == ["\n", ""]
    assert predictions(scene + "JULIET:\n")[SEARCHED:] == ["", ""]
    assert predictions(scene + "\n\n")[SEARCHED:] == ["J", "R"]  # several empty lines end one paragraph
    assert predictions("ROMEO:\na\n\nJULIET:\n")[SEARCHED:] == ["", ""]


def test_predictions_of_complete_lines_are_counted() -> None:
    made, _ = read("\n\nA\n\nB\n\nA\n\nC\n\nA\n")
    assert made.misses[SEARCHED:, 0].tolist() == [0b101, 0]


def test_a_former_model_has_no_paragraphs() -> None:
    made = make_matches(1, 1 << 16, SEARCHED, ord("\n"))
    assert len(made.pointers) == len(made.predicted) == SEARCHED


def test_rows_share_the_history() -> None:
    made, history = read("abcdefgh", R=2)
    assert (made.pointers == NONE).all()
    made, history = read("abcdefghXabcdefgh", R=2)
    for r in range(2):
        module.set_predictions(made, history, r)
        assert chr(made.predicted[SHORTEST]) == "X"


def test_a_row_that_does_not_read_keeps_its_match() -> None:
    made, history = read("abcdefghXabcdefgh")
    before = [array.copy() for array in (made.pointers, made.lengths, made.misses)]
    history[-1] = NONE
    module.read_symbols(made, history, 0, len(history) - 1, np.zeros(1, np.int64), np.zeros(1, np.bool_))
    for array, old in zip((made.pointers, made.lengths, made.misses), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_predicted_bit_that_is_right_becomes_more_probable() -> None:
    made, history = read("abcdefghcabcdefgh")
    tree, stretches = build_tree(np.ones(128, np.int64)), make_stretches()
    inputs = np.zeros(2 * M, np.float32)
    module.set_predictions(made, history, 0)
    root = len(tree.children) - 1
    logits = []
    for _ in range(30):
        module.set_match_inputs(made, tree, root, 0, stretches, inputs, 0)
        expected = int(tree.bits[ord("c"), 0])
        assert made.bits[SHORTEST] == expected
        logits.append((2 * expected - 1) * float(inputs[2 * SHORTEST]))
        module.observe_bit(made, expected)
    assert logits == sorted(logits)
    assert logits[0] < logits[-1]
    module.set_match_inputs(made, tree, int(tree.children[root, 1 - expected]), 1, stretches, inputs, 0)
    assert made.bits[SHORTEST] == NONE
    assert not inputs.any()


def make_stretches() -> np.ndarray:
    p = (np.arange(4096) + 0.5) / 4096
    return np.log(p / (1 - p)).astype(np.float32)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 23, 24, 31, 32, 63, 64, 127, 128, 511, 512, 1023, 1024, 10**6])
def test_ranges_of_lengths_are_ordered(length: int) -> None:
    assert 0 <= module.length_range(length) <= module.length_range(length + 1) < module.LENGTHS
    assert module.length_range(length + 1) - module.length_range(length) <= 1
