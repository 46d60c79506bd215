"""The general path: any cell, number of layers, batch size and optimizer, on packed matrices."""
