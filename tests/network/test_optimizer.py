"""The update rule: every optimiser against PyTorch's and against formulas written out, schedules, averaging, decay."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.engine import State
from elman.engine.numpy_engine import NumpyEngine
from elman.network import Dropout, Parameters, Rule
from elman.network.optimizer import EPSILON, OPTIMIZERS, WITH_MOMENTUM, WITH_SQUARES
from elman.network.parameters import Array
from elman.text import Windows
from support import reference_impl
from support import tolerances as tolerances
from support.state import everything
from support.tolerances import largest_relative_error

UPDATES = 50
SHAPES = {"U": (3, 4), "W": (5, 2), "b": (3,), "d2": (2,)}
RATES = {"adagrad": 0.1, "rmsprop": 0.01, "adam": 0.01, "adamw": 0.01, "sgd": 0.05}

optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)
both_ways = pytest.mark.parametrize("clip_by", ["value", "norm"])


def arrays(generator: np.random.Generator, scale: float = 1.0, dtype: type[np.floating] = np.float64) -> Parameters:
    return {name: (scale * generator.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()}


def gradients_of_every_size() -> list[Parameters]:
    """Return gradients for every update: some small, some far beyond a limit of 1, and one component always zero."""
    generator = np.random.default_rng(2)
    gradients = [arrays(generator, 10 ** generator.uniform(-3, 1)) for _ in range(UPDATES)]
    for g in gradients:
        g["W"][0, 0] = g["b"][1] = 0
    return gradients


def updated(rule: Rule, parameters: Parameters, gradients: list[Parameters]) -> tuple[Parameters, Parameters]:
    """Return parameters and their average after an update for each of the gradients."""
    parameters = {name: theta.copy() for name, theta in parameters.items()}
    kept = rule.start(parameters)
    for n, g in enumerate(gradients, 1):
        rule.update(n, parameters, *kept, g)
    return parameters, kept[2]


# --- Every optimiser ---


# Not AdaGrad with a limit of 1 on every value: its sum takes what is not clipped, and PyTorch's what is.
LIMITS = [
    (optimizer, clip_by, limit)
    for optimizer, clip_by, limit in itertools.product(OPTIMIZERS, ["value", "norm"], [1.0, 100.0])
    if (optimizer, clip_by, limit) != ("adagrad", "value", 1.0)
]


@pytest.mark.parametrize(("optimizer", "clip_by", "limit"), LIMITS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_optimiser_is_that_of_pytorch(optimizer: str, clip_by: str, limit: float, weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    weights = {name: torch.nn.Parameter(torch.tensor(theta)) for name, theta in start.items()}
    groups = [
        {"params": [theta for theta in weights.values() if theta.ndim == 2], "weight_decay": weight_decay},
        {"params": [theta for theta in weights.values() if theta.ndim == 1], "weight_decay": 0.0},
    ]
    kind: dict[str, Any] = {
        # With a sum that begins at 1e-8 PyTorch's sqrt(M) + 0 is the sqrt(M + 1e-8) of the reference experiment.
        "adagrad": lambda *args: torch.optim.Adagrad(*args, initial_accumulator_value=EPSILON, eps=0),
        "rmsprop": lambda *args: torch.optim.RMSprop(*args, alpha=0.98),
        "adam": lambda *args: torch.optim.Adam(*args, betas=(0.8, 0.98)),
        "adamw": lambda *args: torch.optim.AdamW(*args, betas=(0.8, 0.98)),
        "sgd": lambda *args: torch.optim.SGD(*args, momentum=0.8),
    }
    theirs = kind[optimizer](groups, RATES[optimizer])
    clip = getattr(torch.nn.utils, f"clip_grad_{clip_by}_")
    for g in gradients:
        for name, theta in weights.items():
            theta.grad = torch.tensor(g[name])
        clip(list(weights.values()), limit)
        theirs.step()
    rule = Rule(RATES[optimizer], limit, optimizer, clip_by, 0.8, 0.98, weight_decay)
    ours, _ = updated(rule, start, gradients)
    for name, theta in weights.items():
        assert largest_relative_error(ours[name], theta.detach().numpy()) <= tolerances.OPTIMISER, name


@optimizers
@both_ways
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_optimiser_is_its_formula(optimizer: str, clip_by: str, weight_decay: float, schedule: str) -> None:
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    rule = Rule(RATES[optimizer], 1.0, optimizer, clip_by, 0.8, 0.98, weight_decay, schedule, warmup=5, end=60)
    ours, _ = updated(rule, start, gradients)
    rates, limit = list(rule.rates(0, UPDATES)), rule.clip
    if clip_by == "norm":
        gradients, limit = [reference_impl.clipped_by_norm(g, rule.clip) for g in gradients], math.inf
    for name, theta in start.items():
        decay = weight_decay if theta.ndim == 2 else 0.0
        for index, weight in np.ndenumerate(theta):
            own = [float(g[name][index]) for g in gradients]
            expected = reference_impl.descend(optimizer, float(weight), own, rates, limit, 0.8, 0.98, decay)
            assert ours[name][index] == pytest.approx(expected, rel=tolerances.OPTIMISER), (name, index)


def test_the_default_rule_rounds_as_the_reference_experiment_does() -> None:
    """Bit by bit, in either width: its runs are drawn again exactly."""
    for dtype in (np.float32, np.float64):
        generator = np.random.default_rng(3)
        theta, g = arrays(generator, dtype=dtype)["U"], arrays(generator, 5.0, dtype)["U"]
        parameters, M = {"U": theta.copy()}, {"U": np.ones_like(theta)}
        Rule(0.1, 5.0).update(1, parameters, M, {}, {}, {"U": g})
        np.testing.assert_array_equal(M["U"], 1 + g**2)
        np.testing.assert_array_equal(parameters["U"], theta - 0.1 * np.clip(g, -5, 5) / np.sqrt(1 + g**2 + 1e-8))


@optimizers
def test_what_a_rule_keeps(optimizer: str) -> None:
    parameters = arrays(np.random.default_rng(1), dtype=np.float32)
    M, N, average = Rule(0.1, 5.0, optimizer, averaging=0.9).start(parameters)
    for kept, names in ((M, WITH_SQUARES), (N, WITH_MOMENTUM)):
        assert kept.keys() == (parameters.keys() if optimizer in names else set())
        assert all(array.dtype == np.float32 and not array.any() for array in kept.values())
    for name, theta in parameters.items():
        np.testing.assert_array_equal(average[name], theta)
        assert not np.shares_memory(average[name], theta)
    assert Rule(0.1, 5.0, optimizer).start(parameters)[2] == {}


@optimizers
@both_ways
def test_single_precision_stays_single(optimizer: str, clip_by: str) -> None:
    rule = Rule(0.01, 1.0, optimizer, clip_by, weight_decay=0.1, schedule="cosine", warmup=2, end=9, averaging=0.9)
    parameters = arrays(np.random.default_rng(1), dtype=np.float32)
    kept = rule.start(parameters)
    for n in range(1, 6):
        gradients = arrays(np.random.default_rng(n), 3.0, np.float32)
        before = {name: g.copy() for name, g in gradients.items()}
        rule.update(n, parameters, *kept, gradients)
        for name, g in gradients.items():
            np.testing.assert_array_equal(g, before[name])
    assert {array.dtype for of_kind in (parameters, *kept) for array in of_kind.values()} == {np.dtype(np.float32)}


# --- Clipping by norm ---


def step_of_sgd(gradients: Parameters, limit: float) -> Parameters:
    """Return what an update with rate 1 and without momentum takes from parameters of zero."""
    parameters: Parameters = {name: np.zeros_like(g) for name, g in gradients.items()}
    rule = Rule(1.0, limit, "sgd", "norm", beta1=0.0)
    rule.update(1, parameters, *rule.start(parameters), gradients)
    return {name: -theta for name, theta in parameters.items()}


def test_all_gradients_together_are_brought_down_to_the_limit() -> None:
    gradients = arrays(np.random.default_rng(1), 10.0)
    step = step_of_sgd(gradients, 2.0)
    norm = math.sqrt(sum(float(np.sum(g**2)) for g in gradients.values()))
    assert math.sqrt(sum(float(np.sum(g**2)) for g in step.values())) == pytest.approx(2, rel=1e-6 / norm)
    for name, g in gradients.items():
        np.testing.assert_allclose(step[name], g * 2 / (norm + 1e-6), tolerances.OPTIMISER)


def test_what_is_within_the_limit_is_left_to_the_bit() -> None:
    gradients = arrays(np.random.default_rng(1), 0.1, np.float32)
    for limit in (2.0, math.inf):
        for name, step in step_of_sgd(gradients, limit).items():
            np.testing.assert_array_equal(step, gradients[name])


def test_the_norm_of_large_numbers_does_not_overflow() -> None:
    gradients: Parameters = {"b": np.array([3e30, -4e30], np.float32)}
    np.testing.assert_allclose(step_of_sgd(gradients, 5.0)["b"], [3, -4], rtol=1e-6)


def test_a_gradient_that_is_not_a_number_is_not_clipped_away() -> None:
    gradients: Parameters = {"b": np.array([math.nan, 1.0]), "c": np.array([1.0])}
    assert math.isnan(step_of_sgd(gradients, 5.0)["b"][0])
    rule, parameters = Rule(0.1, 5.0), {name: np.zeros_like(g) for name, g in gradients.items()}
    rule.update(1, parameters, *rule.start(parameters), gradients)
    assert math.isnan(parameters["b"][0])


# --- The rate ---

SCHEDULES = [
    Rule(0.3, 5.0),
    Rule(0.3, 5.0, warmup=7),
    Rule(0.3, 5.0, schedule="cosine", end=1000),
    Rule(0.3, 5.0, schedule="cosine", warmup=100, end=1000),
    Rule(0.3, 5.0, schedule="cosine", warmup=100, end=1000, final_rate=0.2),
    Rule(0.3, 5.0, schedule="step", warmup=3, end=700),
]


def test_a_constant_rate() -> None:
    np.testing.assert_array_equal(SCHEDULES[0].rates(10, 5), np.full(5, 0.3))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_a_warm_up_rises_linearly_to_the_rate(schedule: str) -> None:
    rates = Rule(0.3, 5.0, schedule=schedule, warmup=100, end=1000).rates(0, 1000)
    np.testing.assert_allclose(rates[:100], 0.3 * np.arange(1, 101) / 100)
    assert rates[100] == rates.max() == 0.3


@pytest.mark.parametrize("warmup", [0, 100])
def test_a_cosine_falls_to_nearly_zero(warmup: int) -> None:
    rates = Rule(0.3, 5.0, schedule="cosine", warmup=warmup, end=1000).rates(warmup, 1100 - warmup)
    falling = rates[: 1000 - warmup]
    assert falling[0] == 0.3
    assert (np.diff(falling) < 0).all()
    assert falling[len(falling) // 2] == pytest.approx(0.15)
    assert 0 < falling[-1] < 1e-5 * 0.3
    np.testing.assert_array_equal(rates[1000 - warmup :], 0)


def test_a_cosine_ends_at_the_share_it_is_given() -> None:
    rates = Rule(0.3, 5.0, schedule="cosine", end=1000, final_rate=0.25).rates(0, 1100)
    assert rates[0] == rates.max() == 0.3
    assert rates[500] == pytest.approx(0.3 * (1 + 0.25) / 2)
    assert (np.diff(rates[:1001]) < 0).all()
    np.testing.assert_allclose(rates[1000:], 0.3 * 0.25, rtol=1e-12)


def test_steps() -> None:
    rates = Rule(0.3, 5.0, schedule="step", warmup=20, end=120).rates(20, 110)
    np.testing.assert_array_equal(rates, np.repeat([0.3, 0.3 * 0.1, 0.3 * 0.01], [50, 25, 35]))


def test_the_last_update_of_the_shortest_run_is_not_for_nothing() -> None:
    for warmup, end in [(0, 1), (1, 1), (5, 3)]:
        rates = Rule(0.3, 5.0, schedule="cosine", warmup=warmup, end=end).rates(0, end)
        assert (rates > 0).all()


@pytest.mark.parametrize("rule", SCHEDULES)
@settings(deadline=None, max_examples=50)
@given(calls=st.lists(st.integers(0, 300), max_size=8))
def test_rates_in_pieces_are_the_whole_to_the_bit(rule: Rule, calls: list[int]) -> None:
    starts = np.cumsum([0, *calls])
    pieces = [rule.rates(int(done), updates) for done, updates in zip(starts, calls, strict=False)]
    np.testing.assert_array_equal(np.concatenate([*pieces, []]), rule.rates(0, sum(calls)))


# --- Averaging ---


def test_the_average_by_hand() -> None:
    """Kept of it: 2/11 at the first update, 3/12 at the second, and from the third on the least, 0.3."""
    parameters: Parameters = {"b": np.array([8.0])}
    rule = Rule(1.0, 100.0, "sgd", beta1=0.0, averaging=0.3)
    kept = rule.start(parameters)
    average = 8.0
    for n, (gradient, share) in enumerate([(4.0, 2 / 11), (2.0, 3 / 12), (1.0, 0.3), (-5.0, 0.3)], 1):
        rule.update(n, parameters, *kept, {"b": np.array([gradient])})
        average = share * average + (1 - share) * parameters["b"][0]
        assert kept[2]["b"][0] == pytest.approx(average, rel=tolerances.OPTIMISER)
    assert parameters["b"][0] == 6


def test_averaging_does_not_change_the_run() -> None:
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    rule = Rule(0.01, 1.0, "adam")
    without, nothing = updated(rule, start, gradients)
    averaged, average = updated(replace(rule, averaging=0.99), start, gradients)
    assert nothing == {}
    for name, theta in without.items():
        np.testing.assert_array_equal(averaged[name], theta)
        assert largest_relative_error(average[name], theta) > 1e-3


# --- Decay ---


@optimizers
def test_decay_shrinks_matrices_and_leaves_biases_alone(optimizer: str) -> None:
    start = arrays(np.random.default_rng(1))
    no_gradients: list[Parameters] = [{name: np.zeros_like(theta) for name, theta in start.items()}] * 3
    parameters, _ = updated(Rule(1e-3, 1.0, optimizer, weight_decay=0.1), start, no_gradients)
    for name, theta in parameters.items():
        if theta.ndim == 1:
            np.testing.assert_array_equal(theta, start[name])
        else:
            assert (np.abs(theta) < np.abs(start[name])).all()


def test_the_decay_of_adamw_is_apart_from_its_gradient() -> None:
    start = arrays(np.random.default_rng(1))
    no_gradient: Parameters = {name: np.zeros_like(theta) for name, theta in start.items()}
    parameters, _ = updated(Rule(0.5, 1.0, "adamw", weight_decay=0.1), start, [no_gradient])
    np.testing.assert_allclose(parameters["W"], 0.95 * start["W"], tolerances.OPTIMISER)


# --- In a run ---

T, B = 4, 3
WINDOWS = Windows(np.random.default_rng(1).integers(0, 7, B * (5 * T + 2)).astype(np.uint8), T, B)


def trained(rule: Rule, calls: list[int]) -> tuple[State, Array]:
    state = State.initial(7, 5, 0.3, 400, np.float64, cell="gru", layers=2, batch_size=B, rule=rule)
    losses = [NumpyEngine().advance(state, WINDOWS, updates, rule) for updates in calls]
    return state, np.concatenate([*losses, []])


@optimizers
@settings(deadline=None, max_examples=10)
@given(calls=st.lists(st.integers(0, 6), max_size=5))
def test_a_run_in_pieces_is_the_whole_to_the_bit(optimizer: str, calls: list[int]) -> None:
    dropout = Dropout(0.2, variational=False, seed=1)
    rule = Rule(0.01, 1.0, optimizer, "norm", 0.9, 0.99, 0.1, "cosine", 3, 25, 0.95, dropout)
    (parts, losses), (whole, expected) = trained(rule, calls), trained(rule, [sum(calls)])
    np.testing.assert_array_equal(losses, expected)
    assert everything(parts) == everything(whole)


@optimizers
def test_every_optimiser_learns(optimizer: str) -> None:
    _, losses = trained(Rule(RATES[optimizer], 5.0, optimizer, "norm"), [200])
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
