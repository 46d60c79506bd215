"""The engine of a name, imported when it is first used; whether it can train a run."""

from __future__ import annotations

from importlib import import_module

from elman.config import Config
from elman.engine.processes import current_process
from elman.engine.protocol import Engine
from elman.engine_registry import ENGINES, NUMBA_INSTALLED, require_cell, require_steps
from elman.errors import ElmanError, option, quote, require_extra
from elman.network.optimizers import OPTIMIZERS


def get_engine(name: str, device: str = "auto", mixed_precision: bool = False) -> Engine:
    """Return the engine `name`, one of `elman.engine_registry.ENGINES`, importing it."""
    if name not in ENGINES:
        raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
    spec = ENGINES[name]
    require_numba(name)
    module, _, class_name = spec.factory.partition(":")
    with require_extra(spec.extra):
        factory = getattr(import_module(module), class_name)
    options = {"device": device, "mixed_precision": mixed_precision}
    engine: Engine = factory(**{name: options[name] for name in spec.options})
    return engine


def require_numba(name: str) -> None:
    """Check that Numba is installed, if the engine `name` requires it; nothing is imported."""
    if ENGINES[name].requires_numba and not NUMBA_INSTALLED:
        raise ElmanError(
            f"{option.engine:{name}} requires Numba, which is not installed: install it, or use {option.engine:numpy}"
        )


def require_engine(config: Config) -> None:
    """Check that the engine of a run is installed, has the cell and the device, and can use all processes."""
    require_numba(config.engine)
    process = current_process()
    if process.rank > 0:
        raise ElmanError(
            "torchrun can start elman train only, not a program that calls it: torchrun … -m elman train …"
        )
    if process.size > 1 and not ENGINES[config.engine].has_devices:
        raise ElmanError(
            f"torchrun requires {option.engine:torch} (got {config.engine}): two machines train such small networks at"
            " most 1.3 times as fast as one; to use several processes, train several networks with elman sweep"
        )
    if process.size > config.batch_size:
        raise ElmanError(
            f"{option.batch_size} must be at least the number of processes, {process.size} (got {config.batch_size})"
        )
    with require_extra(ENGINES[config.engine].extra):
        require_cell(config.engine, config.cell)
        require_steps(config.engine, config.optimizer, OPTIMIZERS[config.optimizer].step_names)
    if ENGINES[config.engine].extra:
        get_engine(config.engine, config.device, config.mixed_precision)
