"""The ``numba`` engine: the mathematics of `elman.network`, compiled for the processor at hand."""

from elman.engine.numba.engine import NumbaEngine as NumbaEngine
