"""Engines carry out the mathematics of `elman.network`.

``numpy`` runs it as written and is the reference; ``numba`` computes the same numbers with compiled code. The
conformance test in `elman.testing` compares any engine with the reference.
"""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
