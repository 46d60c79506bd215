"""The recurrent cells: one module with the equations of each, and the registry that every other module consults.

Imports no NumPy, so that the command line can list the cells at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from elman.engine_registry import ENGINES
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


_LACKS = {"compiled": "compiled kernels", "torch": "module of PyTorch"}
"""What a cell lacks for an engine, by the field that is not set."""


@dataclass(frozen=True)
class CellSpec:
    """A recurrent cell."""

    name: str  # the value of ``--cell``, stored in every run and exported file
    title: str  # for people, as in the middle of a sentence
    gates: tuple[str, ...]  # each a block of m rows of U, W and b, in this order
    module: str  # with its `Cell.forward` and `Cell.backward` in NumPy, imported on first use
    state: tuple[StateVector, ...] = (HIDDEN_STATE,)  # of a layer; the first is h, the output
    extra_biases: tuple[str, ...] = ()  # names, one letter each, of biases (m,) besides b
    has_W: bool = True  # whether its gates read the previous state by a recurrent matrix W
    forget_gate: int | None = None  # has an initial bias of 1
    compiled: bool = False  # whether `elman.engine.numba.batched.cells` has it, for which it must have W
    exact: bool = False  # whether the codec has it, see `elman.apps.compress.exact_network`
    torch: str | None = None  # PyTorch's module with the same equations and order of gates; d is in its recurrent bias
    onnx: OnnxOperator | None = None  # with the same equations
    page: bool = False  # whether the network of a page has it, see ``page/network.js`` in `elman.web`

    @property
    def functions(self) -> Cell:
        """The functions of `module`."""
        return _import_cell(self.module)

    @property
    def is_gated(self) -> bool:
        """Whether gates multiply its state, so that a closed gate can hold a unit at 0."""
        return len(self.gates) > 1

    def require_engine(self, engine: str) -> None:
        """Check that an engine has this cell; raise an `ElmanError` if it does not."""
        needed = ENGINES[engine].cells
        missing = [lack for field, lack in _LACKS.items() if field in needed and not getattr(self, field)]
        if "compiled" in needed and not self.has_W:
            missing = ["recurrent matrix"]
        if missing:
            unsupported = f"cell {self.name!r} is not supported by the {engine} engine, as it has no {missing[0]}"
            raise ElmanError(f"{unsupported}; use {option.engine:numpy}")

    def require_codec(self) -> None:
        """Check that the codec has this cell; raise an `ElmanError` if it does not."""
        if not self.exact:
            raise ElmanError(f"files cannot be compressed with cell {self.name!r}")

    def require_export(self, target: str) -> None:
        """Check that a model with this cell can be exported to ``onnx``, ``torch`` or ``page``; else raise an error."""
        if not getattr(self, target):
            raise ElmanError(f"a model with cell {self.name!r} cannot be exported to {target}; export to npz")


@cache  # a model reads it in every step, and Ctrl-C during an import ends the program
def _import_cell(module: str) -> Cell:
    return cast("Cell", import_module(module))


_RNN = CellSpec(
    name="rnn",
    title="vanilla RNN",
    gates=("n",),
    module="elman.network.cells.rnn",
    compiled=True,
    exact=True,
    torch="RNN",
    onnx=OnnxOperator("RNN", ("n",)),
    page=True,
)

# In ONNX, n of a GRU is called h, and g of an LSTM c.
_GRU = CellSpec(
    name="gru",
    title="GRU",
    gates=("r", "z", "n"),
    module="elman.network.cells.gru",
    extra_biases=("d",),
    compiled=True,
    exact=True,
    torch="GRU",
    onnx=OnnxOperator("GRU", ("z", "r", "n"), (("linear_before_reset", 1),)),
    page=True,
)

_LSTM = CellSpec(
    name="lstm",
    title="LSTM",
    gates=("i", "f", "g", "o"),
    module="elman.network.cells.lstm",
    state=(HIDDEN_STATE, CELL_STATE),
    forget_gate=1,
    compiled=True,
    exact=True,
    torch="LSTM",
    onnx=OnnxOperator("LSTM", ("i", "o", "f", "g")),
    page=True,
)

CELLS: dict[str, CellSpec] = {spec.name: spec for spec in (_RNN, _GRU, _LSTM)}
"""Cells by name."""


def cell_names() -> tuple[str, ...]:
    """Return the names of all cells."""
    return tuple(CELLS)


def cell_help() -> str:
    """Return the help of ``--cell``: every name, with its title unless that is the name in capitals."""
    names = [name if spec.title.lower() == name else f"{name} ({spec.title})" for name, spec in CELLS.items()]
    return f"Recurrent cell: {', '.join(names[:-1])} or {names[-1]}."
