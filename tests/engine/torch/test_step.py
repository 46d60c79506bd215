"""The static buffers of training steps, and which calls share a step. Skipped without PyTorch."""

from dataclasses import replace

import numpy as np
import pytest

from elman.engine import TrainState
from elman.network import Dropout, Optimizer
from elman.network.ngram import count_training_text
from elman.processes import Process
from elman.text import Windows
from support.state import snapshot

torch = pytest.importorskip("torch")

from elman.engine.torch.collectives import Collectives  # noqa: E402
from elman.engine.torch.step import StepCache, TrainingStep  # noqa: E402
from elman.engine.torch.training import advance  # noqa: E402

ADAM = Optimizer(0.01, 1.0, "adam", "norm", ema_decay=0.9, dropout=Dropout(0.2, False, 1))
WINDOWS = Windows(np.random.default_rng(1).integers(0, 7, 300).astype(np.uint8), 6, 3, cross_fit=True)
NGRAMS = count_training_text(WINDOWS.indices, 7, 2, 0.7, 3)


def initial_state(optimizer: Optimizer = ADAM) -> TrainState:
    return TrainState.initial(
        7, 5, 0.3, 400, np.float32, cell="gru", layers=2, batch_size=3, ngrams=NGRAMS, optimizer=optimizer
    )


def new_cache() -> StepCache:
    return StepCache(torch.device("cpu"), False, Collectives(Process()))


def run(steps: StepCache, state: TrainState, updates: int = 3) -> None:
    advance(state, WINDOWS, updates, ADAM, lambda h, losses: False, steps)


def addresses(step: TrainingStep) -> list[int]:
    """Return where the memory of every buffer is."""
    inputs, kinds = step.inputs, (step.theta, step.M, step.N, step.average)
    own = [step.recurrent, step.loss, inputs.x, inputs.y, *inputs.scalars, inputs.dropout_keys, *(inputs.prior or ())]
    return [tensor.data_ptr() for tensor in [*own, *(each for kind in kinds for each in kind.values())]]


def test_the_memory_of_the_buffers_stays_the_same() -> None:
    steps, state = new_cache(), initial_state()
    step, _ = steps.prepare(state, WINDOWS, ADAM)
    before = addresses(step)
    for updates in (1, 30):
        run(steps, state, updates)
    assert steps.prepare(state, WINDOWS, ADAM)[0] is step
    assert addresses(step) == before


def test_a_schedule_does_not_need_another_step() -> None:
    steps, state = new_cache(), initial_state()
    step, _ = steps.prepare(state, WINDOWS, ADAM)
    scheduled = replace(ADAM, learning_rate=0.1, schedule="cosine", warmup=2, end=50, final_lr_fraction=0.1)
    assert steps.prepare(state, WINDOWS, scheduled)[0] is step
    assert steps.prepare(initial_state(), WINDOWS, scheduled)[0] is step


@pytest.mark.parametrize(
    "change", [{"beta1": 0.5}, {"grad_clip": 2.0}, {"dropout": None}, {"dropout": Dropout(0.2, True, 1)}]
)
def test_other_settings_of_the_optimizer_need_another_step(change: dict[str, object]) -> None:
    steps, state = new_cache(), initial_state()
    step, _ = steps.prepare(state, WINDOWS, ADAM)
    assert steps.prepare(state, WINDOWS, replace(ADAM, **change))[0] is not step  # type: ignore[arg-type]


def test_another_shape_and_a_prior_that_is_switched_off_need_another_step() -> None:
    steps, state = new_cache(), initial_state()
    step, _ = steps.prepare(state, WINDOWS, ADAM)
    shorter = Windows(WINDOWS.indices, 5, 3, cross_fit=True)
    assert steps.prepare(state, shorter, ADAM)[0] is not step
    step, _ = steps.prepare(state, WINDOWS, ADAM)
    state.parameters["alpha"][...] = 0
    assert steps.prepare(state, WINDOWS, ADAM)[0] is not step


def test_states_that_take_turns_do_not_influence_one_another() -> None:
    expected, steps = initial_state(), new_cache()
    run(new_cache(), expected, 6)
    states = [initial_state(), initial_state()]
    for _ in range(2):
        for state in states:
            run(steps, state)
    assert snapshot(states[0]) == snapshot(states[1]) == snapshot(expected)


def test_what_changes_between_calls_is_used() -> None:
    """Parameters that a caller sets, and the moments after updates with another engine."""
    steps, state, expected = new_cache(), initial_state(), initial_state()
    for each, cache in ((state, steps), (expected, new_cache())):
        run(cache, each)
        each.parameters["V"][...] *= 0.5
    run(steps, state)
    run(new_cache(), expected)
    for each in (state, expected):
        run(new_cache(), each)
    run(steps, state)
    run(new_cache(), expected)
    assert snapshot(state) == snapshot(expected)
