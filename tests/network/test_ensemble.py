"""An ensemble as one network: its logits are the weighted sum of those of its networks."""

from collections.abc import Sequence

import numpy as np
import pytest

from elman.network import model
from elman.network.cells import CELLS
from elman.network.ensemble import Member, join_members
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramModel
from support.networks import make_parameters
from support.tolerances import NAIVE

K, T = 7, 9
TEXT = np.random.RandomState(3).randint(0, K, 60).astype(np.uint8)
X = np.random.RandomState(4).randint(0, K, T).astype(np.uint8)
SIZES, WEIGHTS = (4, 6, 1), (0.5, 0.2, 0.4)


def make_members(cell: str, layers: int, priors: Sequence[NgramModel | None]) -> list[Member]:
    generator = np.random.RandomState(5)
    members = []
    for m, weight, ngrams in zip(SIZES, WEIGHTS, priors, strict=True):
        parameters = make_parameters(K, m, 0.5, generator, np.float64, cell, layers, ngrams=ngrams)
        for array in parameters.values():
            array += generator.normal(0, 0.3, array.shape)
        net = parameters.architecture
        history = np.zeros(0) if ngrams is None else TEXT[-ngrams.order :] + 1.0
        h = np.concatenate([generator.uniform(-1, 1, net.recurrent_size), history])
        members.append(Member(parameters, h, weight))
    return members


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("with_prior", [(), (1,), (0, 1, 2)])
def test_the_logits_are_the_weighted_sum(cell: str, layers: int, with_prior: tuple[int, ...]) -> None:
    ngrams = count_ngrams(TEXT, K, order=3)
    members = make_members(cell, layers, [ngrams if n in with_prior else None for n in range(3)])
    parameters, h = join_members(members)
    o, final = model.logits(parameters, h, X)
    expected = sum(member.weight * model.logits(member.parameters, member.h, X)[0] for member in members)
    np.testing.assert_allclose(o, expected, rtol=NAIVE, atol=NAIVE)
    assert parameters.architecture.m == sum(SIZES)
    assert final.shape == h.shape == (parameters.architecture.state_size,)
    # The state goes on as those of the networks do.
    continued, _ = model.logits(parameters, final, X)
    finals = [member._replace(h=model.logits(member.parameters, member.h, X)[1]) for member in members]
    expected = sum(member.weight * model.logits(member.parameters, member.h, X)[0] for member in finals)
    np.testing.assert_allclose(continued, expected, rtol=NAIVE, atol=NAIVE)
