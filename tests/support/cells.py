"""The names of the cells, formats and optimizers that have what a test is about; others use the registry itself."""

from elman.engine_registry import ENGINES
from elman.formats import FORMATS
from elman.network.cells import CELLS
from elman.network.optimizers import OPTIMIZERS

CELL_NAMES = ", ".join(CELLS)
"""The names of all cells, as errors list them."""
COMPILED_CELLS = [name for name in CELLS if ENGINES["numba"].has_cell(name)]
IMPORTED_FORMATS = [name for name, each in FORMATS.items() if each.read and name != "arpa"]
"""Those of a network."""
EXPORTED_CELLS = [name for name in CELLS if all(name in (FORMATS[to].cells or CELLS) for to in IMPORTED_FORMATS)]
COMPILED_OPTIMIZERS = [name for name, spec in OPTIMIZERS.items() if ENGINES["numba"].has_steps(spec.step_names)]
