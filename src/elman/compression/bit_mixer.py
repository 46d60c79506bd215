"""The mixer: the probability of a bit from many predictions, with weights that are learned.

S  symbols      I  inputs: predictions stretched to logits, see `elman.compression.bit_counters` and `matches`
M  match models

The inputs are two per context, two per match model, a constant, the distributions of other predictors, and zeros up to
I, a multiple of four, as there are four partial sums.

::

    (1)  w = sum of six vectors of weights: five are each selected by another context, one is always the same
    (2)  p = sigmoid(w'x)
    (3)  each of the six += eta (bit - p) x                 gradient descent on the coding cost -log p
    (4)  final probability: (3 p + two refinements) / 5

The vector that is always the same has an eta of its own.

This is the logistic mixing of PAQ7 (M. Mahoney, 2005). A refinement (adaptive probability map, secondary symbol
estimation) is a table of what followed similar predictions in the same context, between which it interpolates. The
constants are part of the file format.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elman.compression.arithmetic import Floats, Ints, exact_inline, sigmoid
from elman.compression.bit_contexts import COLUMN, CONTEXTS, FIELD
from elman.compression.matches import MODELS, SELECTIONS

DISTRIBUTION_WEIGHTS = (0.88, 0.02, 0.1)
"""Initial weights of the distributions: of the mixture, of the network and of the background model."""
DISTRIBUTIONS = len(DISTRIBUTION_WEIGHTS)
FIRST_MATCH = 2 * CONTEXTS
FIRST_DISTRIBUTION = FIRST_MATCH + 2 * MODELS + 1
"""Places among the inputs; the constant precedes the distributions."""
INPUTS = -(-(FIRST_DISTRIBUTION + DISTRIBUTIONS) // 4) * 4
"""I."""
CONSTANT = np.float32(0.3)
_RATE, _COMMON_RATE = np.float32(0.0002), np.float32(0.0004)
"""eta of the selected vectors and of the one that is always the same."""
_OWN_SHARE, _SCALE = np.float32(3), np.float32(1 / 5)
_HISTORY_WEIGHT, _PROB_WEIGHT = np.float32(0.03), np.float32(0.01)
_FIELDS, _COLUMNS = 32, 32
_MAX_ROWS = 1 << 16
"""Rows of a refinement; of a large alphabet, several contexts share one."""
_STEPS = 24
"""Predictions from -11.5 to 11.5 between which a refinement interpolates."""
_LAST_STEP, _SHIFT = np.float32(11.4), np.float32(11.5)
_REFINEMENT_RATE = np.float32(0.02)
_ZERO, _ONE = np.float32(0), np.float32(1)


class Mixer(NamedTuple):
    """Weights and workspace; changed in place."""

    by_node: Floats  # (S - 1, I)
    by_last: Floats  # (S, I)
    by_match: Floats  # (SELECTIONS, I)
    by_second: Floats  # (S, I)
    by_place: Floats  # (fields x columns, I): where in the line
    common: Floats  # (I,)
    refinements: Floats  # (2, rows, _STEPS)
    inputs: Floats  # (I,)
    products: Floats  # (I,): of inputs and weights
    result: Floats  # (3,): p, w'x and the final probability
    selected: Ints  # (5,): the contexts that select weights
    rows: Ints  # (2,): those of the refinements


@exact_inline
def select(mixer, last, line, match):
    """Set the contexts of a symbol, given the last symbols (2,) or more, the line and the selection of the matches."""
    selected = mixer.selected
    selected[1] = last[0]
    selected[2] = match
    selected[3] = last[1]
    selected[4] = min(line[FIELD], _FIELDS - 1) * _COLUMNS + min(line[COLUMN], _COLUMNS - 1)


@exact_inline
def mix(mixer, node):
    """Set (1), (2) and (4) at a node, from the inputs."""
    selected, rows, x, result, refinements = (
        mixer.selected, mixer.rows, mixer.inputs, mixer.result, mixer.refinements,
    )  # fmt: skip
    selected[0] = node
    w0, w1, w2 = mixer.by_node[node], mixer.by_last[selected[1]], mixer.by_match[selected[2]]
    w3, w4 = mixer.by_second[selected[3]], mixer.by_place[selected[4]]
    products, w5 = mixer.products, mixer.common
    for i in range(INPUTS):
        products[i] = ((((w0[i] + w1[i]) + (w2[i] + w3[i])) + w4[i]) + w5[i]) * x[i]
    s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(0, INPUTS, 4):
        s0 = s0 + products[i]
        s1 = s1 + products[i + 1]
        s2 = s2 + products[i + 2]
        s3 = s3 + products[i + 3]
    logit = (s0 + s1) + (s2 + s3)
    mask = refinements.shape[1] - 1
    rows[0] = (selected[1] * len(mixer.by_node) + node) & mask
    rows[1] = ((selected[1] * 31 + selected[3]) * 257 + node * 13) & mask
    p = sigmoid(logit)
    step, part = interpolation(logit)
    a, b = refinements[0, rows[0]], refinements[1, rows[1]]
    first = a[step] * (_ONE - part) + a[step + 1] * part
    second = b[step] * (_ONE - part) + b[step + 1] * part
    result[0], result[1], result[2] = p, logit, (_OWN_SHARE * p + (first + second)) * _SCALE


@exact_inline
def interpolation(logit):
    """Return the step of a refinement below a logit, and how far the logit is on the way to the next."""
    clipped = max(logit, -_LAST_STEP)
    place = min(clipped, _LAST_STEP) + _SHIFT
    step = np.int64(place)
    return step, place - np.float32(step)


@exact_inline
def learn(mixer, bit):
    """Take the step (3), and adapt the refinements."""
    selected, rows, x, refinements = mixer.selected, mixer.rows, mixer.inputs, mixer.refinements
    w0, w1, w2 = mixer.by_node[selected[0]], mixer.by_last[selected[1]], mixer.by_match[selected[2]]
    w3, w4 = mixer.by_second[selected[3]], mixer.by_place[selected[4]]
    w5, target = mixer.common, np.float32(bit)
    error = target - mixer.result[0]
    step, common_step = _RATE * error, _COMMON_RATE * error
    for i in range(INPUTS):
        change = step * x[i]
        w0[i] = w0[i] + change
        w1[i] = w1[i] + change
        w2[i] = w2[i] + change
        w3[i] = w3[i] + change
        w4[i] = w4[i] + change
        w5[i] = w5[i] + common_step * x[i]
    at, part = interpolation(mixer.result[1])
    for n in range(2):
        row = refinements[n, rows[n]]
        row[at] = row[at] + (target - row[at]) * ((_ONE - part) * _REFINEMENT_RATE)
        row[at + 1] = row[at + 1] + (target - row[at + 1]) * (part * _REFINEMENT_RATE)


def make_mixer(S: int) -> Mixer:
    """Return a mixer that has learned nothing."""
    by_node = np.zeros((S - 1, INPUTS), np.float32)
    by_node[:, 0:FIRST_MATCH:2], by_node[:, 1:FIRST_MATCH:2] = _HISTORY_WEIGHT, _PROB_WEIGHT
    by_node[:, FIRST_DISTRIBUTION : FIRST_DISTRIBUTION + DISTRIBUTIONS] = DISTRIBUTION_WEIGHTS
    steps = np.array([sigmoid(np.float32(i) - _SHIFT) for i in range(_STEPS)], np.float32)
    return Mixer(
        by_node=by_node,
        by_last=np.zeros((S, INPUTS), np.float32),
        by_match=np.zeros((SELECTIONS, INPUTS), np.float32),
        by_second=np.zeros((S, INPUTS), np.float32),
        by_place=np.zeros((_FIELDS * _COLUMNS, INPUTS), np.float32),
        common=np.zeros(INPUTS, np.float32),
        refinements=np.tile(steps, (2, min(_MAX_ROWS, 1 << (16 * S * S).bit_length()), 1)),
        inputs=np.zeros(INPUTS, np.float32),
        products=np.zeros(INPUTS, np.float32),
        result=np.zeros(3, np.float32),
        selected=np.zeros(5, np.int64),
        rows=np.zeros(2, np.int64),
    )
