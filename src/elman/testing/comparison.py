"""What a forward and a backward pass of one's own are compared on, and how the result is reported."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError, shorten
from elman.network.bptt import loss_and_gradients
from elman.network.cells import rnn
from elman.network.ops import Array, Arrays
from elman.network.output import softmax
from elman.network.parameters import Architecture, Parameters, initial_parameters
from elman.testing.conformance import relative_error

TOLERANCE = 1e-6
"""Relative error up to which two arrays are the same: right code in float64 differs by 1e-15, wrong code by 1e-3."""


@dataclass(frozen=True)
class GradientComparison:
    """How far a forward and a backward pass are from the reference, and why. ``print`` shows it as a table.

    Examples
    --------
    >>> from elman.testing import GradientComparison
    >>> print(GradientComparison({"h": 1e-15, "loss": 0.2}, ("the loss is the mean over the window, not the sum",)))
    h     1.0e-15
    loss  2.0e-01  wrong
    the loss is the mean over the window, not the sum
    """

    errors: dict[str, float]
    """`relative_error` of the states ``h``, the probabilities ``p``, the ``loss``, and the gradients by name; nan where
    an array is missing or has another shape."""
    findings: tuple[str, ...]
    """What is wrong, most likely; empty if everything agrees."""

    @property
    def passed(self) -> bool:
        """Whether everything agrees with the reference."""
        return not self.findings

    def __str__(self) -> str:
        """Return the errors, one per line, and the findings."""
        wrong = {name: "" if error <= TOLERANCE else "  wrong" for name, error in self.errors.items()}
        lines = [f"{name:<5}{error:8.1e}{wrong[name]}" for name, error in self.errors.items()]
        return "\n".join([*lines, *(self.findings or ["everything agrees with the reference"])])


class Window(NamedTuple):
    """A network, a window of text, and what the reference computes from them."""

    parameters: Parameters
    h0: Array
    x: NDArray[np.intp]
    y: NDArray[np.intp]

    def arrays(self) -> Arrays:
        """Return a copy of the parameters."""
        return {name: array.copy() for name, array in self.parameters.items()}

    def states(self) -> Array:
        """Return h (T + 1, m)."""
        return rnn.forward(self.arrays(), self.h0, self.x)

    def probabilities(self, h: Array) -> Array:
        """Return p (T, K) of states h (T + 1, m)."""
        return softmax(h[1:] @ self.parameters["V"].T + self.parameters["c"])

    def gradients(self) -> Arrays:
        """Return the gradients by name, and under ``h0`` that of h_0."""
        state = self.parameters.architecture.zero_state(np.float64).with_recurrent(self.h0)
        result = loss_and_gradients(self.parameters, state, self.x.astype(np.uint32), self.y.astype(np.uint32))
        return result.gradients | {"h0": result.dh0}


def make_window(K: int, m: int, T: int, seed: int) -> Window:
    """Return a window of a network without zero parameters.

    x and y do not contain the same characters, and one is so frequent that gradients exceed 5, a usual clipping
    threshold.
    """
    for name, value, least in (("K", K, 2), ("m", m, 1), ("T", T, 1)):
        if value < least:
            raise ElmanError(f"{name} must be at least {least} (got {shorten(value)})")
    generator = np.random.RandomState(seed)
    parameters = initial_parameters(Architecture(K, m), 0.5, generator, np.float64)
    for name in ("b", "c"):
        parameters[name][:] = 0.5 * generator.randn(*parameters[name].shape)
    text = np.where(generator.rand(T + 1) < 0.6, K - 1, generator.randint(0, K - 1, T + 1))
    text[-1] = (text[0] + 1) % K
    return Window(parameters, np.tanh(generator.randn(m)), text[:-1], text[1:])


def describe(result: object) -> str:
    """Return what was returned, for a message."""
    return f"{len(result)} values" if isinstance(result, tuple) else shorten(type(result).__name__)


def as_array(array: ArrayLike, ndim: int) -> Array:
    """Return an array in float64; the last of `ndim` + 1 axes, if of length 1 as in a column, is dropped."""
    array = np.asarray(array, np.float64)
    return array[..., 0] if array.ndim == ndim + 1 and array.shape[-1] == 1 else array


def measure_error(array: Array | None, expected: Array) -> float:
    """Return the relative error; nan where an array is missing or has another shape."""
    return math.nan if array is None or array.shape != expected.shape else relative_error(array, expected)


def is_equal(array: Array, expected: Array) -> bool:
    """Return whether two arrays are the same up to rounding."""
    return measure_error(array, expected) <= TOLERANCE


def diagnose_shape(name: str, array: Array, expected: Array) -> Iterator[str]:
    """Yield what is wrong with an array before its numbers are compared."""
    if array.shape != expected.shape:
        transposed = ": it is transposed" if array.shape == expected.T.shape else ""
        yield f"{name} has shape {array.shape}, expected {expected.shape}{transposed}"
    elif not np.isfinite(array).all():
        yield f"{name} is not finite"
