"""The compiled cells: what is computed element by element, one module per cell."""
