"""The compression modes: what predicts the symbols of a file. `MODES` is the registry of all of them.

The header of a file contains the mode's code. The command line, the Python API and the help follow from the registry.
A mode is added by an entry here, and by what `elman.compression.predictor` builds for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from elman.errors import ElmanError, option, shorten

ModeName = Literal["static", "mixture", "bitwise"]

DEFAULT_MODE: ModeName = "mixture"
BUILTIN_MODE: ModeName = "bitwise"
"""The default of the command line with the built-in model: it is the best one for short files, too."""

MIN_SUBSTREAM_SIZE = 1 << 12
"""Minimum tokens of a substream when a text has several, since each starts without any context."""
MAX_SUBSTREAMS = 32
WEIGHTS_PER_SUBSTREAM = 1 << 21
"""Weights of the network for each further substream in bitwise mode, which takes more time than a smaller network."""


@dataclass(frozen=True)
class CodecMode:
    """A compression mode.

    Parameters
    ----------
    name : str
        The value of ``--mode``.
    code : int
        Its number in the header of a file, see `elman.compression.container`.
    help : str
        What it does, as in the middle of a sentence.
    mixes : bool
        Whether a mixture of predictors learns from what is coded, see `elman.compression.mixing`. The blocks of a file
        are then coded in sequence, and else independently on all cores.
    is_bitwise : bool
        Whether symbols are coded as bits, see `elman.compression.bitwise`.
    """

    name: ModeName
    code: int
    help: str
    mixes: bool
    is_bitwise: bool

    def count_substreams(self, N: int, weights: int) -> int:
        """Return the number of substreams of a text of N tokens, or of a block if blocks are independent.

        Parameters
        ----------
        N : int
        weights : int
            Number of weights of the network.
        """
        R = min(max(1, N // MIN_SUBSTREAM_SIZE), MAX_SUBSTREAMS)
        return min(R, 1 + weights // WEIGHTS_PER_SUBSTREAM) if self.is_bitwise else R


MODES: dict[ModeName, CodecMode] = {
    mode.name: mode
    for mode in (
        CodecMode("static", 1, "uses the model as it is, the fastest", mixes=False, is_bitwise=False),
        CodecMode("mixture", 2, "also learns counts, repeats and weights as it codes", mixes=True, is_bitwise=False),
        CodecMode("bitwise", 3, "adds bitwise context mixing, the smallest and slowest", mixes=True, is_bitwise=True),
    )
}
"""Every mode by its name."""


def find_mode(name: ModeName) -> CodecMode:
    """Return the mode of a name."""
    if name not in MODES:
        raise ElmanError(f"{option.mode} must be one of {', '.join(MODES)} (got {shorten(name)})")
    return MODES[name]


def mode_help() -> str:
    """Return the help of ``--mode``."""
    modes = "; ".join(f"{mode.name} {mode.help}" for mode in MODES.values())
    return f"{modes}. By default {DEFAULT_MODE}, and {BUILTIN_MODE} with the built-in model."
