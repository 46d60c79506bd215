"""The recurrent cells, one module per cell, each with the derivation of its backward pass."""
