"""A run: what training made, and how to read it back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import State, get_engine
from elman.experiment.checkpoint import Checkpoint, load_checkpoint
from elman.experiment.config import Config
from elman.experiment.record import CHECKPOINT, Metrics, RunDirectory, Sample, finite_or_none
from elman.network import Draw
from elman.text import Corpus
from elman.use import Model
from elman.use.sample import written

FINAL_LENGTH = 1000
"""Characters that the finished network of the reference experiment writes."""


@dataclass(eq=False)
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
    metrics : list of Metrics
    samples : list of Sample
    validation_loss : float or None
        Of the text kept aside, when training ended; mean nats a character.
    interrupted : bool
        Whether it was stopped before its end.
    """

    config: Config
    corpus: Corpus
    state: State
    directory: RunDirectory | None = None
    metrics: list[Metrics] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    validation_loss: float | None = None
    interrupted: bool = False

    @property
    def model(self) -> Model:
        """The network as it is now, ready for use."""
        return Model(self.corpus.alphabet, self.state.parameters, self.state.h, get_engine(self.config.engine))

    @property
    def checkpoint(self) -> Checkpoint:
        """What a checkpoint keeps of it."""
        return Checkpoint(self.config, self.corpus.alphabet, self.corpus.sha256, self.state)

    def results(self) -> dict[str, Any]:
        """Return what `elman train --json` prints."""
        state = self.state
        chars = state.update * self.config.seq_length
        return {
            "updates": state.update,
            "epochs": state.epoch,
            "seconds": round(state.seconds, 3),
            "chars_per_second": round(chars / state.seconds) if state.seconds else None,
            "smooth_loss": finite_or_none(state.smooth_loss),
            "minimum_smooth_loss": finite_or_none(state.minimum_smooth_loss),
            "minimum_at": state.minimum_at,
            "validation_loss": self.validation_loss,
        }

    def write(self, length: int, generator: np.random.Generator) -> str:
        """Return the text's character at hand and what the network draws from there; `length` in all."""
        first, model = int(self.corpus.indices[self.state.position]), self.model
        pieces = written(model.engine, model.parameters, model.alphabet, model.h, first, length - 1, Draw(), generator)
        return model.alphabet.decode([first]) + "".join(pieces)

    def final_text(self) -> str:
        """Return the text of the finished network, drawn so that asking for it does not change the run."""
        generator = np.random.default_rng([self.config.random_state, self.state.update])
        return self.write(FINAL_LENGTH, generator)


def load(path: str | os.PathLike[str], *, engine: str | None = None) -> Model:
    """Load a trained network from a run directory or a checkpoint file.

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
    # Unlike Path.is_dir, this takes a name too long for the system as one that is not there.
    is_directory = os.path.isdir(path)  # noqa: PTH112
    checkpoint = load_checkpoint(path / CHECKPOINT if is_directory else path)
    chosen = get_engine(engine or checkpoint.config.engine)
    return Model(checkpoint.alphabet, checkpoint.state.parameters, checkpoint.state.h, chosen)
