"""A run: what training made, and how to read it back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elman.config import Config
from elman.engine import TrainState, get_engine
from elman.inference import Model
from elman.network import SamplingParams
from elman.runs.checkpoint import Checkpoint, Network, load_kept, load_network
from elman.runs.history import Rows
from elman.runs.records import BEST, CHECKPOINT, Metrics, RunDirectory, Sample, finite_or_none
from elman.text import Corpus, Windows

FINAL_LENGTH = 1000
"""Characters that the finished network of the reference experiment writes."""


@dataclass(eq=False, repr=False)
class Run:
    """A network in training or trained, with its curve and its texts.

    Parameters
    ----------
    config : Config
    corpus : Corpus
        The text it is trained on.
    state : State
        Everything that training carries on.
    directory : RunDirectory or None
        Where it is kept.
    best : Network or None
        Where a text is kept aside, the network that predicted it best when it was last due to be scored.
    kept : Network or None
        That one or, where the run has ended, the last if it is better: the network that is used from then on.
    metrics : sequence of Metrics
    samples : sequence of Sample
    latest_score : float or None
        Of the text kept aside, when it was last scored; mean nats a character.
    stopped : str
        Why training ended: ``epochs``, ``max_updates``, ``max_seconds``, ``patience`` or ``interrupted``; empty before.
    advice : str
        What to do next, in words; empty before the end.
    """

    config: Config
    corpus: Corpus
    state: TrainState
    directory: RunDirectory | None = None
    best: Network | None = None
    kept: Network | None = None
    metrics: Rows[Metrics] = field(init=False)
    samples: Rows[Sample] = field(init=False)
    latest_score: float | None = None
    stopped: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        self.begin_with([], [])

    def __repr__(self) -> str:
        """Say in a line how far it is, and not all that it holds."""
        loss = "" if self.validation_loss is None else f", validation loss {self.validation_loss:.3f}"
        return f"<Run on {self.corpus.name!r}: {self.state.update:,} updates{loss}, {self.model!r}>"

    def begin_with(self, metrics: list[Metrics], samples: list[Sample]) -> None:
        """Begin with what was written before; where the run is kept in a directory, that holds all of it."""
        there = self.directory
        self.metrics = Rows(metrics, None if there is None else there.metrics)
        self.samples = Rows(samples, None if there is None else there.samples)
        scores = (row.validation_loss for row in reversed(metrics) if row.validation_loss is not None)
        self.latest_score = next(scores, None)

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.stopped == "interrupted"

    @property
    def validation_loss(self) -> float | None:
        """Of the text kept aside, predicted by the network that is kept; mean nats a character."""
        return None if self.kept is None else self.kept.validation_loss

    @property
    def model(self) -> Model:
        """The network that is kept, ready for use: the best or, where no text is kept aside, that of now."""
        network = self.kept or Network(self.state.eval_parameters, self.state.final_hidden, self.state.update)
        return Model(self.corpus.alphabet, network.parameters, network.h, get_engine(self.config.engine))

    @property
    def checkpoint(self) -> Checkpoint:
        """What a checkpoint keeps of it."""
        last_loss = None if self.kept is None or self.kept is self.best else self.kept.validation_loss
        return Checkpoint(self.config, self.corpus.alphabet, self.corpus.sha256, self.state, self.best, last_loss)

    def results(self) -> dict[str, Any]:
        """Return what `elman train --json` prints."""
        state = self.state
        chars = state.update * self.config.chars_per_update
        return {
            "updates": state.update,
            "epochs": state.epoch,
            "seconds": round(state.seconds, 3),
            "chars_per_second": round(chars / state.seconds) if state.seconds else None,
            "smooth_loss": finite_or_none(state.smooth_loss),
            "minimum_smooth_loss": finite_or_none(state.minimum_smooth_loss),
            "minimum_at": state.minimum_at,
            "validation_loss": self.validation_loss,
            "kept_update": state.update if self.kept is None else self.kept.update,
            "stopped": self.stopped,
            "advice": self.advice,
        }

    def write(self, length: int, generator: np.random.Generator) -> str:
        """Return the text's character at hand and what the network of now draws from there; `length` in all."""
        state, alphabet = self.state, self.corpus.alphabet
        first, engine = int(self.corpus.indices[self.at_hand]), get_engine(self.config.engine)
        pieces = written(
            engine, state.eval_parameters, alphabet, state.final_hidden, first, length - 1, SamplingParams(), generator
        )
        return alphabet.decode([first]) + "".join(pieces)

    @property
    def at_hand(self) -> int:
        """Where in the text the last stream goes on."""
        windows, _ = split(self.corpus, self.config)
        return (windows.batch_size - 1) * windows.row_length + self.state.position

    def final_text(self) -> str:
        """Return a text of the network that is kept, drawn so that asking for it does not change the run."""
        seed = [self.config.random_state, self.state.update]
        if self.kept is None or self.kept.update == self.state.update:
            return self.write(FINAL_LENGTH, np.random.default_rng(seed))
        return self.model.sample(FINAL_LENGTH, seed=sum(seed))


def split(corpus: Corpus, config: Config) -> tuple[Windows, Windows | None]:
    """Return the windows to train on, and those of the share at the end that is kept aside.

    Raises
    ------
    ElmanError
        If the first part is shorter than B T + 1 characters, or the second than T + 1.
    """
    border = len(corpus.indices) - round(len(corpus.indices) * config.validation)
    windows = Windows(corpus.indices[:border], config.seq_length, config.batch_size)
    return windows, Windows(corpus.indices[border:], config.seq_length) if config.validation else None


def load(path: str | os.PathLike[str], *, engine: str | None = None) -> Model:
    """Load a trained network from a run directory or one of its two files of weights.

    Of a directory it is the best network where a text was kept aside, and else the last. ``checkpoint.safetensors``
    holds both, and is what is read; ``best.safetensors`` is the best alone, and is read where it stands alone.

    Parameters
    ----------
    path : str or path
    engine : str, optional
        ``numba`` or ``numpy``; by default the one it was trained with.

    Raises
    ------
    ElmanError
        If there is no checkpoint, or it is truncated or altered.
    """
    path = Path(path)
    # Unlike the methods of Path, these take what the system refuses to look at as what is not there.
    if not os.path.isdir(path):  # noqa: PTH112
        saved = load_network(path)
    elif os.path.exists(path / BEST) and not os.path.exists(path / CHECKPOINT):  # noqa: PTH110
        saved = load_network(path / BEST)
    else:
        saved = load_kept(path / CHECKPOINT)
    chosen = get_engine(engine or saved.config.engine)
    return Model(saved.alphabet, saved.network.parameters, saved.network.h, chosen)
