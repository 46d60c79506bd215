"""Adaptation: what of a model changes while it reads a text.

=========  ============================================================================================================
weights    all parameters, by dynamic evaluation, see `elman.inference.dynamic_evaluation`
counts     those of the n-gram prior: every character is counted once it has been read, see `elman.network.ngram`
both       both
=========  ============================================================================================================

No character is predicted by a model that has read it, and the model that is passed in does not change.
"""

from __future__ import annotations

from typing import get_args

from elman.config import Adapt
from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.errors import ElmanError, shorten
from elman.inference.dynamic_evaluation import OnProgress, score_dynamic
from elman.inference.score import Score, score
from elman.network import Parameters
from elman.network.parameters import Array

KINDS: tuple[Adapt, ...] = get_args(Adapt)


def parse_adapt(adapt: bool | str) -> Adapt | None:
    """Return what adapts: True is the weights, and False, for which None is returned, nothing.

    Raises
    ------
    ElmanError
        If it is none of these.
    """
    if isinstance(adapt, bool):
        return "weights" if adapt else None
    for kind in KINDS:
        if kind == adapt:
            return kind
    raise ElmanError(f"--adapt must be one of {', '.join(KINDS)} (got {shorten(adapt)})")


def check_adapt(parameters: Parameters, adapt: str | None) -> None:
    """Check that a model has what is to adapt.

    Raises
    ------
    ElmanError
        If the counts are to adapt, and it has no n-gram prior.
    """
    if adapt in ("counts", "both") and parameters.ngrams is None:
        raise ElmanError(f"--adapt {adapt} requires a model with an n-gram prior: train with --ngram-order 7")


def score_adapting(
    engine: Engine,
    parameters: Parameters,
    h0: Array,
    indices: Indices,
    adapt: bool | str = False,
    on_progress: OnProgress | None = None,
) -> Score:
    """Score a text by a model that adapts to it.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        They are not changed.
    h0 : ndarray, shape (D,)
        The initial state.
    indices : ndarray of unsigned int, shape (N,)
        Unknown characters, K or more, are neither read nor adapted to.
    adapt : bool or str
        ``weights`` (or True), ``counts``, ``both``, or False.
    on_progress : callable, optional
        Called while weights adapt, which takes a while.

    Raises
    ------
    ElmanError
        If N < 2, `adapt` is none of these, or there are no counts to adapt.
    """
    kind = parse_adapt(adapt)
    check_adapt(parameters, kind)
    if kind in ("counts", "both"):
        parameters = parameters.continued()
    if kind in ("weights", "both"):
        return score_dynamic(engine, parameters, h0, indices, on_progress=on_progress)
    return score(engine, parameters, h0, indices)
