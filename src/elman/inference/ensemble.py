"""`elman.ensemble`: several models as one, which every use of a model accepts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import pairwise

import numpy as np

from elman.errors import ElmanError, quote, shorten
from elman.inference.ensemble_weights import fit_weights
from elman.inference.model import Model, check_is_model
from elman.network.ensemble import Member, join_members
from elman.network.ngram import NgramModel
from elman.network.parameters import architecture
from elman.text import with_unknown
from elman.text.lines import LineHashes, trim_lines

WEIGHTS_OR_TEXT = "cannot combine --weights with --fit-on, which fits them"


def ensemble(models: Iterable[Model], *, weights: Sequence[float] | None = None, fit_on: str | None = None) -> Model:
    """Return the ensemble of several models as one model, whose logits are the weighted sum of theirs.

    Networks that were trained with different seeds, sizes or settings make different errors, which a mean reduces. The
    result is an ordinary network whose layers have the hidden units of all, see `elman.network.ensemble`, so every
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
        A held-out text, instead of weights: those are used that predict it best, see
        `elman.inference.ensemble_weights`. It is the text itself, not a path, and should be neither the training set
        nor the test set.

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
    <Model: 1 x rnn 32, 11 characters, float32, numpy>
    """
    models = _check_models(models)
    if weights is None:
        shares = [1 / len(models)] * len(models) if fit_on is None else fit_ensemble_weights(models, fit_on)
    elif fit_on is None:
        shares = _check_weights(weights, len(models))
    else:
        raise ElmanError(WEIGHTS_OR_TEXT)
    members = [Member(model.parameters, model.h, share) for model, share in zip(models, shares, strict=True) if share]
    parameters, h = join_members(members)
    if not all(np.isfinite(array).all() for array in parameters.values()):
        raise ElmanError("the weights of the ensemble are too large: its parameters would not be finite")
    return Model(models[0].alphabet, parameters, h, models[0].engine, _join_hashes(models))


def fit_ensemble_weights(models: Iterable[Model], text: str) -> list[float]:
    """Return the weights with which the ensemble of several models predicts a text best.

    Raises
    ------
    ElmanError
        As by `ensemble`.
    """
    models = _check_models(models)
    first = models[0]
    text = trim_lines(text) if first.is_of_lines else text
    return fit_weights(models, first.arrange(with_unknown(first.alphabet).encode(text)))


def _check_models(models: Iterable[Model]) -> list[Model]:
    """Return several models, after checks that they can be joined."""
    models = [models] if isinstance(models, Model) else [*models]
    for model in models:
        check_is_model(model)
    if len(models) < 2:
        raise ElmanError(f"an ensemble needs at least two models (got {len(models)})")
    for number, model in enumerate(models[1:], 2):
        _check_alike(models[0], model, number)
    _check_priors([model.parameters.ngrams for model in models])
    return models


def _check_weights(weights: Sequence[float], n: int) -> list[float]:
    """Return the weights of n models as floats."""
    try:
        shares = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        raise ElmanError(f"the weights of an ensemble must be numbers (got {shorten(weights)})") from None
    if len(shares) != n:
        raise ElmanError(f"an ensemble needs a weight for each model (got {len(shares)} weights, {n} models)")
    for share in shares:
        if not 0 <= share < math.inf:
            raise ElmanError(f"a weight of an ensemble must be finite and at least 0 (got {share})")
    if not any(shares):
        raise ElmanError("the weights of an ensemble must not all be 0")
    return shares


def _join_hashes(models: Sequence[Model]) -> LineHashes | None:
    """Return the hashes of the training lines of all models; None if they are unknown for one of them."""
    hashes = [model.line_hashes for model in models if model.line_hashes is not None]
    return reduce(np.union1d, hashes) if len(hashes) == len(models) else None


def _check_alike(first: Model, model: Model, number: int) -> None:
    """Check that a model can be joined to the first."""
    nets = [architecture(each.parameters) for each in (first, model)]
    properties: dict[str, list[object]] = {
        "cell": [net.cell for net in nets],
        "number of layers": [net.layers for net in nets],
        "precision": [each.h.dtype for each in (first, model)],
        "kind of text": ["independent lines" if each.is_of_lines else "continuous" for each in (first, model)],
    }
    for name, (expected, value) in properties.items():
        if value != expected:
            raise ElmanError(
                f"the models of an ensemble must have the same {name}: of models 1 and {number}, 1 has {expected},"
                f" {number} has {value}"
            )
    _check_alphabets(first.alphabet.characters, model.alphabet.characters, number)


def _check_alphabets(first: Sequence[str], other: Sequence[str], number: int) -> None:
    """Check that the alphabet of a model is that of the first."""
    if first == other:
        return
    lacking = {1: sorted({*other} - {*first}), number: sorted({*first} - {*other})}
    found = [f"{each} lacks {quote(''.join(characters))}" for each, characters in lacking.items() if characters]
    difference = ", ".join(found) or "they have the same characters in different orders"
    raise ElmanError(f"the models of an ensemble must have the same alphabet: of models 1 and {number}, {difference}")


def _check_priors(ngrams: Sequence[NgramModel | None]) -> None:
    """Check that the models that have an n-gram prior have the same one."""
    for first, other in pairwise(model for model in ngrams if model is not None):
        same = (first.order, first.discount) == (other.order, other.discount)
        if not (same and _have_same_counts(first, other)):
            raise ElmanError(
                "the models of an ensemble must have the same n-gram prior: train them on the same text with the same"
                " --ngram-order and --ngram-discount, or with --ngram-order 0; of independent lines, --seed decides"
                " which ones --validation holds out, unless that is a file"
            )


def _have_same_counts(first: NgramModel, other: NgramModel) -> bool:
    """Return whether the texts of two n-gram models have the same counts; those of lines, in whatever order."""
    if np.array_equal(first.text, other.text):
        return True
    of_lines = first.reset_at is not None and other.reset_at is not None and len(first.text) == len(other.text)
    return of_lines and _sort_lines(first) == _sort_lines(other)


def _sort_lines(ngrams: NgramModel) -> list[bytes]:
    """Return the lines of a counted text, sorted."""
    return sorted(line.tobytes() for line in np.split(ngrams.text, np.flatnonzero(ngrams.text == ngrams.reset_at)))
