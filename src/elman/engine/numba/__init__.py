"""The compiled engine."""

from elman.engine.numba.engine import NumbaEngine as NumbaEngine
