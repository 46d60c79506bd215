"""Engines by name. An engine is imported when it is first used."""

from __future__ import annotations

from importlib import import_module

from elman.engine.protocol import Engine
from elman.engines import ENGINES
from elman.errors import ElmanError, quote, require_extra


def get_engine(name: str, device: str = "auto") -> Engine:
    """Return the engine `name`, one of `elman.engines.ENGINES`, importing it.

    Raises
    ------
    ElmanError
        If there is no such engine, or it requires an extra that is not installed or a device that this machine lacks.
    """
    if name not in ENGINES:
        raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
    spec = ENGINES[name]
    module, _, class_name = spec.factory.partition(":")
    with require_extra(spec.extra):
        factory = getattr(import_module(module), class_name)
    engine: Engine = factory(device) if spec.has_devices else factory()
    return engine
