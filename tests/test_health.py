"""Networks that are dead or blown up are noticed in words; ordinary runs say nothing."""

from typing import Any

import numpy as np
import pytest

from conftest import TEXT
from elman.cli.display import TrainingDisplay
from elman.experiment.config import Config
from elman.experiment.health import LOSSES, Health
from elman.experiment.run import Run
from elman.experiment.train import train
from elman.experiment.watcher import Nobody
from elman.network.parameters import Architecture
from elman.text import Corpus

SMALL: dict[str, Any] = {"hidden_size": 20, "seq_length": 5, "sample_every": 0}
CORPUS = Corpus.from_text(TEXT * 20)


class Listens(Nobody):
    """Keeps what it is warned of, and how many updates were done then."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warned(self, warning: str) -> None:
        self.said.append(warning)


def trained(**options: Any) -> tuple[Run, list[str]]:
    """Train; return the run and the warnings."""
    watcher = Listens()
    return train(CORPUS, **SMALL | options, watcher=watcher), watcher.said


@pytest.mark.parametrize("cell", ["rnn", "gru"])
@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_a_saturated_network_is_noticed_within_100_updates(engine: str, cell: str) -> None:
    run, said = trained(engine=engine, cell=cell, init_std=1e4, max_updates=100)
    (warning,) = said
    assert "the hidden layer is saturated" in warning
    assert warning.endswith("lower --init-std (it is 10000.0) or --learning-rate (0.1)")
    assert run.advice.startswith("The hidden layer is saturated")


def test_a_saturated_layer_above_another_is_named() -> None:
    _, (warning,) = trained(layers=2, init_std=1e4, max_updates=100)
    assert "layer 1 is saturated" in warning


def test_a_dead_network_is_noticed_within_100_updates() -> None:
    _, (warning,) = trained(init_std=0.0, max_updates=100)
    assert "the hidden layer is dead" in warning
    assert "raise --init-std (it is 0.0)" in warning


def test_a_loss_that_blew_up_is_noticed_within_100_updates() -> None:
    _, (warning,) = trained(optimizer="sgd", learning_rate=30.0, beta1=0.0, max_updates=100, metrics_every=100)
    assert "times that of a network that knows nothing" in warning or "is saturated" in warning


def test_losses_are_held_against_knowing_nothing() -> None:
    health = Health(Config(seq_length=10), Architecture("rnn", 1, 20, 4))
    bad, good = 1.6 * health.uniform, 1.4 * health.uniform
    assert "1.6 times that of a network that knows nothing" in health.of_losses([bad] * LOSSES)
    assert health.of_losses([bad] * (LOSSES - 1)) == ""
    assert health.of_losses([good] * LOSSES) == ""
    assert health.of_losses([good] * 60 + [bad] * 40) == ""


def test_one_look_at_a_state_is_not_enough() -> None:
    health = Health(Config(), Architecture("lstm", 1, 20, 4))
    state = np.array([1.0, -1, 1, 1, 50, 60, 70, 80])
    other = np.array([0.5, -1, 1, 1, 50, 60, 70, 80])
    assert [bool(health.of_state(h)) for h in (state, other, state, state)] == [False, False, False, True]


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "learning_rate": 0.01}, {"cell": "lstm"}], ids=str)
def test_an_ordinary_run_is_not_warned_of(options: dict[str, Any]) -> None:
    assert trained(**options, max_updates=2000)[1] == []


def test_the_paper_preset_is_not_warned_of() -> None:
    watcher = Listens()
    train(CORPUS, max_updates=2000, sample_every=0, watcher=watcher)
    assert watcher.said == []


def test_a_warning_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingDisplay().warned("[it] is not well " * 20)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("warning: [it] is not well")
