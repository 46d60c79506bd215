"""The optimizers: the step of each, and the registry. Imports no NumPy: the command line lists them at once.

theta      one parameter array                 n          number of the update, from 1
g          its gradient, clipped by norm       g_n        g, clipped by value in that mode
M, N       second and first moment             eta        learning rate of this update

A step changes M and N of one array in place, which are empty if the optimizer has none. It returns the term that eta
multiplies, as numerator and denominator: theta <- theta - eta numerator / denominator. Apart from AdaGrad's two
differences, the steps are as in PyTorch. `elman.network.optimizer` contains their common equations, (1) to (4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elman.errors import ElmanError, quote

if TYPE_CHECKING:
    from elman.network.ops import Array
    from elman.network.optimizer import Optimizer

    Quotient = tuple[Array, Array | float]
    Step = Callable[..., Quotient]

EPSILON = 1e-8


def adagrad(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> Quotient:
    """AdaGrad (Duchi, Hazan and Singer, 2011), as in the reference experiment.

    The sum uses the gradient before clipping by value, and epsilon is inside the square root::

        M <- M + g^2          theta <- theta - eta g_n / sqrt(M + 1e-8)
    """
    M += g**2
    return g_n, (M + EPSILON) ** 0.5


def rmsprop(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> Quotient:
    """RMSprop (Hinton, lecture 6e, 2012)::

    M <- beta_2 M + (1 - beta_2) g_n^2          theta <- theta - eta g_n / (sqrt(M) + 1e-8)
    """
    M += (1 - optimizer.beta2) * (g_n**2 - M)
    return g_n, M**0.5 + EPSILON


def adam(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> Quotient:
    """Adam (Kingma and Ba, 2015), and AdamW (Loshchilov and Hutter, 2019) with decoupled weight decay::

    N <- beta_1 N + (1 - beta_1) g_n
    M <- beta_2 M + (1 - beta_2) g_n^2
    theta <- theta - eta N / (1 - beta_1^n) / (sqrt(M / (1 - beta_2^n)) + 1e-8)
    """
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    M += (1 - beta2) * (g_n**2 - M)
    N += (1 - beta1) * (g_n - N)
    return N / (1 - beta1**n), (M / (1 - beta2**n)) ** 0.5 + EPSILON


def sgd(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> Quotient:
    """SGD with momentum::

    N <- beta_1 N + g_n          theta <- theta - eta N
    """
    N *= optimizer.beta1
    N += g_n
    return N, 1.0


def muon(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> Quotient:
    """Muon (Jordan and others, 2024): the momentum of a hidden matrix, made orthogonal, see `network.optimizer`."""
    from elman.network.optimizer import muon_step  # imports NumPy

    return muon_step(N, g_n), 1.0


Recipe = Mapping[str, Any]
"""The settings of a preset for a text; its learning rate is Adam's."""


def _rate_of_muon(recipe: Recipe) -> float:
    """Return a rate fitted to sweeps over layers, hidden units and batch size: ``benchmarks/NOTES.md``."""
    rate = 0.03 * math.sqrt(2 / max(recipe["layers"], 2)) * min(1, (256 / recipe["hidden_size"]) ** 1.7)
    return float(f"{rate * (recipe['batch_size'] / 64) ** 0.25:.2g}")


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer."""

    name: str  # the value of ``--optimizer``, stored in every run
    title: str  # its name in texts for people
    step: Step  # its name selects the step in the table of each engine, see `elman.engine_registry`
    moments: str  # M, N or both
    default_rate: float  # learning rate for one sequence per update, as in the preset reference
    recipe_rate: Callable[[Recipe], float] = lambda recipe: float(recipe["learning_rate"])  # in the budget presets
    beta1: float = 0.9
    beta2: float = 0.999
    beta1_help: str = ""  # what beta1 is, for ``--help``; empty if the optimizer does not use it
    beta2_help: str = ""
    hidden_step: Step | None = None  # the step of hidden matrices, if it is different
    decoupled: bool = False  # whether its weight decay is (4) in `elman.network.optimizer`
    decays_weights: bool = False  # whether the budget presets regularize by weight decay instead of dropout

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of its steps, which an engine must have."""
        return tuple(step.__name__ for step in (self.step, self.hidden_step) if step)

    def step_of(self, is_hidden: bool) -> Step:
        """Return the step of a parameter, which may be a hidden matrix."""
        return self.hidden_step if is_hidden and self.hidden_step else self.step

    def defaults(self) -> dict[str, float]:
        """Return the settings that belong to this optimizer; the settings of another one are not kept."""
        return {"learning_rate": self.default_rate, "beta1": self.beta1, "beta2": self.beta2}


_AVERAGE, _SQUARES = "decay of the average of gradients", "decay of the average of squared gradients"

OPTIMIZERS: dict[str, OptimizerSpec] = {
    spec.name: spec
    for spec in (
        OptimizerSpec("adagrad", "AdaGrad", adagrad, "M", default_rate=0.1, recipe_rate=lambda _: 0.1),
        OptimizerSpec("rmsprop", "RMSProp", rmsprop, "M", default_rate=0.001, beta2_help=_SQUARES),
        OptimizerSpec("adam", "Adam", adam, "MN", default_rate=0.002, beta1_help=_AVERAGE, beta2_help=_SQUARES),
        OptimizerSpec(
            "adamw", "AdamW", adam, "MN", default_rate=0.002, beta1_help=_AVERAGE, beta2_help=_SQUARES, decoupled=True
        ),
        OptimizerSpec(
            "sgd", "SGD", sgd, "N", default_rate=0.0003, recipe_rate=lambda _: 0.1, beta1_help="momentum"
        ),
        OptimizerSpec(
            "muon", "Muon", adam, "MN", default_rate=0.003, recipe_rate=_rate_of_muon, beta1_help=_AVERAGE,
            beta2_help=_SQUARES, hidden_step=muon, decoupled=True, decays_weights=True,
        ),
    )
}  # fmt: skip
"""Optimizers by name."""


def find_optimizer(name: str) -> OptimizerSpec:
    """Return an optimizer; raise an `ElmanError` if there is none of that name."""
    if name not in OPTIMIZERS:
        raise ElmanError(f"unknown optimizer {quote(name)}; choose from {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]


# --- The help of the settings that depend on the optimizer ---


def learning_rate_help() -> str:
    """Return the help of ``--learning-rate``: what it is, and the default of each optimizer."""
    rates = ", ".join(f"{name} {spec.default_rate:g}" for name, spec in OPTIMIZERS.items())
    return f"Learning rate; with warm-up or a schedule, its peak. Each optimizer has its own default ({rates})."


def beta_help(field: str) -> str:
    """Return the help of ``--beta1`` or ``--beta2``: what it is in each optimizer, and defaults that differ."""
    phrases, defaults = dict[str, list[str]](), list[str]()
    for name, spec in OPTIMIZERS.items():
        if phrase := getattr(spec, f"{field}_help"):
            phrases.setdefault(phrase, []).append(name)
            if (default := getattr(spec, field)) != getattr(OptimizerSpec, field):
                defaults.append(f" By default {default:g} in {name}.")
    text = "; ".join(f"{phrase} ({', '.join(names)})" for phrase, names in phrases.items())
    return f"{text[:1].upper()}{text[1:]}.{''.join(defaults)}"


def weight_decay_help() -> str:
    """Return the help of ``--weight-decay``: in which optimizers it is decoupled."""
    decoupled = " and ".join(name for name, spec in OPTIMIZERS.items() if spec.decoupled)
    return f"Weight decay of the weight matrices: decoupled in {decoupled}, otherwise an L2 penalty."
