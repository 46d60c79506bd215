"""The recurrent cells, one module per cell."""
