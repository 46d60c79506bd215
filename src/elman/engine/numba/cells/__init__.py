"""The compiled cells: what is computed per element, one module per cell."""
