"""The recurrent cells: one module with the equations of each, and the registry that every other module consults."""

from __future__ import annotations

from elman.network.cells.spec import CELL_STATE, HIDDEN_STATE, CellSpec, OnnxOperator

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

_GRU = CellSpec(
    name="gru",
    title="GRU",
    gates=("r", "z", "n"),
    module="elman.network.cells.gru",
    extra_biases=("d",),
    compiled=True,
    exact=True,
    torch="GRU",
    onnx=OnnxOperator("GRU", ("z", "r", "n"), (("linear_before_reset", 1),)),  # n is called h there
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
    onnx=OnnxOperator("LSTM", ("i", "o", "f", "g")),  # g is called c there
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
