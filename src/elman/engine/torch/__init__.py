"""The engine ``torch``: training with PyTorch, on a CPU or a GPU, in one process or in several."""

from elman.engine_registry import EngineSpec

SPEC = EngineSpec(
    "torch",
    "PyTorch, for large networks and GPUs",
    "elman.engine.torch.engine:TorchEngine",
    cells=("compiled", "torch"),
    extra="torch",
    requires_numba=True,
    options=("device", "mixed_precision"),
    has_lines=False,
)
