"""Engines by name. An engine is imported when it is first used."""

from __future__ import annotations

from elman.engine.protocol import Engine
from elman.errors import ElmanError, quote

ENGINES = ("numba", "numpy")


def get_engine(name: str) -> Engine:
    """Return the engine `name`, one of `ENGINES`, importing it.

    Raises
    ------
    ElmanError
        If there is no such engine.
    """
    if name == "numba":
        from elman.engine.numba import NumbaEngine

        return NumbaEngine()
    if name == "numpy":
        from elman.engine.numpy_engine import NumpyEngine

        return NumpyEngine()
    raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
