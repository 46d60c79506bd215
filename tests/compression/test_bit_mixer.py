"""The mixer takes a gradient step on the coding cost, and its refinements learn what follows a prediction."""

import numpy as np
import pytest

from elman.compression import bit_mixer as module
from elman.compression.bit_mixer import INPUTS, Mixer, make_mixer
from support.tolerances import FIXED_FUNCTIONS

S, NODE = 5, 2
SELECTED = [NODE, 1, 7, 3, 40, 0]
"""The last of which is the only one."""
RATES = np.array([0.0002] * 5 + [0.0004])


@pytest.fixture
def mixer() -> Mixer:
    """A mixer with random weights and inputs."""
    rng, made = np.random.default_rng(0), make_mixer(S)
    for weights in tables(made):
        weights[:] = rng.normal(0, 0.1, weights.shape)
    made.inputs[:] = rng.normal(0, 2, INPUTS)
    made.selected[:] = SELECTED[:5]
    return made


def tables(mixer: Mixer) -> list[np.ndarray]:
    return [mixer.by_node, mixer.by_last, mixer.by_match, mixer.by_second, mixer.by_place, mixer.common[None]]


def rows(mixer: Mixer) -> np.ndarray:
    """Return the weights that take part in float64, (6, I)."""
    return np.array([table[i] for table, i in zip(tables(mixer), SELECTED, strict=True)], np.float64)


def test_the_prediction_is_a_logistic_function_of_the_weighted_inputs(mixer: Mixer) -> None:
    module.mix(mixer, NODE)
    logit = rows(mixer).sum(axis=0) @ mixer.inputs
    assert mixer.result[1] == pytest.approx(logit, rel=1e-5)
    assert mixer.result[0] == pytest.approx(1 / (1 + np.exp(-logit)), rel=20 * FIXED_FUNCTIONS)


@pytest.mark.parametrize("bit", [0, 1])
def test_a_step_is_one_along_the_gradient(mixer: Mixer, bit: int) -> None:
    module.mix(mixer, NODE)
    before, x = rows(mixer), mixer.inputs.astype(np.float64)

    def cost(weights: np.ndarray) -> float:
        logit = weights.sum(axis=0) @ x
        return float(np.log1p(np.exp(-logit if bit else logit)))

    numerical = np.empty_like(before)
    for index in np.ndindex(*before.shape):
        high, low = before.copy(), before.copy()
        high[index] += 1e-5
        low[index] -= 1e-5
        numerical[index] = (cost(high) - cost(low)) / 2e-5
    module.learn(mixer, bit)
    np.testing.assert_allclose((rows(mixer) - before) / RATES[:, None], -numerical, rtol=1e-2, atol=1e-3)


def test_refinements_learn_what_follows_a_prediction() -> None:
    made = make_mixer(S)  # without inputs
    for _ in range(500):
        module.mix(made, NODE)
        module.learn(made, 1)
    module.mix(made, NODE)
    assert made.result[0] == pytest.approx(0.5, rel=20 * FIXED_FUNCTIONS)
    assert made.result[2] > 0.65


@pytest.mark.parametrize("logit", [-1e30, -30.0, 0.0, 30.0, 1e30])
def test_extreme_predictions_are_finite(logit: float) -> None:
    made = make_mixer(S)
    made.by_node[NODE, 0], made.inputs[0] = 1, logit
    with np.errstate(over="ignore"):
        module.mix(made, NODE)
    module.learn(made, 0)
    assert np.isfinite(made.result).all()
    assert 0 <= made.result[2] <= 1


def test_the_final_probability_is_an_average(mixer: Mixer) -> None:
    module.mix(mixer, NODE)
    p, logit, _ = mixer.result
    at, part = module.interpolation(logit)
    selected = [table[row] for table, row in zip(mixer.refinements, mixer.rows, strict=True)]
    refined = [steps[at] * (1 - part) + steps[at + 1] * part for steps in selected]
    assert mixer.result[2] == pytest.approx((3 * p + sum(refined)) / 5, rel=1e-6)
