"""Linear algebra for the kernels: vectors of the processor, register tiles, packed panels, elementwise functions."""
