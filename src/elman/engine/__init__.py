"""How the mathematics is carried out.

``numpy`` is `elman.network` as written, ``numba`` the same numbers compiled. `elman.testing` holds the second to
the first.
"""

from elman.engine.callbacks import LOOK_EVERY as LOOK_EVERY
from elman.engine.protocol import Engine as Engine
from elman.engine.protocol import Reader as Reader
from elman.engine.registry import ENGINES as ENGINES
from elman.engine.registry import get_engine as get_engine
from elman.engine.state import State as State
