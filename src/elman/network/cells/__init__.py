"""The recurrent cells: one module with the equations and the entry of each, and the registry, which imports them.

Imports no NumPy, so that the command line can list the cells at once. Engines and formats declare their own part of a
cell, see `elman.engine_registry` and `elman.formats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from elman.errors import join_alternatives
from elman.plugins import Registry

if TYPE_CHECKING:
    from elman.network.ops import Array, Arrays, Input


class Cell(Protocol):
    """The interface of a cell's module: one layer, forward and backward."""

    def forward(self, parameters: Arrays, state0: Array, x: Input, /) -> Array:
        """Return the states (T + 1, …) of a window; h is the first m components of each."""
        ...

    def backward(self, parameters: Arrays, x: Input, states: Array, dh_out: Array, /) -> tuple[Arrays, Array, Array]:
        """Return the gradients of the parameters and of the initial state, and dL/d of U x_t."""
        ...


class StateVector(NamedTuple):
    """One vector (m,) of a layer's state."""

    symbol: str
    """Its symbol in the equations."""
    name: str
    part: str
    """Its name in JSON."""
    bounded: bool
    """Whether its components lie in [-1, 1]."""


HIDDEN_STATE = StateVector("h", "hidden state", "hidden", bounded=True)
CELL_STATE = StateVector("s", "cell state", "memory", bounded=False)


@dataclass(frozen=True)
class CellSpec:
    """A recurrent cell."""

    name: str  # the value of ``--cell``, stored in every run and exported file
    title: str  # for people, as in the middle of a sentence
    label: str  # of its equations in the pages that derive them: **GRU (1) to (3).**
    gates: tuple[str, ...]  # each a block of m rows of U, W and b, in this order
    module: str  # contains its `Cell.forward` and `Cell.backward` in NumPy
    state: tuple[StateVector, ...] = (HIDDEN_STATE,)  # of a layer; the first is h, the output
    extra_biases: tuple[str, ...] = ()  # names, one letter each, of biases (m,) besides b
    has_W: bool = True  # whether its gates read the previous state by a recurrent matrix W
    keep_gate: int | None = None  # the gate that keeps the state when it is open: its bias begins at 1

    @property
    def functions(self) -> Cell:
        """The functions in `module`."""
        return _import_cell(self.module)

    @property
    def is_gated(self) -> bool:
        """Whether gates multiply its state, so that a closed gate can hold a unit at 0."""
        return len(self.gates) > 1


@cache  # a model reads it in every step, and Ctrl-C during an import ends the program
def _import_cell(module: str) -> Cell:
    return cast("Cell", import_module(module))


CELLS = Registry[CellSpec](
    "elman.cells", {each.name: f"{__name__}.{each.name}:SPEC" for each in iter_modules(__path__)}
)
"""Cells by name; the entry of each is in the module of that name in this package."""


def cell_help() -> str:
    """Return the help of ``--cell``."""
    return f"Recurrent cell: {join_alternatives([*CELLS])}."
