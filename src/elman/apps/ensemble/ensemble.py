"""`elman.ensemble`: several networks as one network, whose logits are the weighted sum of their logits.

i  1 … n, a network with m_i hidden units and weight w_i        m  the sum of all m_i

::

    (1)  o_t = sum_i w_i o_t^i                      so p_t is proportional to the product of all (p_t^i)^w_i
    (2)  h_t = [h_t^1 … h_t^n]    V = [w_1 V^1 … w_n V^n]    c = sum_i w_i c^i    alpha = sum_i w_i alpha^i

(1) is the output of one network of the same cell, whose state contains the states of all networks (2): its W, and U
above the first layer, are block-diagonal, so that no network reads the state of another. alpha is the sum over the
networks that have a prior. If the weights sum to 1, p_t is the normalized geometric mean of the distributions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from elman.errors import ElmanError, format_count, list_items, option, quote, shorten
from elman.model import Model, check_is_model
from elman.network import Architecture, Array, Arrays, Parameters, State, begin_text, layer_names, suffix
from elman.ngram import ngram_tensors


def ensemble(models: Iterable[Model], *, weights: Sequence[float] | None = None) -> Model:
    """Return the ensemble of several models as one model, whose logits are the weighted sum of their logits.

    Networks that were trained with different seeds, sizes or settings make different errors, which a mean reduces. The
    result is an ordinary network whose layers have the hidden units of all networks, so every function and command
    accepts it. Its memory and time grow with the square of the hidden size.

    Parameters
    ----------
    models : iterable of Model
        At least two models with the same cell, number of layers, alphabet and precision, all of continuous text or all
        of independent lines. Models with an n-gram prior must have the same prior.
    weights : sequence of float, optional
        The weights of the models' logits, at least 0; by default 1 divided by the number of models. They are not
        normalized: with a sum below 1 the distribution is flatter, with a sum above 1 sharper. A model with weight 0 is
        left out.

    Raises
    ------
    ElmanError
        If there are fewer than two models, they differ in more than size and weights, a weight is negative or not
        finite, or all weights are 0.

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
    shares = [1 / len(models)] * len(models) if weights is None else _check_weights(weights, len(models))
    used = [(model, share) for model, share in zip(models, shares, strict=True) if share]
    parameters = join_parameters([model.parameters for model, _ in used], [share for _, share in used])
    state = begin_text(parameters, join_states([model.state for model, _ in used], parameters.architecture))
    if not all(np.isfinite(array).all() for array in parameters.values()):
        raise ElmanError("the weights of the ensemble are too large: its parameters would not be finite")
    first, hashes = models[0], [model.line_hashes for model in models if model.line_hashes is not None]
    all_hashes = np.unique(np.concatenate(hashes)) if len(hashes) == len(models) else None
    return Model(first.alphabet, parameters, state, first.engine, all_hashes, masker=first.masker)


def _check_models(models: Iterable[Model]) -> list[Model]:
    """Return several models, after checks that they can be joined."""
    models = [models] if isinstance(models, Model) else list_items("models", models, expected="several models")
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
        if prior.context_length != next_prior.context_length or not is_same:
            has_networks = all(model.parameters.architecture.m for model in models)
            without = f", or with {option.ngram_order:0}" if has_networks else ""
            raise ElmanError(
                "the models of an ensemble must have the same n-gram prior: train them on the same text with the same"
                f" {option.ngram_order} and {option.ngram_min_count}{without}; of independent"
                f" lines, {option.seed} decides which ones {option.validation} holds out, unless that is a file"
            )
    return models


def _describe(model: Model) -> dict[str, object]:
    """Return the properties that the models of an ensemble must share, besides the alphabet and the prior."""
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
    except (TypeError, ValueError, OverflowError):
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


# --- Networks as one network ---


@np.errstate(over="ignore", invalid="ignore")  # weights may be too large
def join_parameters(members: Sequence[Parameters], weights: Sequence[float]) -> Parameters:
    """Return the network of (2); its members differ only in size, parameters and whether they have the prior."""
    with_units = [member for member in members if member.architecture.m] or members[:1]
    net, arrays = with_units[0].architecture, Arrays()
    for number in range(1, net.layers + 1):
        for name in layer_names(net.cell):
            reads_states = name == "W" or (name == "U" and number > 1)
            arrays[name + suffix(number)] = _join_blocks(with_units, name + suffix(number), reads_states)
    # In float64, so that the sums are rounded once, and a weight that is too large shows only at the end.
    pairs = [*zip(weights, members, strict=True)]
    arrays["V"] = np.concatenate([np.float64(weight) * member["V"] for weight, member in pairs], axis=1)
    arrays["c"] = _weighted_sum(pairs, "c")
    with_prior = [pair for pair in pairs if pair[1].ngrams is not None]
    ngrams = with_prior[0][1].ngrams if with_prior else None
    if with_prior:
        arrays["alpha"] = _weighted_sum(with_prior, "alpha")
    context_length = ngrams.context_length if ngrams else 0
    net = net._replace(m=sum(member.architecture.m for member in members), context_length=context_length)
    arrays = {name: array.astype(members[0]["V"].dtype) for name, array in arrays.items()}
    return Parameters(net, arrays, ngrams)


def join_states(states: Sequence[State], net: Architecture) -> Array:
    """Return the recurrent part of the joined network's state, (S,)."""
    vectors = [state.recurrent.reshape(net.layers * net.state_vectors, -1) for state in states]
    return np.concatenate(vectors, axis=1).ravel()


def _join_blocks(members: Sequence[Parameters], name: str, reads_states: bool) -> Array:
    """Return an array of a layer: for every gate, all members' rows, in separate columns if the array reads states."""
    gates = 1 if name[0] in members[0].architecture.spec.extra_biases else members[0].architecture.gates
    blocks = [member[name].reshape(gates, member.architecture.m, *member[name].shape[1:]) for member in members]
    if reads_states:
        ends = np.cumsum([block.shape[1] for block in blocks])
        columns = [(end - block.shape[1], ends[-1] - end) for block, end in zip(blocks, ends, strict=True)]
        blocks = [np.pad(block, ((0, 0), (0, 0), zeros)) for block, zeros in zip(blocks, columns, strict=True)]
    joined = np.concatenate(blocks, axis=1)
    return joined.reshape(gates * joined.shape[1], *joined.shape[2:])


def _weighted_sum(pairs: Sequence[tuple[float, Parameters]], name: str) -> Array:
    total: Array = np.sum([np.float64(weight) * member[name] for weight, member in pairs], axis=0)
    return total
