"""Central differences of the loss of a network: two forward passes for every component of every array.

The passes are computed by `elman.network`. Networks that differ in one component are the rows of a batch. A component
of V or c changes one logit of every step, so that only the softmax is computed again. The loss is the sum of -log p, as
a plain program computes it.

T  sequence length              B  rows of a batch, two for every component
m  hidden units of a layer      S  size of the recurrent part of a state
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from elman.engine.protocol import Indices
from elman.machine import thread_count
from elman.network import Parameters, bptt, output
from elman.network.parameters import Array, Arrays
from elman.network.state import PriorValues, State
from elman.text import Windows

STEP = 1e-4  # step of the central differences, up and down from each weight

OnProgress = Callable[[float], None]  # called with the fraction that is done, often

_COMPONENTS = 100
"""Components whose differences are computed at once; a tenth of it if networks cannot be the rows of a batch."""
_WORK = 10**9  # multiplications by a weight in such a batch, at most: a few hundredths of a second
_LOGITS = 2**16  # logits that are computed at once: they fit into a core's cache
_THREADS = 4  # threads, at most: more would wait for one another between the short operations of NumPy
_ERRORS = (AttributeError, IndexError, TypeError, ValueError)

Components = NDArray[np.intp]  # flat indices of components of an array


class _Rows:
    """An array with a version for each batch row; the versions differ in one component.

    It supports the operations in the forward passes of this package, x @ A.T, A.T[x], x + b and b[x]; any other
    operation raises one of `_ERRORS`.
    """

    __array_ufunc__ = None  # so that NumPy leaves x @ A and x + A to this class

    def __init__(self, array: Array, at: Components, steps: Array) -> None:
        self.array, self.at, self.rows, self.steps = array, np.unravel_index(at, array.shape), np.arange(len(at)), steps
        self.is_transposed = array.ndim == 1

    @cached_property
    def T(self) -> _Rows:
        """The transpose, by which rows are multiplied."""
        transposed = copy(self)
        transposed.is_transposed = not self.is_transposed
        return transposed

    def __getitem__(self, x: Any) -> Array:
        """Return a component of a vector, or a column of a matrix, for every x (T, 1)."""
        if not (self.is_transposed and isinstance(x, np.ndarray) and x.shape[1:] == (1,)):
            raise TypeError
        if self.array.ndim == 1:
            return np.asarray(self.array[x] + self.steps * (x == self.at[0]))
        i, j = self.at
        columns = np.repeat(self.array.T[x], len(i), axis=1)
        columns[:, self.rows, i] += self.steps * (x == j)
        return columns

    def __rmatmul__(self, x: Array) -> Array:
        if not self.is_transposed:
            return NotImplemented
        i, j = self.at
        product = self._repeat(x @ self.array.T)
        product[..., self.rows, i] += self.steps * x[..., 0 if x.shape[-2] == 1 else self.rows, j]
        return product

    def __radd__(self, x: Array) -> Array:
        (i,) = self.at
        total = self._repeat(np.atleast_2d(x) + self.array)
        total[..., self.rows, i] += self.steps
        return total

    def _repeat(self, x: Array) -> Array:
        """Return the values for every row, given values that are the same in all, (…, 1, n), or differ, (…, B, n)."""
        return x if x.shape[-2] == len(self.rows) else np.repeat(x, len(self.rows), axis=-2)


class _Window(NamedTuple):
    """A window, and the values that the unchanged network computes from it."""

    x: Indices
    y: Indices
    prior: PriorValues | None  # with an axis for the rows: (T, 1, K) and (T, 1)
    recurrent: Array  # the recurrent part of the state before every step and after the last, (T + 1, 1, S)
    h: Array  # the input of the output layer, (T, 1, m)
    losses: Array  # -log p of every y, (T, 1)


def central_differences(
    parameters: Parameters, state: State, windows: Windows, on_progress: OnProgress = lambda fraction: None,
    chosen: Mapping[str, Components] | None = None,
) -> Arrays:  # fmt: skip
    """Return (L(theta + step) - L(theta - step)) / (2 step) for the components of every array; L sums the windows.

    The differences for the recurrent part of every window's initial state are under ``h0``. `chosen` are the flat
    indices of the components of each array, by default all; the others are nan. An exception of `on_progress` ends the
    computation.
    """
    losses = _Losses(parameters, state, windows)
    numeric = {name: np.full_like(array, np.nan) for name, array in losses.arrays.items()}
    parts = [
        (name, group[first : first + size])
        for name, array in losses.arrays.items()
        for size in [losses.batch_size(name)]
        for group in _groups(name, array, np.arange(array.size) if chosen is None else chosen[name])
        for first in range(0, len(group), size)
    ]
    with ThreadPoolExecutor(min(thread_count(), _THREADS)) as executor:
        try:
            results = executor.map(lambda part: losses.differences(*part), parts)
            for done, ((name, components), found) in enumerate(zip(parts, results, strict=True), 1):
                numeric[name].flat[components] = found
                on_progress(done / len(parts))
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    return numeric


def _groups(name: str, array: Array, components: Components) -> list[Components]:
    """Return components that matter from the same step on: components of U by column, all others together."""
    if name != "U":
        return [components]
    columns = components % array.shape[1]
    order = np.argsort(columns, kind="stable")
    return np.split(components[order], np.flatnonzero(np.diff(columns[order])) + 1)


class _Losses:
    """The loss L of networks that differ from one in a component of an array."""

    def __init__(self, parameters: Parameters, state: State, windows: Windows) -> None:
        self.parameters = parameters
        self.arrays: Arrays = {**parameters, "h0": state.recurrent}
        self.windows = [self._read(state, *windows.at(n * windows.seq_length)) for n in range(windows.per_epoch)]
        self.methods = {name: self._choose(name) for name in self.arrays}

    def _read(self, state: State, x: Indices, y: Indices) -> _Window:
        prior = _part(self.parameters.prior.read(state, x)[0], np.s_[:, None])
        _, states, h = bptt.forward(self.parameters, state.recurrent[None], x[:, None])
        recurrent = np.concatenate(states, axis=-1)
        return _Window(x, y, prior, recurrent, h, _losses(self.parameters, h, y, prior))

    def _choose(self, name: str) -> Callable[[str, Components, Array], Array]:
        """Return the method for an array: a custom cell may use it in a way that `_Rows` does not support."""
        if name in ("V", "c"):
            return self._of_output_layers
        if self.parameters.architecture.is_of_lines:  # each row would need the line feeds that reset its state
            return self._of_each
        component = self.windows[0].x[0] if name == "U" else 0
        with suppress(*_ERRORS):
            self._of_rows(name, np.full(2, component, np.intp), np.array([STEP, -STEP]))
            return self._of_rows
        return self._of_each

    def batch_size(self, name: str) -> int:
        """Return how many components of an array are checked between two calls of `OnProgress`."""
        steps, weights = sum(len(window.x) for window in self.windows), sum(a.size for a in self.arrays.values())
        most = _COMPONENTS // 10 if self.methods[name] == self._of_each else _COMPONENTS
        return max(1, min(most, _WORK // (2 * steps * weights)))

    def differences(self, name: str, components: Components) -> Array:
        """Return the central differences for components of an array; components of U are in one column."""
        at, steps = np.tile(components, 2), np.repeat([STEP, -STEP], len(components))
        above, below = self.methods[name](name, at, steps).reshape(2, -1)
        return np.asarray((above - below) / (2 * STEP))

    def _of_output_layers(self, name: str, at: Components, steps: Array) -> Array:
        """Return L (B,) of networks with a step at a component of V or c, which changes one logit of every step."""
        i, L = at // (self.arrays[name].size // len(self.arrays["c"])), np.zeros(len(at))
        for window in self.windows:
            o = output.logits(self.parameters, window.h, window.prior)[:, 0]
            changes = steps * (window.h[:, 0, at % window.h.shape[-1]] if name == "V" else 1.0)
            o -= o.max(axis=-1, keepdims=True)
            e, moved = np.exp(o), np.exp(o[:, i] + changes)
            is_y = window.y[:, None] == i
            p = np.where(is_y, moved, np.exp(o[np.arange(len(o)), window.y])[:, None])
            L += _sum(-np.log(p / (e.sum(axis=-1, keepdims=True) - e[:, i] + moved)))
        return L

    def _of_rows(self, name: str, at: Components, steps: Array) -> Array:
        """Return L (B,) of the networks with a step at a component of an array, without windows that do not read it."""
        array, L = cast("Any", _Rows(self.arrays[name], at, steps)), np.zeros(len(at))
        for window in self.windows:
            reads = window.x == at[0] % self.arrays["U"].shape[1] if name == "U" else np.array([True])
            if reads.any():
                L += self._of_window(name, array, len(at), window, int(reads.argmax()))
        return L

    def _of_each(self, name: str, at: Components, steps: Array) -> Array:
        """Return L (B,) of the same networks, computed one after another."""
        L = np.zeros(len(at))
        for row, (index, step) in enumerate(zip(at, steps, strict=True)):
            array = self.arrays[name].copy()
            array.flat[index] += step
            L[row] = sum(self._of_window(name, array, 1, window, 0).item() for window in self.windows)
        return L

    def _of_window(self, name: str, array: Array, B: int, window: _Window, first: int) -> Array:
        """Return L (B,) of a window with another array, which is first read at a step."""
        parameters, recurrent = self.parameters, np.repeat(window.recurrent[first], B, axis=0)
        if name == "h0":
            recurrent = np.zeros((1, recurrent.shape[1])) + array
        else:
            parameters = parameters.with_arrays({**parameters, name: array})
        _, _, h = bptt.forward(parameters, recurrent, window.x[first:, None])
        prior = _part(window.prior, slice(first, None))
        losses = np.concatenate(
            [np.repeat(window.losses[:first], B, axis=1), _losses(parameters, h, window.y[first:], prior)]
        )
        return _sum(losses)


def _sum(losses: Array) -> Array:
    """Return the sum of (T, B) over the steps, (B,).

    NumPy sums along the last axis in pairs. Along the first, it would add one loss after another, with three times the
    rounding error at T = 100.
    """
    return np.asarray(np.ascontiguousarray(losses.T).sum(axis=-1))


def _part(prior: PriorValues | None, steps: Any) -> PriorValues | None:
    return prior and PriorValues(prior.log_q[steps], prior.matched[steps])


def _losses(parameters: Parameters, h: Array, y: Indices, prior: PriorValues | None) -> Array:
    """Return -log p (T, B) of every y (T,), given the input of the output layer, (T, B, m) or the same in all rows."""
    losses, steps = list[Array](), max(1, _LOGITS // (h.shape[1] * parameters.architecture.K))
    for first in range(0, len(y), steps):
        part = slice(first, first + steps)
        o = output.logits(parameters, h[part], _part(prior, part))
        losses.append(-np.log(output.softmax(o)[np.arange(len(o)), :, y[part]]))
    return np.concatenate(losses)
