"""The mathematics in NumPy, written to be read: parameters, cells, output layer, dropout, optimizer, sampling."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from elman.network.bptt import loss_and_gradients as loss_and_gradients
    from elman.network.dropout import Dropout as Dropout
    from elman.network.dropout import WeightDropout as WeightDropout
    from elman.network.optimizer import Optimizer as Optimizer
    from elman.network.parameters import Architecture as Architecture
    from elman.network.parameters import LossAndGradients as LossAndGradients
    from elman.network.parameters import Parameters as Parameters
    from elman.network.parameters import initial_parameters as initial_parameters
    from elman.network.sampling import SamplingParams as SamplingParams
    from elman.network.state import State as State

_MODULES = {
    "dropout": ("Dropout", "WeightDropout"),
    "bptt": ("loss_and_gradients",),
    "optimizer": ("Optimizer",),
    "parameters": ("Architecture", "LossAndGradients", "Parameters", "initial_parameters"),
    "sampling": ("SamplingParams",),
    "state": ("State",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the command line reads the names of the cells without importing NumPy."""
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"elman.network.{module}"), name)
    raise AttributeError(f"module 'elman.network' has no attribute {name!r}")
