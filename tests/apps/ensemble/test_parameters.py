"""An ensemble as one network: its logits are the weighted sum of those of its networks."""

from collections.abc import Sequence

import numpy as np
import pytest

from elman.apps.ensemble.ensemble import join_parameters, join_states
from elman.network import bptt
from elman.network.cells import CELLS
from elman.network.parameters import Parameters
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramModel
from elman.ngram.table import NgramSpec
from support.networks import make_parameters, state_of
from support.tolerances import NAIVE

K, T = 7, 9
TEXT = np.random.RandomState(3).randint(0, K, 60).astype(np.uint8)
X = np.random.RandomState(4).randint(0, K, T).astype(np.uint8)
WEIGHTS = 0.5, 0.2, 0.4


def make_members(
    cell: str, layers: int, sizes: Sequence[int], priors: Sequence[NgramModel | None]
) -> list[tuple[Parameters, State]]:
    generator = np.random.RandomState(5)
    members = []
    for m, ngrams in zip(sizes, priors, strict=True):
        network = (cell, layers) if m else ("rnn", 1)  # of a model of counts alone, these need not agree
        parameters = make_parameters(K, m, 0.5, generator, np.float64, *network, ngrams=ngrams)
        for array in parameters.values():
            array += generator.normal(0, 0.3, array.shape)
        members.append((parameters, state_of(parameters, generator.uniform(-1, 1, parameters.architecture.state_size))))
    return members


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("sizes", "with_prior"), [((4, 6, 1), ()), ((4, 6, 1), (1,)), ((0, 6, 1), (0, 1, 2))])
def test_the_logits_are_the_weighted_sum(
    cell: str, layers: int, sizes: tuple[int, ...], with_prior: tuple[int, ...]
) -> None:
    ngrams = count_ngrams(TEXT, NgramSpec(K, context_length=3))
    members = make_members(cell, layers, sizes, [ngrams if n in with_prior else None for n in range(3)])
    joined = join_parameters([parameters for parameters, _ in members], WEIGHTS)
    state = bptt.begin_text(joined, join_states([state for _, state in members], joined.architecture))
    net = joined.architecture
    assert (net.m, net.cell, net.layers) == (sum(sizes), cell, layers)
    assert net.shapes() == {name: array.shape for name, array in joined.items()}
    for _ in range(2):  # the state continues as those of the networks do
        o, state = bptt.logits(joined, state, X)
        results = [bptt.logits(*member, X) for member in members]
        expected = sum(weight * logits for weight, (logits, _) in zip(WEIGHTS, results, strict=True))
        np.testing.assert_allclose(o, expected, rtol=NAIVE, atol=NAIVE)
        members = [(parameters, final) for (parameters, _), (_, final) in zip(members, results, strict=True)]
