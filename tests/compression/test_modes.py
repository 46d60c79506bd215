"""The registry of modes."""

from typing import get_args

from elman.compression.container import MEMBERS, STORED
from elman.compression.modes import MODES, ModeName, find_mode, mode_help


def test_names_and_codes_are_unique() -> None:
    codes = [STORED, MEMBERS, *(mode.code for mode in MODES.values())]
    assert len({*codes}) == len(codes)
    assert all(0 <= code < 8 for code in codes)
    assert tuple(MODES) == get_args(ModeName)
    assert all(find_mode(name) is mode and name in mode_help() for name, mode in MODES.items())


def test_a_long_text_has_several_substreams() -> None:
    for mode in MODES.values():
        assert [mode.count_substreams(N, 1 << 30) for N in (0, 8191, 8192, 1 << 30)] == [1, 1, 2, 32]
    sizes = (0, (1 << 21) - 1, 1 << 21)
    assert [MODES["bitwise"].count_substreams(1 << 30, weights) for weights in sizes] == [1, 1, 2]
