"""Any cell, number of layers and batch size: kernels over packed matrices."""
