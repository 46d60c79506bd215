"""Engines carry out the mathematics of `elman.network`.

``numpy`` runs it as written and is the reference; ``numba`` computes the same numbers with compiled code. The
conformance test in `elman.testing` compares any engine with the reference.
"""

from elman.engine.protocol import CALLBACK_INTERVAL as CALLBACK_INTERVAL
from elman.engine.protocol import Engine as Engine
from elman.engine.protocol import InferenceSession as InferenceSession
from elman.engine.registry import get_engine as get_engine
from elman.engine.state import TrainState as TrainState
