"""The names of the cells and formats that have what a test is about; tests of every cell use the registry itself."""

from elman.interop import FORMATS
from elman.network.cells import CELLS

CELL_NAMES = ", ".join(CELLS)
"""The names of all cells, as errors list them."""
COMPILED_CELLS = [name for name, spec in CELLS.items() if spec.compiled]
EXACT_CELLS = [name for name, spec in CELLS.items() if spec.exact]
IMPORTED_FORMATS = [name for name, each in FORMATS.items() if each.read]
EXPORTED_CELLS = [name for name, spec in CELLS.items() if spec.torch and spec.onnx]
GATED_CELLS = [name for name in COMPILED_CELLS if CELLS[name].is_gated]
