"""The names of the cells, formats and optimizers that have what a test is about; others use the registry itself."""

from elman.formats import FORMATS, arpa
from elman.network.cells import CELLS
from elman.network.optimizers import OPTIMIZERS

CELL_NAMES = ", ".join(CELLS)
"""The names of all cells, as errors list them."""
COMPILED_CELLS = [name for name, spec in CELLS.items() if spec.compiled]
EXACT_CELLS = [name for name, spec in CELLS.items() if spec.exact]
IMPORTED_FORMATS = [name for name, each in FORMATS.items() if each.read and each is not arpa]
"""Those of a network."""
EXPORTED_CELLS = [name for name, spec in CELLS.items() if spec.torch and spec.onnx]
COMPILED_OPTIMIZERS = [name for name, spec in OPTIMIZERS.items() if "numba" in spec.engines]
GATED_CELLS = [name for name in COMPILED_CELLS if CELLS[name].is_gated]
