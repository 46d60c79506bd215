"""The registry of the engines. Imports none of them, so that the command line can list them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pkgutil import resolve_name

from elman.errors import ElmanError, option
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
    cells: str = ""  # likewise, a table whose keys are the cells that it has; empty if it has all
    steps: str = ""  # likewise, the names of the steps of optimizers
    lacks: tuple[str, ...] = ()  # of "layers", "prior" and "lines"
    extra: str = ""  # of the package, which it requires; empty if it is always installed
    requires_numba: bool = False
    options: tuple[str, ...] = ()  # the settings that the class is constructed with

    @property
    def has_devices(self) -> bool:
        """Whether it can be told the device to compute on."""
        return "device" in self.options

    @property
    def is_always_installed(self) -> bool:
        """Whether this installation certainly has it."""
        return not self.extra and (NUMBA_INSTALLED or not self.requires_numba)

    def has_cell(self, cell: str) -> bool:
        """Return whether it has a cell; imports its table."""
        return not self.cells or cell in resolve_name(self.cells)

    def has_steps(self, steps: Iterable[str]) -> bool:
        """Return whether it has all these steps of optimizers; imports its table."""
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
    """Return the help of ``--engine``: every name and what it is."""
    parts = [f"{spec.name} ({spec.help})" for spec in ENGINES.values()]
    return f"Engine: {', '.join(parts[:-1])} or {parts[-1]}."


def inference_engine(name: str, cell: str) -> str:
    """Return the engine for using a model that the engine `name` trained: one that this installation has."""
    if ENGINES[name].is_always_installed and not ENGINES[name].requires_numba:
        return name
    return DEFAULT_ENGINE if ENGINES[DEFAULT_ENGINE].has_cell(cell) else "numpy"


def require_numba(name: str) -> None:
    """Check that Numba is installed, if the engine `name` requires it; nothing is imported."""
    if ENGINES[name].requires_numba and not NUMBA_INSTALLED:
        raise ElmanError(
            f"{option.engine:{name}} requires Numba, which is not installed: install it, or use {option.engine:numpy}"
        )


def require_cell(engine: str, cell: str) -> None:
    """Check that an engine has a cell; raise an `ElmanError` if it does not."""
    _require(engine, f"cell {cell!r}", lambda spec: spec.has_cell(cell))


def require_steps(engine: str, optimizer: str, steps: Iterable[str]) -> None:
    """Check that an engine has the steps of an optimizer; raise an `ElmanError` if it does not."""
    _require(engine, f"optimizer {optimizer!r}", lambda spec: spec.has_steps(steps))


def require_feature(engine: str, feature: str, setting: str) -> None:
    """Check that an engine does not lack a feature, which a setting needs; raise an `ElmanError` if it does."""
    _require(engine, setting, lambda spec: feature not in spec.lacks)


def _require(engine: str, name: str, has: Callable[[EngineSpec], bool]) -> None:
    if not has(ENGINES[engine]):
        other = next(spec.name for spec in ENGINES.values() if spec.is_always_installed and has(spec))
        raise ElmanError(f"{name} is not supported by the {engine} engine; use {option.engine:{other}}")
