"""How the compiled engine stores a cell. A block is the m elements of one gate, padded."""

from typing import NamedTuple


class CellBlocks(NamedTuple):
    """The code of a cell, and the blocks of its rows of gates.

    The kernels add the input product U x + b to the first blocks of a row and the recurrent product W h to the last
    ones, before the cell's elementwise function. A cell whose gates multiply h before that product cannot be compiled.
    """

    code: int
    """Distinguishes the cells in the kernels."""
    input_gates: tuple[int, ...]
    """The gates of U and b in the order of the first blocks."""
    recurrent_blocks: int
    blocks: int
    state_vectors: int = 1
    has_recurrent_bias: bool = False
    """Whether there is a bias d, whose gradient is the sum of the last block."""
