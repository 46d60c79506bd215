"""Engines by name. An engine is imported when it is first used."""

from __future__ import annotations

from importlib import import_module

from elman.engine.protocol import Engine
from elman.engines import ENGINES, NUMBA_INSTALLED
from elman.errors import ElmanError, quote, require_extra


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
