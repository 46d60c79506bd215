"""Matches continue behind mismatches, and prefer what is longer."""

import numpy as np
import pytest

from elman.apps.compress import matches as module
from elman.apps.compress.matches import MAX_MISSES, MIN_LENGTHS, MODELS, NONE, Matches, make_matches, reserve_steps

SHORTEST = MODELS - 1
ROOM = 1 << 16
"""Steps for which tables are so large that hardly any two contexts share an entry."""


def codes(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text], np.int64)


def read(text: str, R: int = 1, steps: int = ROOM) -> Matches:
    made = make_matches(R, steps)
    for x in codes(text):
        made = reserve_steps(made, 1)
        module.read_symbols(made, np.full(R, x), np.ones(R, np.bool_))
    return made


def predictions(text: str) -> list[str]:
    """Return what each match model predicts behind a text; "" for nothing."""
    return ["" if k < 0 else chr(k) for k in read(text).predicted[0].tolist()]


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
    made = read(f"{line}137 bytes\n{line}538")
    assert made.lengths[0, SHORTEST] == 0
    assert made.misses[0, SHORTEST] == 1


def test_a_match_ends_after_many_mismatches() -> None:
    known = "abcdefghijklmnopqrstuvwxyz0123456789"
    for misses in (MAX_MISSES - 1, MAX_MISSES):
        unknown = "".join(chr(2000 + i) for i in range(misses))
        predicted = predictions(known + known.upper() + known + unknown)[0]
        assert predicted == ("" if misses == MAX_MISSES else known.upper()[misses])


def test_a_longer_match_replaces_an_unreliable_one() -> None:
    a, b = "the cat sat on the mat", "the dog sat on the mat"
    assert predictions(f"{a}A{b}B{a}")[SHORTEST] == "A"


def test_rows_share_the_history() -> None:
    assert (read("abcdefgh", R=2).predicted == NONE).all()
    assert (read("abcdefghXabcdefgh", R=2).predicted[:, SHORTEST] == ord("X")).all()


def test_a_row_that_reads_nothing_keeps_its_match() -> None:
    made = reserve_steps(read("abcdefghXabcdefgh"), 1)
    found = (made.pointers, made.lengths, made.misses, made.predicted)
    before = np.stack(found)
    module.read_symbols(made, np.zeros(1, np.int64), np.zeros(1, np.bool_))
    np.testing.assert_array_equal(np.stack(found), before)


def test_old_characters_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CODED", 64)
    text = "".join(chr(97 + i) for i in np.random.default_rng(1).integers(0, 2, 500))
    made = read(text, R=2)
    assert len(made.history) == 64
    assert (made.predicted >= 0).any()


def test_room_grows_with_what_is_read() -> None:
    text = "abcdefgh" * 90
    small, whole = read(text), reserve_steps(make_matches(1, ROOM), len(text))
    for x in codes(text):
        module.read_symbols(whole, np.array([x]), np.ones(1, np.bool_))
    assert len(small.history) < ROOM
    np.testing.assert_array_equal(small.pointers, whole.pointers)
    assert len(reserve_steps(small, 1 << 40).history) == ROOM
