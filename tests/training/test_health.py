"""Dead, saturated and diverging networks are warned of, and ordinary runs are not; the advice after a run."""

import re
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import NonFiniteLossError
from elman.network.cells import CELLS
from elman.text import Corpus
from elman.training import limits
from elman.training.advice import Outcome, advise, outcome_of
from elman.training.run import Run
from support.state import TEXT
from support.training import EXACT, Listens, train

SMALL: dict[str, Any] = {"hidden_size": 20, "seq_length": 5, "sample_every": 0}
CORPUS = Corpus.from_text(TEXT * 20)


def trained(**options: Any) -> tuple[Run, list[str]]:
    callback = Listens()
    return train(CORPUS, **SMALL | options, callback=callback), callback.warnings


@pytest.mark.parametrize(
    ("options", "found"),
    [
        *(
            ({"engine": engine, "cell": cell, "init_std": 1e4}, "the hidden layer is saturated")
            for engine in ("numba", "numpy")
            for cell in ("rnn", "gru")
        ),
        ({"layers": 2, "init_std": 1e4}, "layer 1 is saturated"),
        ({"init_std": 0.0}, r"the hidden layer is dead .* raise init_std \(now 0\.0\)"),
        ({"optimizer": "sgd", "learning_rate": 30.0, "beta1": 0.0}, "the loss of uniform predictions|is saturated"),
    ],
)
def test_a_problem_is_noticed_within_100_updates(options: dict[str, Any], found: str) -> None:
    run, (warning,) = trained(**options, max_updates=100)
    assert re.search(found, warning)
    if options.get("init_std") == 1e4:
        assert warning.endswith("lower init_std (now 10000.0) or learning_rate (now 0.1)")
        assert re.match("(The hidden layer|Layer 1) is saturated", run.advice)


class Spoils(Listens):
    """Multiplies all weights, moments and the state, once, after a long call; keeps after which update."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.before, self.at = factor, 0, 0

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update - self.before >= 500 and not self.at:
            self.at = run.state.update
            for array in (*run.state.parameters.values(), *run.state.N.values(), run.state.hidden.recurrent):
                array *= self.factor
        self.before = run.state.update


LONG = SMALL | {"max_updates": 2700, "epochs": 100}
PATHS: tuple[dict[str, Any], ...] = (
    {},
    {"engine": "numpy"},
    {"cell": "lstm"},
    {"layers": 2, "batch_size": 3},
    {"optimizer": "sgd", "learning_rate": 1e-3},
)


@pytest.mark.parametrize("options", PATHS, ids=str)
@pytest.mark.parametrize(
    ("factor", "found"), [(0.0, "is dead"), (1e6, "is saturated|times the loss of uniform"), (1e308, "is not finite")]
)
def test_what_happens_later_is_noticed_within_100_updates(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], factor: float, found: str
) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 1e9)
    callback = Spoils(factor)
    try:
        train(CORPUS, **LONG | options, callback=callback)
    except NonFiniteLossError as error:
        callback.on_warning(str(error))
    (warning,) = callback.warnings
    assert re.search(found, warning)
    update = re.search(r"update (\d+)", warning)
    assert update
    assert callback.at < int(update[1]) <= callback.at + 100


DIVERGING: tuple[dict[str, Any], ...] = (
    {"learning_rate": 100.0},
    {"learning_rate": 1e38},
    {"optimizer": "sgd", "learning_rate": 3.0},
    {"optimizer": "adam", "learning_rate": 50.0},
    {"init_std": 3e38},
)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", DIVERGING, ids=str)
def test_a_run_that_diverges_is_noticed_within_100_updates(cell: str, options: dict[str, Any]) -> None:
    callback = Listens()
    try:
        train(CORPUS, **SMALL | {"cell": cell, "max_updates": 100} | options, callback=callback)
    except NonFiniteLossError as error:
        callback.on_warning(str(error))
    assert len(callback.warnings) == 1


def test_the_update_of_a_warning_does_not_depend_on_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(limits, "TICK_SECONDS", seconds)
        said.append(trained(init_std=100.0, max_updates=300)[1])
    assert said[0] == said[1] != []


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "adam", "learning_rate": 0.01}, {"cell": "lstm"}, {"hidden_size": 100, "seq_length": 25}],
    ids=str,
)
def test_an_ordinary_run_is_not_warned_of(options: dict[str, Any]) -> None:
    assert trained(**options, max_updates=2000)[1] == []


FALLING = [(100, 2.5), (200, 2.2), (300, 2.0), (400, 1.9)]
FLAT = [(100, 2.5), (200, 2.0), (300, 1.905), (400, 1.9)]
RISING = [(100, 2.5), (200, 1.8), (300, 1.85), (400, 1.9)]
SHORT = [(54, 1.611), (60, 1.604)]
SMOOTH = [(100, 50.0), (200, 45.0), (300, 42.0), (400, 40.0)]


@pytest.mark.parametrize(
    ("outcome", "begins"),
    [
        (Outcome(SMOOTH, FALLING, 1.85), "Train longer: validation loss was still falling."),
        (Outcome(SMOOTH, FALLING, 1.5), "Train longer: validation loss was still falling (27 % above train loss)."),
        (Outcome(SMOOTH, RISING, 1.85), "Stop: validation loss has risen from its minimum, although the model is not"),
        (Outcome(SMOOTH, RISING, 1.3), "Stop: validation loss has risen from its minimum (46 % above train loss): "),
        (Outcome(SMOOTH, RISING, 0.19), "Stop: validation loss has risen from its minimum (10.0 times train loss): "),
        (Outcome(SMOOTH, FLAT, 1.3), "Stop: validation loss has plateaued (46 % above train loss): the model is over"),
        (Outcome(SMOOTH, FLAT, 1.85), "Use a larger network: validation loss has plateaued, close to train loss. Incr"),
        (Outcome(SMOOTH, FLAT, 1.67), "Stop: validation loss has plateaued (14 % above train loss), while train loss "),
        (Outcome(FLAT, FLAT, 1.67), "Use a larger network: train and validation loss have both plateaued (14 % above "),
        (Outcome(SMOOTH, SHORT, 2.0), "Train longer: before 2 epochs and 300 updates, a plateau says little."),
        (Outcome(SMOOTH, FLAT, 1.85, epochs=1.9), "Train longer: before 2 epochs and 300 updates, a plateau"),
        (Outcome(SMOOTH, FLAT, 1.67, epochs=1.9), "Train longer: before 2 epochs and 300 updates, a plateau"),
        (Outcome(SMOOTH, SHORT, 1.3), "Stop: validation loss has plateaued (23 % above train loss): the model is over"),
        (Outcome(SMOOTH, FLAT[-1:], 1.85), "Train longer: there are too few validation losses"),
        (Outcome(SMOOTH, FLAT, 1.3, epochs=0), "Train longer: not even one epoch is complete."),
        (Outcome(SMOOTH, FLAT, None), "Use a larger network"),
        (Outcome(SMOOTH, FALLING, 1.85, epochs=9, read_enough=True), "Stop: 9 epochs are enough; more would overfit."),
        (Outcome(SMOOTH, RISING, 1.3, epochs=9, read_enough=True), "Stop: validation loss has risen from its minimum"),
        (Outcome(SMOOTH), "Train longer: train loss was still falling. To see whether the model overfits"),
        (Outcome(SMOOTH, reference=True), "Train longer: train loss was still falling."),
        (Outcome([(1, 50.0), (2, 50.0)], reference=True), "Use a larger network: train loss has plateaued"),
        (Outcome(SMOOTH, (), 0.049), "Stop: train loss is only 0.049 nats/char: the model has memorized its text."),
        (Outcome(SMOOTH, (), 0.051), "Train longer: train loss was still falling."),
        (Outcome([(1, 50.0)]), "Train longer: there are too few updates to see a trend."),
        (Outcome(SMOOTH, FALLING, 1.85, interrupted=True), "The run was interrupted: continue it with resume=True."),
    ],
)
def test_typical_runs(outcome: Outcome, begins: str) -> None:
    assert advise(outcome).startswith(begins)


def test_what_is_recommended_depends_on_the_settings() -> None:
    assert "with validation=0.1" in advise(Outcome(SMOOTH))
    assert "validation" not in advise(Outcome(SMOOTH, reference=True))
    assert "add text or increase dropout" in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.2))
    assert "to improve, add text." in advise(Outcome(SMOOTH, RISING, 1.3, dropout=0.5))


def test_a_fall_where_the_prior_is_switched_on_is_no_trend(tmp_path: Path) -> None:
    options = EXACT | {"batch_size": 2, "max_updates": 100, "validation": 0.25, "validate_every": 10}
    run = train(Corpus.from_text(TEXT * 4), **options, ngram_order=3, ngram_start=0.5, out=tmp_path)
    assert [update for update, _ in outcome_of(run).validation] == [60, 70, 80, 90, 100]
    resumed = train(Corpus.from_text(TEXT * 4), out=tmp_path, resume=True, max_updates=120)
    assert [update for update, _ in outcome_of(resumed).validation] == [60, 70, 80, 90, 100, 110, 120]
    assert len(outcome_of(train(Corpus.from_text(TEXT * 4), **options)).validation) == 10


def test_a_run_that_a_recipe_ended_is_not_to_be_longer() -> None:
    text = Corpus.from_text(TEXT * 5)
    options: dict[str, Any] = {"preset": "minute", "hidden_size": 3, "engine": "numpy"}
    assert outcome_of(elman.train(text, **options, validation=0.2)).read_enough
    assert not outcome_of(elman.train(text, **options, validation=0.2, epochs=2)).read_enough
    assert not outcome_of(elman.train(text, **options, validation=0.2, epochs=18, max_seconds=60.0)).read_enough
    assert not outcome_of(elman.train(text, **options, validation=0.2, max_updates=9)).read_enough
