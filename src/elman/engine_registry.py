"""The registry of the engines. Imports none of them, so that the command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from elman.plugins import Registry

NUMBA_INSTALLED = find_spec("numba") is not None
"""Numba has no packages for some processors; the package is used without it there."""

DEFAULT_ENGINE = "numba" if NUMBA_INSTALLED else "numpy"

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Values of ``--device``; auto is cuda if there is one, or else cpu."""


@dataclass(frozen=True)
class EngineSpec:
    """An engine: an implementation of the mathematics of `elman.network`."""

    name: str  # the value of ``--engine``, stored in every run
    help: str  # what it is, for the help of ``--engine``
    factory: str  # the module and, after a colon, the class, imported on first use
    cells: tuple[str, ...] = ()  # fields of `elman.network.cells.CellSpec` that a cell must have set
    extra: str = ""  # of the package, which it requires; empty if it is always installed
    requires_numba: bool = False
    options: tuple[str, ...] = ()  # the settings that the class is constructed with
    has_lines: bool = True  # whether it can train on independent lines, before each of which the state is reset

    @property
    def has_devices(self) -> bool:
        """Whether it can be told the device to compute on."""
        return "device" in self.options


_CORE = (
    EngineSpec(
        "numba",
        "compiled, fast",
        "elman.engine.numba.engine:NumbaEngine",
        cells=("compiled",),
        requires_numba=True,
        options=("mixed_precision",),
    ),
    EngineSpec("numpy", "the readable reference", "elman.engine.numpy_engine:NumpyEngine"),
)
ENGINES = Registry[EngineSpec]("elman.engines", {spec.name: spec for spec in _CORE})
"""Engines by name."""


def engine_help() -> str:
    """Return the help of ``--engine``: every name and what it is."""
    parts = [f"{spec.name} ({spec.help})" for spec in ENGINES.values()]
    return f"Engine: {', '.join(parts[:-1])} or {parts[-1]}."


def inference_engine(name: str) -> str:
    """Return the engine for using a model that the engine `name` trained: one that this installation has."""
    spec = ENGINES[name]
    return DEFAULT_ENGINE if spec.extra or spec.requires_numba else name
