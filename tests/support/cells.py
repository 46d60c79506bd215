"""The names of the cells that have what a test is about; tests of every cell use the registry itself."""

from elman.network.cells import CELLS

COMPILED_CELLS = [name for name, spec in CELLS.items() if spec.compiled]
EXACT_CELLS = [name for name, spec in CELLS.items() if spec.exact]
EXPORTED_CELLS = [name for name, spec in CELLS.items() if spec.torch and spec.onnx]
GATED_CELLS = [name for name in COMPILED_CELLS if CELLS[name].is_gated]
