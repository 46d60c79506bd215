"""A run in memory: its settings, its state, its history, and the model that it trains."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.config import Config
from elman.engine import Engine, TrainState, get_engine
from elman.engines import inference_engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.generate import stream_text
from elman.network import SamplingParams
from elman.network.model import read_text
from elman.notebook import render_table
from elman.runs.builtin import read_builtin
from elman.runs.checkpoint import Checkpoint, NetworkSnapshot, SavedNetwork
from elman.runs.directory import RunDirectory
from elman.runs.model_files import read_model
from elman.runs.plots import LossCurve, plot_losses, save_figure
from elman.runs.records import Metrics, ModelOrigin, Sample, finite_or_none, summarize
from elman.runs.spilled_list import SpilledList
from elman.runs.train_loss import TrainLossEstimator
from elman.storage.builtin import MODELS, BuiltinModel
from elman.text import Alphabet, Corpus, Windows
from elman.text.lines import LineHashes, hash_lines, make_lines, split_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINAL_LENGTH = 1000
"""Length of the sample of the finished network, as in the reference experiment."""
FINAL_LINES = 10
"""Lines of that sample, where the text is one of independent lines."""


@dataclass(eq=False, repr=False)
class Run:
    """A network in training or trained, with its metrics and samples.

    Parameters
    ----------
    config : Config
    corpus : Corpus
        The text it is trained on.
    state : TrainState
        The training state, from which training continues.
    directory : RunDirectory or None
        Where it is saved.
    best : NetworkSnapshot or None
        The network with the lowest validation loss so far, where a validation set is held out.
    selected : NetworkSnapshot or None
        That network or, once the run has ended, the last one if it is better: the network used from then on.
    metrics : sequence of Metrics
    samples : sequence of Sample
    latest_validation_loss : float or None
        The latest validation loss, in nats per character.
    stopped : str
        Why training ended: ``epochs``, ``max_updates``, ``max_seconds``, ``patience`` or ``interrupted``; empty before.
    advice : str
        What to do next, in words; empty before the end.
    init_from : ModelOrigin or None
        The model whose weights it started with; None if they were random.
    line_hashes : ndarray of uint64 or None
        Of a text of independent lines: the hashes of the training lines. See `elman.text.lines`.
    validation : Corpus or None
        The text of the validation set, where it is a file of its own.
    preset : str
        The preset that its settings started from; empty if that is not known.
    notices : tuple of str
        What to know about its start, a sentence each: its text, settings lowered for it, an extended schedule.
    was_finished : bool
        Whether it was resumed, but a limit was reached already, so that nothing was done.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> run.metrics[-1].update, len(run.samples), run.interrupted
    (100, 1, False)
    >>> len(run.model.sample(20, seed=1))
    20
    """

    config: Config
    corpus: Corpus
    state: TrainState
    directory: RunDirectory | None = None
    best: NetworkSnapshot | None = None
    selected: NetworkSnapshot | None = None
    metrics: SpilledList[Metrics] = field(init=False)
    samples: SpilledList[Sample] = field(init=False)
    latest_validation_loss: float | None = None
    stopped: str = ""
    advice: str = ""
    init_from: ModelOrigin | None = None
    line_hashes: LineHashes | None = field(init=False, default=None)
    validation: Corpus | None = None
    preset: str = ""
    notices: tuple[str, ...] = ()
    was_finished: bool = False

    def __post_init__(self) -> None:
        self.restore_history([], [])
        if self.config.lines:
            training, _ = split_lines(self.corpus, held_out_fraction(self.config))
            self.line_hashes = hash_lines(training, self.corpus.alphabet)

    def __repr__(self) -> str:
        """Summarize the run in one line."""
        loss = "" if self.validation_loss is None else f", validation loss {self.validation_loss:.3f}"
        return f"<Run on {self.corpus.name!r}: {self.state.update:,} updates{loss}, {self.model!r}>"

    def _repr_html_(self) -> str:
        rows = summarize(self.config, self.corpus.name, self.metrics, self.train_loss if self.metrics else None)
        rows |= {
            "validation loss": self.validation_loss,
            "stopped": self.stopped or None,
            "advice": self.advice or None,
        }
        return render_table("Run" if self.directory is None else f"Run {self.directory.path}", rows)

    def plot(self) -> Figure:
        """Return a figure of the losses over the updates, in nats per character; requires the extra ``plot``."""
        return plot_losses([LossCurve(self.corpus.name, self.metrics, self.config)])

    def restore_history(self, metrics: list[Metrics], samples: list[Sample]) -> None:
        """Start from these records; those of a run with a directory are spilled to its files."""
        directory = self.directory
        self.metrics = SpilledList(metrics, None if directory is None else directory.metrics)
        self.samples = SpilledList(samples, None if directory is None else directory.samples)
        losses = (row.validation_loss for row in reversed(metrics) if row.validation_loss is not None)
        self.latest_validation_loss = next(losses, None)
        self._train_loss = TrainLossEstimator(self.config, metrics)

    def add_row(self, row: Metrics) -> None:
        """Add a row of metrics."""
        self.metrics.append(row)
        self._train_loss.append(row)
        if row.validation_loss is not None:
            self.latest_validation_loss = row.validation_loss

    @property
    def train_loss(self) -> float | None:
        """The recent train loss, in nats per character, see ``TrainLossEstimator``; None before the first update."""
        return finite_or_none(self._train_loss.at(self.state.update, self.state.smooth_loss))

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before it reached a limit."""
        return self.stopped == "interrupted"

    @property
    def validation_loss(self) -> float | None:
        """The validation loss of the selected network, in nats per character."""
        return None if self.selected is None else self.selected.validation_loss

    @property
    def model(self) -> Model:
        """The selected network, ready for use: the best or, where nothing is held out, the current one."""
        network = self.selected or NetworkSnapshot(
            self.state.eval_parameters, self.state.final_hidden, self.state.update
        )
        engine = get_engine(inference_engine(self.config.engine))
        return _model(self.corpus.alphabet, network, engine, self.line_hashes)

    @property
    def checkpoint(self) -> Checkpoint:
        """The run as a checkpoint."""
        selected = self.selected
        last_loss = None if selected is None or selected is self.best else selected.validation_loss
        return Checkpoint(
            self.config, self.corpus.alphabet, self.corpus.sha256, self.state, self.best, last_loss, self.line_hashes
        )

    def results(self) -> dict[str, Any]:
        """Return the results as ``elman train --json`` prints them."""
        state = self.state
        chars = state.update * self.config.chars_per_update
        return {
            "text": self.corpus.name,
            "updates": state.update,
            "epochs": state.epoch,
            "seconds": round(state.seconds, 3),
            "chars_per_second": round(chars / state.seconds) if state.seconds else None,
            "smooth_loss": finite_or_none(state.smooth_loss),
            "minimum_smooth_loss": finite_or_none(state.minimum_smooth_loss),
            "minimum_at": state.minimum_at,
            "train_loss": self.train_loss,
            "validation_loss": self.validation_loss,
            "kept_update": state.update if self.selected is None else self.selected.update,
            "stopped": self.stopped,
            "advice": self.advice,
        }

    def generate(self, length: int, generator: np.random.Generator) -> str:
        """Generate `length` characters from the current state, starting with the next character of the text.

        A text of independent lines is generated from the start of a line.
        """
        state, alphabet, engine = self.state, self.corpus.alphabet, get_engine(inference_engine(self.config.engine))
        first = int(self.corpus.indices[0 if self.config.lines else self.next_index])
        shown = "" if self.config.lines else alphabet.decode([first])
        rest = length - len(shown)
        chunks = stream_text(
            engine, state.eval_parameters, alphabet, state.final_hidden, first, rest, SamplingParams(), generator
        )
        return shown + "".join(chunks)

    @property
    def next_index(self) -> int:
        """The index of the character that the last row of the batch reads next."""
        windows, _ = split(self.corpus, self.config)
        return (windows.batch_size - 1) * windows.row_length + self.state.position

    def save_plot(self) -> None:
        """Write the plot of the losses, if there are metrics and a directory."""
        if self.directory is not None and self.metrics:
            save_figure(self.plot(), self.directory.plot_path)

    def final_sample(self) -> str:
        """Generate a sample of the selected network, with a generator of its own, so that the run does not change."""
        seed = [self.config.seed, self.state.update]
        if not self.config.lines and (self.selected is None or self.selected.update == self.state.update):
            return self.generate(FINAL_LENGTH, np.random.default_rng(seed))
        if self.config.lines:
            return "\n".join(self.model.samples(FINAL_LINES, FINAL_LENGTH // FINAL_LINES, seed=sum(seed)))
        return self.model.sample(FINAL_LENGTH, seed=sum(seed))


def split(
    corpus: Corpus, config: Config, validation: Corpus | None = None, epoch: int = 0
) -> tuple[Windows, Windows | None]:
    """Return the training windows, and the validation windows from the end of the text or from a text of their own.

    Parameters
    ----------
    corpus : Corpus
    config : Config
    validation : Corpus, optional
        The validation text, where that is a file; without it, there are no validation windows then.
    epoch : int
        Of independent lines: the epoch in whose order they are. Every order has as many windows.

    Raises
    ------
    ElmanError
        If the training text is shorter than B T + 1 characters, or the validation text than T + 1.
    """
    if config.lines:
        return _split_lines(corpus, config, validation, epoch)
    border = training_length(corpus, config)
    windows = Windows(corpus.indices[:border], config.seq_length, config.batch_size, cross_fit=config.ngram_order > 0)
    if validation is not None:
        return windows, Windows(validation.indices, min(config.seq_length, len(validation.indices) - 1))
    if isinstance(config.validation, str) or not config.validation:
        return windows, None
    if (held_out := len(corpus.indices) - border) <= config.seq_length:
        raise ElmanError(
            f"--validation {config.validation} holds out {held_out:,} of {border + held_out:,} characters, but a"
            f" sequence length of {config.seq_length:,} needs at least {config.seq_length + 1:,}: hold out more"
        )
    return windows, Windows(corpus.indices[border:], config.seq_length)


def training_length(corpus: Corpus, config: Config) -> int:
    """Return how many characters of a text are trained on, those before the ones that are held out."""
    N, held_out = len(corpus.indices), held_out_fraction(config)
    return len(split_lines(corpus, held_out)[0].indices) if config.lines else N - round(N * held_out)


def held_out_fraction(config: Config) -> float:
    """Return the fraction of a text that is held out; 0 if the validation set is a text of its own."""
    return 0.0 if isinstance(config.validation, str) else config.validation


def _split_lines(
    corpus: Corpus, config: Config, validation: Corpus | None, epoch: int
) -> tuple[Windows, Windows | None]:
    """Return the windows of training lines in the order of an epoch, and those of validation lines."""
    training, held_out = split_lines(corpus, held_out_fraction(config))
    if validation is not None:
        held_out = make_lines(validation.indices, corpus.alphabet)
    moves = None
    if epoch:
        training, moves = training.shuffle(config.seed, epoch)
    windows = Windows(training.indices, config.seq_length, config.batch_size, config.ngram_order > 0, moves)
    if held_out is None:
        return windows, None
    return windows, Windows(held_out.indices, min(config.seq_length, len(held_out.indices) - 1))


def _model(alphabet: Alphabet, network: NetworkSnapshot, engine: Engine, line_hashes: LineHashes | None) -> Model:
    """Return the model of a network. That of independent lines begins as after a line feed."""
    parameters, h = network.parameters, network.h
    if parameters.reset_at is not None:
        h = read_text(parameters, h, np.array([parameters.reset_at], alphabet.dtype))
    return Model(alphabet, parameters, h, engine, line_hashes)


def load(path: str | os.PathLike[str], *, engine: str | None = None) -> Model:
    """Load a trained model from a run directory or one of its two files of weights, or the built-in model.

    From a directory, it is the best network where a validation set was held out, and otherwise the last.

    Parameters
    ----------
    path : str or path
        ``builtin``, unless there is a file or directory of this name, is the model that Elman contains.
    engine : str, optional
        One of `elman.engines.ENGINES`; by default the engine it was trained with, or ``numba`` for ``torch``.

    Raises
    ------
    ElmanError
        If there is no checkpoint, or it is truncated or altered.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, out="runs/cats", preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> elman.load("runs/cats")
    <Model: 1 x rnn 16, 11 characters, float32, numpy>
    """
    return _saved_model(read_model(Path(path)), engine)


def load_builtin(model: BuiltinModel = MODELS[-1]) -> Model:
    """Load a built-in model, by default the newest.

    Raises
    ------
    ElmanError
        If its file is damaged.
    """
    return _saved_model(read_builtin(model))


def _saved_model(saved: SavedNetwork, engine: str | None = None) -> Model:
    used = get_engine(engine or inference_engine(saved.config.engine))
    return _model(saved.alphabet, saved.network, used, saved.line_hashes)
