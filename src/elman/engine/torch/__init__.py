"""The engine ``torch``: training with PyTorch, on a CPU or a GPU, in one process or in several."""
