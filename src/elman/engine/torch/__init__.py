"""The engine ``torch``: training with PyTorch, on a CPU or a GPU, in one process or in several."""

from elman.engine_registry import EngineSpec

SPEC = EngineSpec(
    "torch",
    "PyTorch, for large networks and GPUs",
    "elman.engine.torch.engine:TorchEngine",
    cells="elman.engine.torch.functional:LAYERS",
    steps="elman.engine.torch.functional:STEPS",
    lacks=("lines",),
    extra="torch",
    requires_numba=True,
    options=("device", "mixed_precision"),
)
