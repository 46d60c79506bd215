"""The gradient check of the reference experiment: central differences, two forward passes for every weight checked.

The passes are those of `elman.network`, of networks that differ in one weight and are computed as the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import get_engine
from elman.engine.protocol import Indices
from elman.engine_registry import DEFAULT_ENGINE
from elman.errors import ElmanError, check_range, option, shorten
from elman.network import Parameters, bptt, initial_parameters, output
from elman.network.parameters import Array, Arrays, LossAndGradients
from elman.network.prior import PriorValues
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.testing.conformance import relative_error
from elman.text import Corpus, Source, Windows, read_corpus

STEP = 1e-4
"""Step of the central differences, up and down from each weight."""
MAX_RELATIVE_ERROR = 1e-7
"""The check passes if every array's relative error is at most this."""

SAMPLED = 256
"""Components of each array that are checked: a wrong term changes nearly all. The reference checked all."""

OnProgress = Callable[[float], None]
"""Called with the fraction that is done, often."""

_COMPONENTS = 128
"""Components whose differences are computed at once."""

_ORDER = ("V", "U", "W", "b", "c", "alpha", "h0")
"""The order of the vanilla network's errors in the reference's report, with that of a prior."""

REPORTED = (
    (5, 5, 5, {"V": 9.95e-10, "U": 1.69e-9, "W": 6.79e-10, "b": 1.80e-9, "c": 4.24e-10}),
    (5, 100, 5, {"V": 6.00e-10, "U": 1.63e-9, "W": 2.51e-10, "b": 1.80e-9, "c": 4.28e-10}),
    (100, 100, 100, {"V": 7.50e-10, "U": 1.71e-9, "W": 1.29e-10, "b": 2.16e-9, "c": 6.54e-10}),
)
"""The three experiments of the reference, as (characters, m, T), with the errors it reported."""


@dataclass(frozen=True)
class GradientCheck:
    """The result of one experiment."""

    points: int
    """Characters of the text that are used."""
    hidden_size: int
    seq_length: int
    """Characters of the text that are used, m, T."""
    relative_error: dict[str, float]
    """Sum |analytic - numeric| / sum (|analytic| + |numeric|) of every parameter, V, U, W, b, c for the vanilla
    network, alpha with an n-gram prior, and of the state h0."""

    @property
    def passed(self) -> bool:
        """Whether every error is at most `MAX_RELATIVE_ERROR`; nan is not."""
        return all(error <= MAX_RELATIVE_ERROR for error in self.relative_error.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the result as ``elman gradcheck --json`` prints it."""
        return asdict(self)


def gradcheck(
    corpus: Source | Sequence[Source] | Corpus = "python-docs",
    *,
    hidden_size: int | None = None,
    seq_length: int | None = None,
    points: int | None = None,
    cell: str = "rnn",
    layers: int = 1,
    ngram_order: int = 0,
    lines: bool = False,
    full: bool = False,
    engine: str = DEFAULT_ENGINE,
    seed: int = 400,
    encoding: str = "utf-8",
    keep_crlf: bool = False,
    on_progress: Callable[[float], None] | None = None,
    loss_and_gradients: Callable[..., LossAndGradients] | None = None,
) -> list[GradientCheck]:
    """Check the gradients of an engine against central differences, in float64.

    The initial hidden state is not zero: at zero, the most common mistake, leaving h_0 out of dW, cannot be seen.

    Parameters
    ----------
    corpus : str, path, open file, list of these, or Corpus
        Source of the characters, see `elman.text.read_corpus`.
    hidden_size, seq_length, points : int, optional
        m (100), T (25) and the number of characters (T) of one experiment; by default, the reference's three. The
        characters are split into floor(points / T) windows, whose losses are summed.
    cell, layers, ngram_order
        The architecture of the network, as in `elman.Config`. An n-gram prior has the counts of the complete text,
        which are constants; its weights alpha are checked like every parameter.
    lines : bool
        Whether the state is reset at every line feed, as in a text of independent lines.
    full : bool
        Whether every component of every array is checked, as in the reference experiment, which takes a minute; by
        default, 256 random ones of each.
    engine : str
        The engine whose gradients are checked.
    seed : int
        Seed of the weights, of the initial state and of the choice of components.
    encoding, keep_crlf
        How the text is read, as in `elman.Config`.
    on_progress : callable, optional
        Called with the fraction that is done, often.
    loss_and_gradients : callable, optional
        What computes the gradients in place of the engine, as ``Engine.loss_and_gradients``.

    Returns
    -------
    list of GradientCheck

    Raises
    ------
    ElmanError
        If a number is below 1, `points` is below T, or the text is too short.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> (check,) = elman.gradcheck(text, hidden_size=5, seq_length=8, engine="numpy")
    >>> check.passed, sorted(check.relative_error)
    (True, ['U', 'V', 'W', 'b', 'c', 'h0'])
    """
    config = Config(cell=cell, layers=layers, ngram_order=ngram_order, lines=lines, engine=engine, seed=seed)
    if not isinstance(corpus, Corpus):
        corpus = read_corpus(corpus, encoding=encoding, keep_crlf=keep_crlf)
    experiments = [(p, m, T) for p, m, T, _ in REPORTED]
    if not (hidden_size is None and seq_length is None and points is None):
        m, T = 100 if hidden_size is None else hidden_size, 25 if seq_length is None else seq_length
        check_range("hidden_size", m, 1)
        experiments = [(T if points is None else points, m, T)]
    configs = [replace(config, hidden_size=m, seq_length=T) for _, m, T in experiments]
    for p, _, T in experiments:
        if p < T:
            raise ElmanError(f"{option.points} must be at least {option.seq_length} (got {shorten(p)} and {T})")
        if len(corpus.indices) <= p:
            raise ElmanError(
                f"{option.points:{p}} needs a text of at least {p + 1} characters ({corpus.label} has "
                f"{len(corpus.indices)}); lower {option.points} and {option.seq_length}, or use a longer text"
            )
    costs, done, checks = [p * m * (m + 2 * len(corpus.alphabet)) for p, m, _ in experiments], 0, []
    for (p, _, _), config, cost in zip(experiments, configs, costs, strict=True):

        def report(fraction: float, done: int = done, cost: int = cost) -> None:
            if on_progress is not None:
                on_progress((done + fraction * cost) / sum(costs))

        compute = loss_and_gradients or get_engine(config.engine).loss_and_gradients
        checks.append(_check(corpus, p, config, None if full else SAMPLED, report, compute))
        done += cost
    return checks


def _check(
    corpus: Corpus, points: int, config: Config, sampled: int | None, on_progress: OnProgress,
    loss_and_gradients: Callable[..., LossAndGradients],
) -> GradientCheck:  # fmt: skip
    T = config.seq_length
    windows = Windows(corpus.indices[: points // T * T + 1], T)
    parameters, state = _start(corpus, config)
    results = [loss_and_gradients(parameters, state, x, y) for x, y in _windows(windows)]
    analytic = {name: np.sum([r.gradients[name] for r in results], axis=0) for name in parameters}
    analytic["h0"] = np.sum([r.dh0 for r in results], axis=0)
    generator = np.random.default_rng(config.seed)
    chosen = {
        name: np.arange(size) if sampled is None or size <= sampled else generator.choice(size, sampled, replace=False)
        for name, size in ((name, array.size) for name, array in analytic.items())
    }
    numeric = central_differences(parameters, state, windows, on_progress, chosen)
    names = sorted(numeric, key=_ORDER.index) if set(numeric) <= set(_ORDER) else list(numeric)
    errors = {
        name: relative_error(analytic[name].flat[chosen[name]], numeric[name].flat[chosen[name]]) for name in names
    }
    return GradientCheck(points, config.hidden_size, T, errors)


def _start(corpus: Corpus, config: Config) -> tuple[Parameters, State]:
    """Return initial parameters and a state; a prior's has read no character yet."""
    generator, net = np.random.RandomState(config.seed), config.architecture(corpus.alphabet)
    ngrams = count_ngrams(corpus.indices, net.ngram_spec)
    parameters = initial_parameters(net, 0.1, generator, np.float64, ngrams=ngrams)
    return parameters, net.zero_state(np.float64).with_recurrent(np.tanh(generator.randn(net.state_size)))


def _windows(windows: Windows) -> list[tuple[Indices, Indices]]:
    return [windows.at(n * windows.seq_length) for n in range(windows.per_epoch)]


_ERRORS = (AttributeError, IndexError, TypeError, ValueError)


class _Rows:
    """An array of which each batch row has one of its own, that differs in one component.

    It has what the forward passes of this package use: x @ A.T, A.T[x], x + b and b[x]; all else is one of `_ERRORS`.
    """

    __array_ufunc__ = None  # so that NumPy leaves x @ A and x + A to this class

    def __init__(self, array: Array, at: NDArray[np.intp], steps: Array) -> None:
        self.array, self.at, self.rows, self.steps = array, np.unravel_index(at, array.shape), np.arange(len(at)), steps
        self.is_transposed = array.ndim == 1

    @property
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
        product[..., self.rows, i] += self.steps * self._repeat(x)[..., self.rows, j]
        return product

    def __radd__(self, x: Array) -> Array:
        (i,) = self.at
        total = self._repeat(np.atleast_2d(x) + self.array)
        total[..., self.rows, i] += self.steps
        return total

    def _repeat(self, x: Array) -> Array:
        """Return what is the same in all rows (…, 1, n), or differs (…, B, n), for every row."""
        return np.repeat(x, len(self.rows) // x.shape[-2], axis=-2)


def central_differences(
    parameters: Parameters,
    state: State,
    windows: Windows,
    on_progress: OnProgress = lambda fraction: None,
    chosen: Mapping[str, NDArray[np.intp]] | None = None,
) -> Arrays:
    """Return (L(theta + step) - L(theta - step)) / (2 step) for the components of every array; L sums the windows.

    Those of the recurrent part of the initial state of every window are under ``h0``. `chosen` are the flat indices of
    the components of each array, by default all; the others are nan.
    """
    arrays = {**parameters, "h0": state.recurrent}
    numeric = {name: np.full_like(array, np.nan) for name, array in arrays.items()}
    of_array = chosen or {name: np.arange(array.size) for name, array in arrays.items()}
    parts = [
        (name, indices[first : first + _COMPONENTS])
        for name, indices in of_array.items()
        for first in range(0, len(indices), _COMPONENTS)
    ]
    read = [(x, y, parameters.prior.read(state, x)[0]) for x, y in _windows(windows)]

    def evaluate(name: str, array: Array, rows: int) -> Any:
        recurrent, moved = np.tile(state.recurrent, (rows, 1)), parameters
        if name == "h0":
            recurrent = np.zeros_like(recurrent) + array
        else:
            moved = parameters.with_arrays({**parameters, name: array})
        return sum(_losses(moved, recurrent, *window) for window in read)

    def evaluate_moved(name: str, at: NDArray[np.intp], steps: Array) -> Any:
        if not parameters.architecture.is_of_lines:  # each row would need the line feeds that reset its state
            with suppress(*_ERRORS):  # a cell of one's own may use an array in another way
                in_output = name in ("V", "c")  # the states are the same in all rows
                return evaluate(name, cast("Any", _Rows(arrays[name], at, steps)), 1 if in_output else len(at))
        moved = (_move(arrays[name], *each) for each in zip(at, steps, strict=True))
        return np.concatenate([evaluate(name, each, 1) for each in moved])

    for done, (name, indices) in enumerate(parts, 1):
        steps = np.repeat([STEP, -STEP], len(indices))
        above, below = evaluate_moved(name, np.tile(indices, 2), steps).reshape(2, -1)
        numeric[name].flat[indices] = (above - below) / (2 * STEP)
        on_progress(done / len(parts))
    return numeric


def _move(array: Array, index: int, step: float) -> Array:
    moved = array.copy()
    moved.flat[index] += step
    return moved


def _losses(parameters: Parameters, recurrent: Array, x: Indices, y: Indices, prior: PriorValues | None) -> Any:
    """Return the loss of a window for each of the initial states (B, S)."""
    if prior is not None:
        prior = PriorValues(prior.log_q[:, None], prior.matched[:, None])
    _, _, h = bptt.forward(parameters, recurrent, x[:, None])
    o = output.logits(parameters, h, prior)
    return output.loss(o, np.repeat(y[:, None], o.shape[1], axis=1))
