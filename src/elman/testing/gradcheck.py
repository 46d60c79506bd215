"""The gradient check of the reference experiment: relative errors of an engine's gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from elman.config import Config
from elman.engine import get_engine
from elman.engine_registry import DEFAULT_ENGINE
from elman.errors import ElmanError, check_range, checks_types, option, shorten
from elman.network import initial_parameters
from elman.network.parameters import LossAndGradients
from elman.ngram.counting import count_ngrams
from elman.testing.conformance import relative_error
from elman.testing.differences import OnProgress, central_differences
from elman.text import Corpus, Source, Windows, read_corpus

MAX_RELATIVE_ERROR = 1e-7  # the check passes if every array's relative error is at most this

MAX_UNITS, MAX_LAYERS = 10_000, 100  # the recurrent weights of a layer need 800 MB

SAMPLED = 256  # components of each array that are checked: a wrong term changes nearly all. The reference checked all.

_ORDER = ("V", "U", "W", "b", "c", "alpha", "h0")
"""The order of the vanilla network's errors in the reference's report; alpha, a prior's weights, is added."""

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
    """T, the sequence length."""
    relative_error: dict[str, float]
    """Sum |analytic - numeric| / sum (|analytic| + |numeric|) of every parameter, V, U, W, b, c for the vanilla
    network, alpha with an n-gram prior, and of the state h0."""

    @property
    def passed(self) -> bool:
        """Whether every error is at most `MAX_RELATIVE_ERROR`; nan is not."""
        return all(error <= MAX_RELATIVE_ERROR for error in self.relative_error.values())


@checks_types
def gradcheck(
    corpus: Source | Sequence[Source] | Corpus = "python-docs", *, hidden_size: int | None = None,
    seq_length: int | None = None, points: int | None = None, cell: str = "rnn", layers: int = 1, ngram_order: int = 0,
    lines: bool = False, full: bool = False, zero_state: bool = False, engine: str = DEFAULT_ENGINE, seed: int = 400,
    encoding: str = "utf-8", keep_crlf: bool = False, on_progress: Callable[[float], object] | None = None,
    loss_and_gradients: Callable[..., LossAndGradients] | None = None,
) -> list[GradientCheck]:  # fmt: skip
    """Check the gradients of an engine against central differences, in float64.

    The initial hidden state is not zero by default: at zero, the most common mistake, leaving h_0 out of dW, cannot be
    seen.

    Parameters
    ----------
    corpus : str, path, open file, list of these, or Corpus
        Source of the characters, see `elman.text.read_corpus`.
    hidden_size, seq_length, points : int, optional
        m (100), T (25) and the number of characters (T) of one experiment; by default, the reference's three. The
        characters are split into floor(points / T) windows, whose losses are summed.
    cell, layers, ngram_order, lines, encoding, keep_crlf
        As in `elman.Config`. An n-gram prior has the counts of the complete text, which are constants; its weights
        alpha are checked like every parameter.
    full : bool
        Whether every component of every array is checked, as in the reference experiment; by default, 256 random ones
        of each.
    zero_state : bool
        Whether the initial hidden state is zero, as in the reference experiment. Its own gradient is checked, too.
    engine : str
        The engine whose gradients are checked.
    seed : int
        Seed of the weights, of the initial state and of the choice of components.
    on_progress : callable, optional
        Called with the fraction that is done, about every tenth of a second or more often. If it raises an exception,
        the check ends.
    loss_and_gradients : callable, optional
        Computes the gradients in place of the engine, as ``Engine.loss_and_gradients``.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> (check,) = elman.gradcheck(text, hidden_size=5, seq_length=8, engine="numpy")
    >>> check.passed, sorted(check.relative_error)
    (True, ['U', 'V', 'W', 'b', 'c', 'h0'])
    """
    check_range("layers", layers, 1, MAX_LAYERS)
    config = Config(cell=cell, layers=layers, ngram_order=ngram_order, lines=lines, engine=engine, seed=seed)
    if not isinstance(corpus, Corpus):
        corpus = read_corpus(corpus, encoding=encoding, keep_crlf=keep_crlf)
    experiments = [(p, m, T) for p, m, T, _ in REPORTED]
    if not (hidden_size is None and seq_length is None and points is None):
        m, T = 100 if hidden_size is None else hidden_size, 25 if seq_length is None else seq_length
        check_range("hidden_size", m, 1, MAX_UNITS)
        p = T if points is None else points
        check_range("points", p, 1)
        experiments = [(p, m, T)]
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
    compute = loss_and_gradients or get_engine(config.engine).loss_and_gradients
    for (p, _, _), config, cost in zip(experiments, configs, costs, strict=True):

        def report(fraction: float, done: int = done, cost: int = cost) -> None:
            if on_progress is not None:
                on_progress((done + fraction * cost) / sum(costs))

        with threadpool_limits(1, "blas"):  # the threads of BLAS would wait for one another on a busy machine
            checks.append(_check(corpus, p, config, zero_state, None if full else SAMPLED, report, compute))
        done += cost
    return checks


def _check(
    corpus: Corpus, points: int, config: Config, zero_state: bool, sampled: int | None, on_progress: OnProgress,
    loss_and_gradients: Callable[..., LossAndGradients],
) -> GradientCheck:  # fmt: skip
    T, generator, net = config.seq_length, np.random.RandomState(config.seed), config.architecture(corpus.alphabet)
    ngrams = count_ngrams(corpus.indices, net.ngram_spec)
    parameters = initial_parameters(net, 0.1, generator, np.float64, ngrams=ngrams)
    state = net.zero_state(np.float64)  # the prior's part has read no character yet
    if not zero_state:
        state = state.with_recurrent(np.tanh(generator.randn(net.state_size)))
    windows = Windows(corpus.indices[: points // T * T + 1], T)
    results = [loss_and_gradients(parameters, state, *windows.at(n * T)) for n in range(windows.per_epoch)]
    analytic = {name: np.sum([r.gradients[name] for r in results], axis=0) for name in parameters}
    analytic["h0"] = np.sum([r.dh0 for r in results], axis=0)
    choice, chosen = np.random.default_rng(config.seed).choice, dict[str, NDArray[np.intp]]()
    for name, array in analytic.items():
        is_complete = sampled is None or array.size <= sampled
        chosen[name] = np.arange(array.size) if is_complete else choice(array.size, sampled, replace=False)
    numeric = central_differences(parameters, state, windows, on_progress, chosen)
    names = sorted(numeric, key=_ORDER.index) if set(numeric) <= set(_ORDER) else list(numeric)
    errors = {
        name: relative_error(analytic[name].flat[chosen[name]], numeric[name].flat[chosen[name]]) for name in names
    }
    return GradientCheck(points, config.hidden_size, T, errors)
