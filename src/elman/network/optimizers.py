"""The registry of the optimizers. Imports no NumPy, so that the command line can list them at once.

Their equations are in `elman.network.optimizer`.
"""

from __future__ import annotations

from dataclasses import dataclass

from elman.errors import ElmanError, option, quote


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer."""

    name: str  # the value of ``--optimizer``, stored in every run
    step: str  # the name of its step, by which each engine has a function or a kernel
    moments: str  # M, N or both
    default_rate: float  # learning rate for one sequence per update, as in the preset reference
    recipe_rate: float | None = None  # in the recipes of the presets; None if it is Adam's, which depends on the budget
    beta1: float = 0.9
    beta2: float = 0.999
    hidden_step: str = ""  # the step of hidden matrices, if it is another
    decoupled: bool = False  # whether its weight decay is (4) in `elman.network.optimizer`
    engines: tuple[str, ...] = ("numpy", "numba", "torch")

    def step_of(self, is_hidden: bool) -> str:
        """Return the step of a parameter, which may be a hidden matrix."""
        return self.hidden_step if is_hidden and self.hidden_step else self.step

    def defaults(self) -> dict[str, float]:
        """Return the settings that belong to this optimizer: another one's are not taken over."""
        return {"learning_rate": self.default_rate, "beta1": self.beta1, "beta2": self.beta2}

    def require_engine(self, engine: str) -> None:
        """Check that an engine has this optimizer; raise an `ElmanError` if it does not."""
        if engine not in self.engines:
            unsupported = f"optimizer {self.name!r} is not supported by the {engine} engine"
            raise ElmanError(f"{unsupported}; use {option.engine:{self.engines[0]}}")


OPTIMIZERS: dict[str, OptimizerSpec] = {
    spec.name: spec
    for spec in (
        OptimizerSpec("adagrad", step="adagrad", moments="M", default_rate=0.1, recipe_rate=0.1),
        OptimizerSpec("rmsprop", step="rmsprop", moments="M", default_rate=0.001),
        OptimizerSpec("adam", step="adam", moments="MN", default_rate=0.002),
        OptimizerSpec("adamw", step="adam", moments="MN", default_rate=0.002, decoupled=True),
        OptimizerSpec("sgd", step="sgd", moments="N", default_rate=0.0003, recipe_rate=0.1),
        OptimizerSpec("muon", step="adam", moments="MN", default_rate=0.003, hidden_step="muon", decoupled=True),
    )
}
"""Optimizers by name."""

OPTIMIZER_TITLES = {
    "adagrad": "AdaGrad", "rmsprop": "RMSProp", "adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "muon": "Muon",
}  # fmt: skip
"""How texts for people call them."""


def optimizer_names() -> tuple[str, ...]:
    """Return the names of all optimizers."""
    return tuple(OPTIMIZERS)


def find_optimizer(name: str) -> OptimizerSpec:
    """Return an optimizer; raise an `ElmanError` if there is none of that name."""
    if name not in OPTIMIZERS:
        raise ElmanError(f"unknown optimizer {quote(name)}; choose from {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]
