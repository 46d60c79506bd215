"""The compression modes: what predicts the symbols of a file. `MODES` is the registry of all of them.

The header of a file contains the mode's code. The command line, the Python API and the help follow from the registry.
A mode is added by an entry here, and by what `elman.compression.predictor` builds for it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from elman.errors import ElmanError, option, shorten

ModeName = Literal["static", "mixture"]

DEFAULT_MODE: ModeName = "mixture"


class CodecMode(NamedTuple):
    """A compression mode.

    `mixes` is whether a mixture of predictors learns from what is coded, see `elman.compression.mixing`. The blocks of
    a file are then coded in sequence, and otherwise independently on all cores.
    """

    code: int  # in the header of a file, see `elman.compression.container`
    help: str  # what it does, as in the middle of a sentence
    mixes: bool


MODES: dict[ModeName, CodecMode] = {
    "static": CodecMode(1, "uses the model as it is, the fastest", mixes=False),
    "mixture": CodecMode(2, "also learns counts, repeats and weights as it codes, the smallest", mixes=True),
}


def find_mode(name: ModeName) -> CodecMode:
    """Return the mode of a name, or raise an `ElmanError`."""
    if name not in MODES:
        raise ElmanError(f"{option.mode} must be one of {', '.join(MODES)} (got {shorten(name)})")
    return MODES[name]


def mode_help() -> str:
    """Return the help of ``--mode``."""
    return f"{'; '.join(f'{name} {mode.help}' for name, mode in MODES.items())}. By default {DEFAULT_MODE}."
