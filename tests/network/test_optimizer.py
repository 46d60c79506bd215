"""Optimizers against PyTorch's and against their formulas; the registry, learning-rate schedules, weight averaging."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.engine import TrainState
from elman.engine.numba.engine import NumbaEngine
from elman.engine.numpy_engine import NumpyEngine
from elman.errors import ElmanError
from elman.network import Dropout, Optimizer
from elman.network.optimizer import is_hidden_matrix
from elman.network.optimizers import EPSILON, OPTIMIZERS, OptimizerSpec, beta_help
from elman.network.parameters import Array, Arrays
from elman.recipe import choose_recipe
from elman.text import Corpus, Windows
from support import reference_impl
from support import tolerances as tolerances
from support.networks import make_state
from support.state import TEXT, snapshot
from support.tolerances import largest_relative_error

UPDATES = 50
SHAPES = {"U": (3, 4), "W": (6, 2), "b": (3,), "d2": (2,)}
RATE = 0.01
TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    # With a sum that starts at 1e-8 PyTorch's sqrt(M) + 0 is the sqrt(M + 1e-8) of the reference experiment.
    "adagrad": ("Adagrad", {"initial_accumulator_value": EPSILON, "eps": 0}),
    "rmsprop": ("RMSprop", {"alpha": 0.98}),
    "adam": ("Adam", {"betas": (0.8, 0.98)}),
    "adamw": ("AdamW", {"betas": (0.8, 0.98)}),
    "sgd": ("SGD", {"momentum": 0.8}),
    "muon": ("AdamW", {"betas": (0.8, 0.98)}),
}
"""The classes of `torch.optim`, and their arguments."""

algorithms = pytest.mark.parametrize("algorithm", OPTIMIZERS)
both_ways = pytest.mark.parametrize("grad_clip_mode", ["value", "norm"])


def arrays(generator: np.random.Generator, scale: float = 1.0, dtype: type[np.floating] = np.float64) -> Arrays:
    return {name: (scale * generator.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()}


def gradients_of_every_size() -> list[Arrays]:
    """Return gradients for every update: some small, some far above a threshold of 1, one component always zero."""
    generator = np.random.default_rng(2)
    gradients = [arrays(generator, 10 ** generator.uniform(-3, 1)) for _ in range(UPDATES)]
    for g in gradients:
        g["W"][0, 0] = g["b"][1] = 0
    return gradients


def updated(optimizer: Optimizer, parameters: Arrays, gradients: list[Arrays]) -> tuple[Arrays, Arrays]:
    """Return parameters and their average after one update per item of `gradients`."""
    parameters = {name: theta.copy() for name, theta in parameters.items()}
    moments = optimizer.init(parameters)
    for n, g in enumerate(gradients, 1):
        optimizer.update(n, parameters, *moments, g)
    return parameters, moments[2]


# --- The registry ---


def test_every_entry_is_consistent() -> None:
    for name, spec in OPTIMIZERS.items():
        assert spec.name == name
        assert set(spec.moments) <= {"M", "N"}
        assert spec.defaults()["learning_rate"] > 0


def test_an_optimizer_is_one_entry_and_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def sign_step(optimizer: Optimizer, n: int, g: Array, g_n: Array, M: Array, N: Array) -> tuple[Array, float]:
        return np.sign(g_n), 1.0

    spec = OptimizerSpec(
        "sign", "Sign", sign_step, "", default_rate=0.002, recipe_rate=lambda _: 0.003, beta2=0.99, beta2_help="nothing"
    )
    monkeypatch.setitem(OPTIMIZERS, "sign", spec)
    corpus = Corpus.from_text(TEXT)
    options: dict[str, Any] = {"preset": "reference", "hidden_size": 5, "optimizer": "Sign", "max_updates": 5}
    run = elman.train(corpus, **options, engine="numpy")
    assert (run.config.optimizer, run.state.M, run.state.N) == ("sign", {}, {})
    assert (run.config.learning_rate, run.config.beta2) == (0.002, 0.99)
    recipe = choose_recipe(10**6, 6, {"optimizer": "sign"})
    assert (recipe["learning_rate"], recipe["beta2"]) == (0.003, 0.99)
    assert all(each in beta_help("beta2") for each in ("; nothing (sign)", "By default 0.99 in sign."))
    for refused in (
        lambda: elman.train(corpus, **options, engine="numba"),
        lambda: NumbaEngine().advance(run.state, run.data.windows, 1, run.optimizer),
    ):
        with pytest.raises(
            ElmanError, match="optimizer 'sign' is not supported by the numba engine; use engine='numpy'"
        ):
            refused()


def test_an_unknown_optimizer_has_no_learning_rate() -> None:
    with pytest.raises(ElmanError, match=r"^unknown optimizer 'newton'; choose from adagrad, "):
        choose_recipe(10**6, 6, {"optimizer": "newton"})


# --- Every optimizer ---


# Not AdaGrad clipped by value at 1: its sum takes the gradient before clipping, and PyTorch's the clipped one.
LIMITS = [
    (algorithm, grad_clip_mode, limit)
    for algorithm, grad_clip_mode, limit in itertools.product(TORCH, ["value", "norm"], [1.0, 100.0])
    if (algorithm, grad_clip_mode, limit) != ("adagrad", "value", 1.0)
]


@pytest.mark.parametrize(("algorithm", "grad_clip_mode", "limit"), LIMITS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_optimizers_are_those_of_torch(algorithm: str, grad_clip_mode: str, limit: float, weight_decay: float) -> None:
    torch = pytest.importorskip("torch")
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    weights = {name: torch.nn.Parameter(torch.tensor(theta)) for name, theta in start.items()}
    groups = [
        {"params": [theta for theta in weights.values() if theta.ndim == 2], "weight_decay": weight_decay},
        {"params": [theta for theta in weights.values() if theta.ndim == 1], "weight_decay": 0.0},
    ]
    name, options = TORCH[algorithm]
    theirs = getattr(torch.optim, name)(groups, RATE, **options)
    clip = getattr(torch.nn.utils, f"clip_grad_{grad_clip_mode}_")
    for g in gradients:
        for name, theta in weights.items():
            theta.grad = torch.tensor(g[name])
        clip(list(weights.values()), limit)
        theirs.step()
    optimizer = Optimizer(RATE, limit, algorithm, grad_clip_mode, 0.8, 0.98, weight_decay)
    ours, _ = updated(optimizer, start, gradients)
    if algorithm == "muon":
        del weights["W"]  # PyTorch's Muon orthogonalizes in bfloat16
    for name, theta in weights.items():
        assert largest_relative_error(ours[name], theta.detach().numpy()) <= tolerances.OPTIMIZER, name


@algorithms
@both_ways
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_optimizer_is_its_formula(algorithm: str, grad_clip_mode: str, weight_decay: float, schedule: str) -> None:
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    optimizer = Optimizer(
        RATE, 1.0, algorithm, grad_clip_mode, 0.8, 0.98, weight_decay, schedule, warmup=5, last_update=60
    )
    ours, _ = updated(optimizer, start, gradients)
    rates, limit = list(optimizer.learning_rates(0, UPDATES)), optimizer.grad_clip
    if grad_clip_mode == "norm":
        gradients, limit = [reference_impl.clipped_by_norm(g, optimizer.grad_clip) for g in gradients], math.inf
    for name, theta in start.items():
        if OPTIMIZERS[algorithm].step_of(is_hidden_matrix(name)) is not OPTIMIZERS[algorithm].step:
            rule = reference_impl.MATRIX_RULES[algorithm]
            expected_matrix = rule(theta, [g[name] for g in gradients], rates, limit, weight_decay)
            assert largest_relative_error(ours[name], expected_matrix) <= tolerances.OPTIMIZER
            continue
        decay = weight_decay if theta.ndim == 2 else 0.0
        for index, weight in np.ndenumerate(theta):
            component = [float(g[name][index]) for g in gradients]
            expected = reference_impl.descend(algorithm, float(weight), component, rates, limit, 0.8, 0.98, decay)
            assert ours[name][index] == pytest.approx(expected, rel=tolerances.OPTIMIZER), (name, index)


def test_the_default_optimizer_rounds_as_the_reference_experiment_does() -> None:
    """Bit for bit, in both precisions, so that its runs are reproduced exactly."""
    for dtype in (np.float32, np.float64):
        generator = np.random.default_rng(3)
        theta, g = arrays(generator, dtype=dtype)["U"], arrays(generator, 5.0, dtype)["U"]
        parameters, M = {"U": theta.copy()}, {"U": np.ones_like(theta)}
        Optimizer(0.1, 5.0).update(1, parameters, M, {}, {}, {"U": g})
        np.testing.assert_array_equal(M["U"], 1 + g**2)
        np.testing.assert_array_equal(parameters["U"], theta - 0.1 * np.clip(g, -5, 5) / np.sqrt(1 + g**2 + 1e-8))


@algorithms
def test_the_arrays_that_an_optimizer_has(algorithm: str) -> None:
    parameters = arrays(np.random.default_rng(1), dtype=np.float32)
    M, N, average = Optimizer(0.1, 5.0, algorithm, ema_decay=0.9).init(parameters)
    for moments, name in ((M, "M"), (N, "N")):
        assert moments.keys() == (parameters.keys() if name in OPTIMIZERS[algorithm].moments else set())
        assert all(array.dtype == np.float32 and not array.any() for array in moments.values())
    for name, theta in parameters.items():
        np.testing.assert_array_equal(average[name], theta)
        assert not np.shares_memory(average[name], theta)
    assert Optimizer(0.1, 5.0, algorithm).init(parameters)[2] == {}


@algorithms
@both_ways
def test_single_precision_stays_single(algorithm: str, grad_clip_mode: str) -> None:
    optimizer = Optimizer(
        0.01, 1.0, algorithm, grad_clip_mode, 0.9, 0.999, 0.1, schedule="cosine", warmup=2, last_update=9, ema_decay=0.9
    )
    parameters = arrays(np.random.default_rng(1), dtype=np.float32)
    moments = optimizer.init(parameters)
    for n in range(1, 6):
        gradients = arrays(np.random.default_rng(n), 3.0, np.float32)
        before = {name: g.copy() for name, g in gradients.items()}
        optimizer.update(n, parameters, *moments, gradients)
        for name, g in gradients.items():
            np.testing.assert_array_equal(g, before[name])
    assert {array.dtype for of_kind in (parameters, *moments) for array in of_kind.values()} == {np.dtype(np.float32)}


# --- Clipping by norm ---


def step_of_sgd(gradients: Arrays, limit: float) -> Arrays:
    """Return what an update with learning rate 1 and no momentum subtracts from the parameters."""
    parameters: Arrays = {name: np.zeros_like(g) for name, g in gradients.items()}
    optimizer = Optimizer(1.0, limit, "sgd", "norm", beta1=0.0)
    optimizer.update(1, parameters, *optimizer.init(parameters), gradients)
    return {name: -theta for name, theta in parameters.items()}


def test_gradients_within_the_threshold_are_unchanged_bit_for_bit() -> None:
    gradients = arrays(np.random.default_rng(1), 0.1, np.float32)
    for limit in (2.0, math.inf):
        for name, step in step_of_sgd(gradients, limit).items():
            np.testing.assert_array_equal(step, gradients[name])


def test_the_norm_of_large_numbers_does_not_overflow() -> None:
    gradients: Arrays = {"b": np.array([3e30, -4e30], np.float32)}
    np.testing.assert_allclose(step_of_sgd(gradients, 5.0)["b"], [3, -4], rtol=1e-6)


def test_a_gradient_that_is_not_a_number_is_not_clipped_away() -> None:
    gradients: Arrays = {"b": np.array([math.nan, 1.0]), "c": np.array([1.0])}
    assert math.isnan(step_of_sgd(gradients, 5.0)["b"][0])
    optimizer, parameters = Optimizer(0.1, 5.0), {name: np.zeros_like(g) for name, g in gradients.items()}
    optimizer.update(1, parameters, *optimizer.init(parameters), gradients)
    assert math.isnan(parameters["b"][0])


# --- Learning rate ---

SCHEDULES = [
    Optimizer(0.3, 5.0),
    Optimizer(0.3, 5.0, warmup=7),
    Optimizer(0.3, 5.0, schedule="cosine", last_update=1000),
    Optimizer(0.3, 5.0, schedule="cosine", warmup=100, last_update=1000),
    Optimizer(0.3, 5.0, schedule="cosine", warmup=100, last_update=1000, final_lr_fraction=0.2),
    Optimizer(0.3, 5.0, schedule="step", warmup=3, last_update=700),
]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_a_warm_up_rises_linearly_to_the_rate(schedule: str) -> None:
    rates = Optimizer(0.3, 5.0, schedule=schedule, warmup=100, last_update=1000).learning_rates(0, 1000)
    np.testing.assert_allclose(rates[:100], 0.3 * np.arange(1, 101) / 100)
    assert rates[100] == rates.max() == 0.3


@pytest.mark.parametrize("warmup", [0, 100])
@pytest.mark.parametrize("final", [0.0, 0.25])
def test_a_cosine_falls_to_nearly_its_final_rate(warmup: int, final: float) -> None:
    optimizer = Optimizer(0.3, 5.0, schedule="cosine", warmup=warmup, last_update=1000, final_lr_fraction=final)
    rates = optimizer.learning_rates(warmup, 1100 - warmup)
    falling = rates[: 1000 - warmup]
    assert falling[0] == 0.3
    assert (np.diff(falling) < 0).all()
    assert falling[len(falling) // 2] == pytest.approx(0.3 * (1 + final) / 2)
    assert 0 < falling[-1] - 0.3 * final < 1e-5 * 0.3
    np.testing.assert_allclose(rates[1000 - warmup :], 0.3 * final, rtol=1e-12)


def test_steps() -> None:
    rates = Optimizer(0.3, 5.0, schedule="step", warmup=20, last_update=120).learning_rates(20, 110)
    np.testing.assert_array_equal(rates, np.repeat([0.3, 0.3 * 0.1, 0.3 * 0.01], [50, 25, 35]))


def test_the_last_update_of_the_shortest_run_is_not_for_nothing() -> None:
    for warmup, end in [(0, 1), (1, 1), (5, 3)]:
        rates = Optimizer(0.3, 5.0, schedule="cosine", warmup=warmup, last_update=end).learning_rates(0, end)
        assert (rates > 0).all()


@pytest.mark.parametrize("optimizer", SCHEDULES)
@settings(deadline=None, max_examples=50)
@given(calls=st.lists(st.integers(0, 300), max_size=8))
def test_learning_rates_in_parts_are_bit_identical(optimizer: Optimizer, calls: list[int]) -> None:
    starts = np.cumsum([0, *calls])
    parts = [optimizer.learning_rates(int(done), updates) for done, updates in zip(starts, calls, strict=False)]
    np.testing.assert_array_equal(np.concatenate([*parts, []]), optimizer.learning_rates(0, sum(calls)))


# --- Average of the weights ---


def test_the_average_by_hand() -> None:
    """Its decay is 2/11 at the first update, 3/12 at the second, and 0.3 from the third on."""
    parameters: Arrays = {"b": np.array([8.0])}
    optimizer = Optimizer(1.0, 100.0, "sgd", beta1=0.0, ema_decay=0.3)
    moments = optimizer.init(parameters)
    average = 8.0
    for n, (gradient, decay) in enumerate([(4.0, 2 / 11), (2.0, 3 / 12), (1.0, 0.3), (-5.0, 0.3)], 1):
        optimizer.update(n, parameters, *moments, {"b": np.array([gradient])})
        average = decay * average + (1 - decay) * parameters["b"][0]
        assert moments[2]["b"][0] == pytest.approx(average, rel=tolerances.OPTIMIZER)
    assert parameters["b"][0] == 6


def test_averaging_does_not_change_the_run() -> None:
    start, gradients = arrays(np.random.default_rng(1)), gradients_of_every_size()
    optimizer = Optimizer(0.01, 1.0, "adam")
    without, nothing = updated(optimizer, start, gradients)
    averaged, average = updated(replace(optimizer, ema_decay=0.99), start, gradients)
    assert nothing == {}
    for name, theta in without.items():
        np.testing.assert_array_equal(averaged[name], theta)
        assert largest_relative_error(average[name], theta) > 1e-3


# --- In a run ---

T, B = 4, 3
WINDOWS = Windows(np.random.default_rng(1).integers(0, 7, B * (5 * T + 2)).astype(np.uint8), T, B)


def trained(optimizer: Optimizer, calls: list[int]) -> tuple[TrainState, Array]:
    state = make_state(7, 5, 0.3, 400, np.float64, cell="gru", layers=2, batch_size=B, optimizer=optimizer)
    losses = [NumpyEngine().advance(state, WINDOWS, updates, optimizer) for updates in calls]
    return state, np.concatenate([*losses, []])


@algorithms
@settings(deadline=None, max_examples=10)
@given(calls=st.lists(st.integers(0, 6), max_size=5))
def test_a_run_in_parts_is_bit_identical(algorithm: str, calls: list[int]) -> None:
    dropout = Dropout(0.2, variational=False, seed=1)
    optimizer = Optimizer(0.01, 1.0, algorithm, "norm", 0.9, 0.99, 0.1, "cosine", 3, 25, 0.95, dropout)
    (parts, losses), (single_call, expected) = trained(optimizer, calls), trained(optimizer, [sum(calls)])
    np.testing.assert_array_equal(losses, expected)
    assert snapshot(parts) == snapshot(single_call)
