"""What every module needs to know of a cell. Imports no NumPy, so that the command line can list the cells at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from elman.engines import ENGINES
from elman.errors import ElmanError, option

if TYPE_CHECKING:
    from elman.network.ops import Array, Arrays, Input


class Cell(Protocol):
    """The interface of a cell's module: one layer, forward and backward."""

    def forward(self, parameters: Arrays, state0: Array, x: Input, /) -> Array:
        """Return the states (T + 1, …) of a window; h is the first m components of each."""
        ...

    def backward(self, parameters: Arrays, x: Input, states: Array, dh_out: Array, /) -> tuple[Arrays, Array, Array]:
        """Return the parameters' gradients, that of the initial state, and dL/d of U x_t."""
        ...


class StateVector(NamedTuple):
    """One vector (m,) of the state of a layer."""

    symbol: str
    """Its symbol in the equations."""
    name: str
    part: str
    """Its name in JSON."""
    bounded: bool
    """Whether its components lie in [-1, 1]."""


HIDDEN_STATE = StateVector("h", "hidden state", "hidden", bounded=True)
CELL_STATE = StateVector("s", "cell state", "memory", bounded=False)


class OnnxOperator(NamedTuple):
    """The ONNX operator that computes a cell."""

    name: str
    gates: tuple[str, ...]
    """The cell's gates in the order of the operator."""
    attributes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class CellSpec:
    """A recurrent cell.

    Parameters
    ----------
    name : str
        The value of ``--cell``, stored in every run and exported file.
    title : str
        Its name for people, as in the middle of a sentence.
    gates : tuple of str
        Names of its gates, each a block of m rows of U, W and b, in this order.
    module : str
        The module with its `Cell.forward` and `Cell.backward` in NumPy, imported on first use.
    state : tuple of StateVector
        The vectors of the state of a layer; the first is h, the output.
    extra_biases : tuple of str
        Names, one letter each, of biases (m,) besides b.
    has_W : bool
        Whether its gates read the previous state by a recurrent matrix W.
    forget_gate : int or None
        Which gate has an initial bias of 1.
    compiled : bool
        Whether the engine ``numba`` has it, see `elman.engine.numba.batched.kernels`.
    exact : bool
        Whether the codec has it, see `elman.compression.network`.
    torch : str or None
        The PyTorch module with the same equations and order of gates. A bias ``d`` is the last block of its recurrent
        bias.
    onnx : OnnxOperator or None
        The ONNX operator with the same equations; for ``d`` likewise.
    page : bool
        Whether the network of a page has it, see ``page/network.js`` in `elman.web`.
    """

    name: str
    title: str
    gates: tuple[str, ...]
    module: str
    state: tuple[StateVector, ...] = (HIDDEN_STATE,)
    extra_biases: tuple[str, ...] = ()
    has_W: bool = True
    forget_gate: int | None = None
    compiled: bool = False
    exact: bool = False
    torch: str | None = None
    onnx: OnnxOperator | None = None
    page: bool = False

    @property
    def functions(self) -> Cell:
        """The functions of `module`."""
        return _import_cell(self.module)

    @property
    def is_gated(self) -> bool:
        """Whether gates multiply its state, so that a closed gate can hold a unit at 0."""
        return len(self.gates) > 1

    def require_engine(self, engine: str) -> None:
        """Check that an engine has this cell.

        Raises
        ------
        ElmanError
            If it does not.
        """
        if not all(getattr(self, field) for field in ENGINES[engine].cells):
            raise ElmanError(f"cell {self.name!r} is not supported by the {engine} engine; use {option.engine:numpy}")

    def require_codec(self) -> None:
        """Check that the codec has this cell.

        Raises
        ------
        ElmanError
            If it does not.
        """
        if not self.exact:
            raise ElmanError(f"files cannot be compressed with cell {self.name!r}")

    def require_export(self, target: str) -> None:
        """Check that a model with this cell can be exported to ``onnx``, ``torch`` or ``page``.

        Raises
        ------
        ElmanError
            If it cannot.
        """
        if not getattr(self, target):
            raise ElmanError(f"a model with cell {self.name!r} cannot be exported to {target}; export to npz")


@cache  # a model reads it in every step, and Ctrl-C during an import ends the program
def _import_cell(module: str) -> Cell:
    return cast("Cell", import_module(module))
