"""The registry of the engines. It imports no engine, so the command line can list them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pkgutil import resolve_name

from elman.errors import ElmanError, option
from elman.plugins import Registry

NUMBA_INSTALLED = find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
"""Numba has no packages for some processors; the package is used without it there, and if its compiler is disabled."""

DEFAULT_ENGINE = "numba" if NUMBA_INSTALLED else "numpy"

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Values of ``--device``; auto is cuda if available, otherwise cpu."""


@dataclass(frozen=True)
class EngineSpec:
    """An engine: an implementation of the mathematics of `elman.network`."""

    name: str  # the value of ``--engine``, stored in every run
    help: str  # description for the help of ``--engine``
    factory: str  # the module and, after a colon, the class, imported on first use
    cells: str = ""  # module and name of a table whose keys are its cells; empty if it has all
    steps: str = ""  # the same for the steps of optimizers
    lacks: tuple[str, ...] = ()  # some of "layers", "prior" and "lines"
    extra: str = ""  # the extra of this package that it requires; empty if none
    requires_numba: bool = False
    options: tuple[str, ...] = ()  # the settings that the class is constructed with

    @property
    def has_devices(self) -> bool:
        """Whether the engine can compute on a device of choice."""
        return "device" in self.options

    @property
    def is_always_installed(self) -> bool:
        """Whether the engine is certainly installed."""
        return not self.extra and (NUMBA_INSTALLED or not self.requires_numba)

    def has_cell(self, cell: str) -> bool:
        """Return whether the engine has a cell; imports the table of cells."""
        return not self.cells or cell in resolve_name(self.cells)

    def has_steps(self, steps: Iterable[str]) -> bool:
        """Return whether the engine has all these steps of optimizers; imports the table of steps."""
        return not self.steps or resolve_name(self.steps).keys() >= {*steps}


_CORE = (
    EngineSpec(
        "numba",
        "compiled, fast",
        "elman.engine.numba.engine:NumbaEngine",
        cells="elman.engine.numba.cells:CELLS",
        steps="elman.engine.numba.optimizer:STEPS",
        requires_numba=True,
        options=("mixed_precision",),
    ),
    EngineSpec("numpy", "the readable reference", "elman.engine.numpy_engine:NumpyEngine"),
)
ENGINES = Registry[EngineSpec]("elman.engines", {spec.name: spec for spec in _CORE})
"""Engines by name."""


def engine_help() -> str:
    """Return the help of ``--engine``: every name and its description."""
    parts = [f"{spec.name} ({spec.help})" for spec in ENGINES.values()]
    return f"Engine: {', '.join(parts[:-1])} or {parts[-1]}."


def inference_engine(name: str, cell: str) -> str:
    """Return an installed engine for using a model that the engine `name` trained."""
    if ENGINES[name].is_always_installed and not ENGINES[name].requires_numba:
        return name
    return DEFAULT_ENGINE if ENGINES[DEFAULT_ENGINE].has_cell(cell) else "numpy"


def require_numba(name: str) -> None:
    """Check that Numba is installed, if the engine `name` requires it; nothing is imported."""
    if ENGINES[name].requires_numba and not NUMBA_INSTALLED:
        raise ElmanError(
            f"{option.engine:{name}} requires Numba, which is not installed, or disabled: use {option.engine:numpy}"
        )


def require_cell(engine: str, cell: str) -> None:
    """Check that an engine has a cell; raise an `ElmanError` if it does not."""
    _require(engine, f"cell {cell!r}", lambda spec: spec.has_cell(cell))


def require_steps(engine: str, optimizer: str, steps: Iterable[str]) -> None:
    """Check that an engine has the steps of an optimizer; raise an `ElmanError` if it does not."""
    _require(engine, f"optimizer {optimizer!r}", lambda spec: spec.has_steps(steps))


def require_feature(engine: str, feature: str, setting: str) -> None:
    """Check that an engine has a feature that a setting needs; raise an `ElmanError` if it does not."""
    _require(engine, setting, lambda spec: feature not in spec.lacks)


def _require(engine: str, name: str, has: Callable[[EngineSpec], bool]) -> None:
    if not has(ENGINES[engine]):
        other = next(spec.name for spec in ENGINES.values() if spec.is_always_installed and has(spec))
        raise ElmanError(f"{name} is not supported by the {engine} engine; use {option.engine:{other}}")
