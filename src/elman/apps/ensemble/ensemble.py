"""`elman.ensemble`: several models as one, and the weights with which they predict a text best.

i     1 … n, a model of the ensemble, with weight w_i >= 0 and logits o_t^i
p_t   the distribution of the ensemble after character t, softmax of sum_i w_i o_t^i; y_t is the character that follows

::

    (1)  L(w) = mean_t (log sum_k exp(sum_i w_i o_t^i(k)) - sum_i w_i o_t^i(y_t))
    (2)  dL/dw_i = mean_t (E_p o_t^i - o_t^i(y_t))
    (3)  d^2L/dw_i dw_j = mean_t cov_p (o_t^i, o_t^j)

(3) is positive semidefinite, so (1) is convex. It is minimized by the projected Newton method: a step is taken in the
weights that are positive or would grow, and weights that it makes negative become 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from elman.apps.ensemble.parameters import join_parameters, join_states
from elman.engine import Indices
from elman.errors import ElmanError, format_count, option, quote, shorten
from elman.model import Model, check_is_model
from elman.network import begin_text, log_softmax
from elman.ngram import ngram_tensors
from elman.text import complete_lines, drop_unknown, with_unknown

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]

MIN_CHARACTERS = 100
"""Characters that a text must have."""
MAX_CHARACTERS = 100_000
"""Characters that are used at most: a few weights need no more."""
MAX_LOGITS = 50_000_000
"""Logits of all models that are kept at most, 200 MB."""
SLICE_LOGITS = 1 << 20
"""Logits that are computed, or converted to float64, at once."""
MAX_STEPS = 50
MAX_WEIGHT = 100.0
"""A larger weight means that (1) has no minimum: the most likely character always follows."""
TOLERANCE = 1e-6
"""Change of the weights in the last step."""
RIDGE = 1e-6
"""Added to the diagonal of (3), relative to its mean: (3) is singular if two models are equal."""


def ensemble(models: Iterable[Model], *, weights: Sequence[float] | None = None, fit_on: str | None = None) -> Model:
    """Return the ensemble of several models as one model, whose logits are the weighted sum of theirs.

    Networks that were trained with different seeds, sizes or settings make different errors, which a mean reduces. The
    result is an ordinary network whose layers have the hidden units of all, see `.parameters`, so every
    function and command accepts it. Its memory and time grow with the square of the hidden size.

    Parameters
    ----------
    models : iterable of Model
        At least two, with the same cell, number of layers, alphabet and precision, of continuous text or of independent
        lines; those with an n-gram prior with the same one.
    weights : sequence of float, optional
        Of each model's logits, at least 0; by default 1 divided by the number of models. They are not normalized: with
        a sum below 1 the distribution is flatter, and above 1 sharper. A model with weight 0 is left out.
    fit_on : str, optional
        A held-out text, instead of weights: those are used that predict it best, see `fit_ensemble_weights`. It is the
        text itself, not a path, and should be neither the training set nor the test set.

    Raises
    ------
    ElmanError
        If there are fewer than two models, they differ in more than size and weights, or a weight is negative or not a
        finite number, or all are 0; if the text is too short, or both weights and a text are passed.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> options = {"preset": "reference", "hidden_size": 16, "max_updates": 100, "engine": "numpy"}
    >>> models = [elman.train(text, seed=seed, **options).model for seed in (1, 2)]
    >>> elman.ensemble(models)
    <Model: 1 x rnn 32, 11 characters, float64, numpy>
    """
    models = _check_models(models)
    if weights is None:
        shares = [1 / len(models)] * len(models) if fit_on is None else fit_ensemble_weights(models, fit_on)
    elif fit_on is None:
        shares = _check_weights(weights, len(models))
    else:
        raise ElmanError(f"cannot combine {option.weights} with {option.fit_on}, which fits them")
    used = [(model, share) for model, share in zip(models, shares, strict=True) if share]
    parameters = join_parameters([model.parameters for model, _ in used], [share for _, share in used])
    state = begin_text(parameters, join_states([model.state for model, _ in used], parameters.architecture))
    if not all(np.isfinite(array).all() for array in parameters.values()):
        raise ElmanError("the weights of the ensemble are too large: its parameters would not be finite")
    first, hashes = models[0], [model.line_hashes for model in models if model.line_hashes is not None]
    all_hashes = np.unique(np.concatenate(hashes)) if len(hashes) == len(models) else None
    return Model(first.alphabet, parameters, state, first.engine, all_hashes, masker=first.masker)


def fit_ensemble_weights(models: Iterable[Model], text: str | Iterable[str]) -> list[float]:
    """Return the weights with which the ensemble of several models predicts a text best: those that minimize (1).

    Unknown characters are left out. Of a long text the first `MAX_CHARACTERS` are used, fewer where the alphabet is
    large; of one that arrives in chunks, no more are read.
    """
    models = _check_models(models)
    K = len(models[0].alphabet)
    used = min(MAX_CHARACTERS, max(MIN_CHARACTERS, MAX_LOGITS // (len(models) * K)))
    start = text if isinstance(text, str) else _read_start(models[0], text, used + 1)
    x = drop_unknown(models[0].encode(start), K)[: used + 1]
    if len(x) < MIN_CHARACTERS:
        raise ElmanError(f"fitting weights needs a text of at least {MIN_CHARACTERS} known characters (got {len(x)})")
    weights = _minimize(_collect_logits(models, x), x[1:].astype(np.intp))
    if not weights.any():
        remedy = "fit on text like the training set"
        raise ElmanError(f"no model predicts the text better than a uniform distribution: {remedy}")
    return [float(weight) for weight in weights]


def _read_start(model: Model, chunks: Iterable[str], count: int) -> str:
    """Return the beginning of a text, with so many characters that the model knows, or all of it."""
    parts, known = list[str](), 0
    for part in complete_lines(chunks) if model.is_of_lines else chunks:
        parts.append(part)
        known += len(drop_unknown(with_unknown(model.alphabet).encode(model.normalize(part)), len(model.alphabet)))
        if known >= count:
            break
    return "".join(parts)


def _check_models(models: Iterable[Model]) -> list[Model]:
    """Return several models, after checks that they can be joined."""
    models = [models] if isinstance(models, Model) else [*models]
    for model in models:
        check_is_model(model)
    if len(models) < 2:
        raise ElmanError(f"an ensemble needs at least two models (got {len(models)})")
    descriptions = [*map(_describe, models)]
    for name in dict.fromkeys(name for description in descriptions for name in description):
        (first, value), *others = [(n, each[name]) for n, each in enumerate(descriptions, 1) if name in each]
        for number, other in others:
            if other != value:
                difference = f"of models {first} and {number}, {first} has {value}, {number} has {other}"
                raise ElmanError(f"the models of an ensemble must have the same {name}: {difference}")
    for number, model in enumerate(models[1:], 2):
        _check_alphabets(models[0].alphabet.characters, model.alphabet.characters, number)
    for prior, next_prior in pairwise(model.parameters.ngrams for model in models if model.parameters.ngrams):
        tensors, next_tensors = ngram_tensors(prior), ngram_tensors(next_prior)
        is_same = all(np.array_equal(next_tensors[name], array) for name, array in tensors.items())
        if prior.order != next_prior.order or not is_same:
            has_networks = all(model.parameters.architecture.m for model in models)
            without = f", or with {option.ngram_order:0}" if has_networks else ""
            raise ElmanError(
                "the models of an ensemble must have the same n-gram prior: train them on the same text with the same"
                f" {option.ngram_order} and {option.ngram_min_count}{without}; of independent"
                f" lines, {option.seed} decides which ones {option.validation} holds out, unless that is a file"
            )
    return models


def _describe(model: Model) -> dict[str, object]:
    """Return what the models of an ensemble have in common, besides the alphabet and the prior."""
    network = model.parameters.architecture
    text = "independent lines" if model.is_of_lines else "continuous"
    of_units = {"cell": network.cell, "number of layers": network.layers} if network.m else {}
    common = {"precision": model.parameters["V"].dtype, "kind of text": text, "masks": str(model.masker or "none")}
    return {**of_units, **common}


def _check_alphabets(first: Sequence[str], other: Sequence[str], number: int) -> None:
    if first == other:
        return
    lacking = {1: sorted({*other} - {*first}), number: sorted({*first} - {*other})}
    found = [f"{each} lacks {quote(''.join(characters))}" for each, characters in lacking.items() if characters]
    difference = ", ".join(found) or "they have the same characters in different orders"
    raise ElmanError(f"the models of an ensemble must have the same alphabet: of models 1 and {number}, {difference}")


def _check_weights(weights: Sequence[float], n: int) -> list[float]:
    try:
        shares = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        raise ElmanError(f"the weights of an ensemble must be numbers (got {shorten(weights)})") from None
    if len(shares) != n:
        given = format_count(len(shares), "weight")
        raise ElmanError(f"an ensemble needs a weight for each model (got {given}, {n} models)")
    for share in shares:
        if not 0 <= share < math.inf:
            raise ElmanError(f"a weight of an ensemble must be finite and at least 0 (got {share})")
    if not any(shares):
        raise ElmanError("the weights of an ensemble must not all be 0")
    return shares


def _collect_logits(models: Sequence[Model], x: Indices) -> Logits:
    """Return the logits (n, T, K) of the models after each character but the last."""
    K, T = len(models[0].alphabet), len(x) - 1
    logits = np.empty((len(models), T, K), np.float32)
    for i, model in enumerate(models):
        session, state = model.engine.session(model.parameters), model.start()
        for part in _slices(T, K):
            o, states = session.logits(state, x[:-1][part, None])
            logits[i, part], state = o[:, 0], states.select(-1)
    if not np.isfinite(logits).all():
        raise ElmanError("the logits of a model are not finite: its training diverged")
    return logits


def _slices(T: int, size: int) -> list[slice]:
    """Return parts of T steps with `SLICE_LOGITS` at most, given how many logits a step has."""
    length = max(1, SLICE_LOGITS // size)
    return [slice(start, start + length) for start in range(0, T, length)]


def _minimize(logits: Logits, y: NDArray[np.intp]) -> Floats:
    """Return the weights (n,) that minimize (1), where y (T,) follow."""
    weights = np.full(len(logits), 1 / len(logits))
    loss, gradient, hessian = _evaluate(logits, y, weights)
    for _ in range(MAX_STEPS):
        step, scale, change = _newton_step(weights, gradient, hessian), 1.0, math.inf
        while change > TOLERANCE:
            new = np.maximum(weights + scale * step, 0)
            evaluated, change = _evaluate(logits, y, new), np.abs(new - weights).max()
            if evaluated[0] <= loss:
                weights, (loss, gradient, hessian) = new, evaluated
                break
            scale /= 2
        if weights.max() > MAX_WEIGHT:
            break
        if change <= TOLERANCE:
            return weights
    raise ElmanError("no finite weights predict the text best: it is too short or too repetitive")


def _newton_step(weights: Floats, gradient: Floats, hessian: Floats) -> Floats:
    """Return the step (n,) of Newton's method in the weights that are positive or would grow."""
    step, free = np.zeros_like(weights), (weights > 0) | (gradient < 0)
    while free.any():
        block = hessian[np.ix_(free, free)]
        ridge = RIDGE * np.diag(block).mean() + np.finfo(np.float64).tiny
        step[:] = 0
        step[free] = np.linalg.solve(block + ridge * np.eye(len(block)), -gradient[free])
        blocked = (weights == 0) & (step < 0)
        if not blocked.any():
            break
        free &= ~blocked
    return step


def _evaluate(logits: Logits, y: NDArray[np.intp], weights: Floats) -> tuple[float, Floats, Floats]:
    """Return (1), (2) and (3) at `weights`."""
    n, T, K = logits.shape
    loss, gradient, hessian = 0.0, np.zeros(n), np.zeros((n, n))
    for part in _slices(T, n * K):
        o, target = logits[:, part].astype(np.float64), y[part]
        steps = np.arange(len(target))
        mixed = np.tensordot(weights, o, 1)
        log_p = log_softmax(mixed)
        loss -= float(log_p[steps, target].sum())  # (1)
        p = np.exp(log_p)
        mean = np.einsum("tk,itk->it", p, o)
        gradient += (mean - o[:, steps, target]).sum(axis=1)  # (2)
        o -= mean[..., None]
        hessian += np.einsum("tk,itk,jtk->ij", p, o, o, optimize=True)  # (3)
    return loss / T, gradient / T, hessian / T
