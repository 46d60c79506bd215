"""Engines by name, imported when they are first used, and what a run requires of its engine."""

from __future__ import annotations

from importlib import import_module

from elman.config import Config
from elman.engine.protocol import Engine
from elman.engines import ENGINES, NUMBA_INSTALLED
from elman.errors import ElmanError, quote, require_extra
from elman.network.cells import CELLS
from elman.processes import current_process


def get_engine(name: str, device: str = "auto", mixed_precision: bool = False) -> Engine:
    """Return the engine `name`, one of `elman.engines.ENGINES`, importing it.

    Raises
    ------
    ElmanError
        If there is no such engine, or it requires a library that is not installed or a device that this machine lacks.
    """
    if name not in ENGINES:
        raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
    spec = ENGINES[name]
    require_numba(name)
    module, _, class_name = spec.factory.partition(":")
    with require_extra(spec.extra):
        factory = getattr(import_module(module), class_name)
    engine: Engine = factory(device, mixed_precision) if spec.has_devices else factory()
    return engine


def require_numba(name: str) -> None:
    """Check that Numba is installed, if the engine `name` requires it; nothing is imported.

    Raises
    ------
    ElmanError
        If it is not.
    """
    if ENGINES[name].requires_numba and not NUMBA_INSTALLED:
        raise ElmanError(f"--engine {name} requires Numba, which is not installed: install it, or use --engine numpy")


def require_engine(config: Config) -> None:
    """Check that the engine of a run is installed, has the cell and the device, and can use all processes.

    Raises
    ------
    ElmanError
        If not.
    """
    CELLS[config.cell].require_engine(config.engine)
    require_numba(config.engine)
    process = current_process()
    if process.rank > 0:
        raise ElmanError("torchrun can start elman train, but no program that calls it: torchrun … -m elman train …")
    if process.size > 1 and not ENGINES[config.engine].has_devices:
        raise ElmanError(
            f"torchrun requires --engine torch (got {config.engine}): two machines train such small networks at most"
            " 1.3 times as fast as one; to use several processes, train several networks with elman sweep"
        )
    if process.size > config.batch_size:
        raise ElmanError(
            f"--batch-size must be at least the number of processes, {process.size} (got {config.batch_size})"
        )
    if ENGINES[config.engine].extra:
        get_engine(config.engine, config.device, config.mixed_precision)
