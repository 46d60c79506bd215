"""A run in memory: its settings, its state, its history, and the model that it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.config import Config
from elman.engine import TrainState, get_engine
from elman.engine_registry import inference_engine
from elman.errors import format_count
from elman.model import Model
from elman.model.generate import sample_chunks
from elman.network import SamplingParams
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array
from elman.runs.checkpoint import Checkpoint, take_snapshot
from elman.runs.data import TrainingData
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics, Records, Sample, TrainLossEstimator, finite_or_none, summarize
from elman.runs.manifest import ModelOrigin, RunManifest, TextRecord
from elman.runs.snapshot import LineData, Snapshot
from elman.text import Corpus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINAL_LENGTH = 1000
"""Length of the sample of the finished network, as in the reference experiment."""
FINAL_LINES = 10
"""Lines of that sample, where the text is one of independent lines."""


@dataclass(eq=False, repr=False)
class Run:
    """A network in training or trained, with its metrics and samples.

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

    data: TrainingData
    """Its settings, its texts, and the windows into which they are split."""
    state: TrainState
    """The training state, from which training continues."""
    optimizer: Optimizer
    """Its last update, which a schedule needs, is not set: the training loop knows it."""
    directory: RunDirectory | None = None
    """Where it is saved."""
    best: Snapshot | None = None
    """The network with the lowest validation loss so far, where a validation set is held out."""
    selected: Snapshot | None = None
    """That network or, once the run has ended, the last one if it is better: the network used from then on."""
    preset: str = ""
    """The preset that its settings started from; empty if that is not known."""
    init_from: ModelOrigin | None = None
    """The model whose weights it started with; None if they were random."""
    notices: tuple[str, ...] = ()
    """What to know about its start, a sentence each: its text, settings lowered for it, an extended schedule."""
    stopped: str = ""
    """Why training ended: ``epochs``, ``max_updates``, ``max_seconds``, ``patience``, ``counts`` or
    ``interrupted``; else empty."""
    advice: str = ""
    """What to do next, in words; empty before the end."""
    was_finished: bool = False
    """Whether it was resumed, but a limit was reached already, so that nothing was done."""
    validated_at: int = 0
    """The update of the latest validation."""
    validations_since_best: int = 0
    """Since that with the lowest loss of the network."""
    latest_validation_loss: float | None = None
    """In nats per character."""
    measured_speed: float | None = None
    """Of this machine, where the recipe depends on it: a multiple of that of the machine on which it was found."""
    counts_loss: float | None = None
    """The validation loss of the counts of the n-gram prior alone, without the network."""
    preparation_seconds: float = 0.0
    """Time of the last call before its first update, without the compilation of kernels; …"""
    validation_seconds: float = 0.0
    """… that of its validations …"""
    file_seconds: float = 0.0
    """… and that of writing its files."""
    whole_loss: float | None = None
    """The validation loss of the selected network on the whole validation set, where the others read a part of it."""
    score_quantiles: Array | None = None
    """Of the scores of held-out lines, once it has ended; see `elman.model.score_lines`."""
    _lowest_loss: float = math.inf
    """The lowest validation loss of the network with which patience compares, not of the counts alone."""
    metrics: Records[Metrics] = field(init=False)
    samples: Records[Sample] = field(init=False)
    estimator: TrainLossEstimator = field(init=False)
    """Of the train loss, which has the rows of `metrics`."""

    def __post_init__(self) -> None:
        self._set_records([], [])

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.data.config

    @property
    def corpus(self) -> Corpus:
        """The text that it is trained on."""
        return self.data.corpus

    @property
    def validation(self) -> Corpus | None:
        """The text of the validation set, where it is a file of its own."""
        return self.data.validation

    def __repr__(self) -> str:
        loss = "" if self.validation_loss is None else f", validation loss {self.validation_loss:.3f}"
        return f"<Run on {self.corpus.name!r}: {format_count(self.state.update, 'update')}{loss}, {self.model!r}>"

    def _repr_html_(self) -> str:
        from elman.notebook import render_table

        rows = summarize(self.config, self.results())
        rows |= {name: getattr(self, name) or None for name in ("stopped", "advice")}
        return render_table("Run" if self.directory is None else f"Run {self.directory.path}", rows)

    def plot(self, *, smooth: bool = False, by: str = "updates") -> Figure:
        """Return a figure of the losses, see ``elman.runs.plots.plot_losses``; requires the extra ``plot``."""
        from elman.runs.plots import LossCurve, plot_losses

        return plot_losses([LossCurve(self.corpus.name, self.metrics, self.config)], smooth=smooth, by=by)

    def restore_history(self, metrics: list[Metrics], samples: list[Sample]) -> None:
        """Start from these records."""
        self._set_records(metrics, samples)
        self.validated_at, self.latest_validation_loss, self.validations_since_best = 0, None, 0
        self._lowest_loss = math.inf
        for row in metrics:
            self._count_validation(row)

    def _set_records(self, metrics: list[Metrics], samples: list[Sample]) -> None:
        """Set the records; those of a run with a directory are spilled to its files."""
        directory = self.directory
        self.metrics = Records(metrics, None if directory is None else directory.metrics)
        self.samples = Records(samples, None if directory is None else directory.samples)
        self.estimator = TrainLossEstimator(self.config, metrics)

    def add_row(self, row: Metrics) -> None:
        """Add a row of metrics."""
        self.metrics.append(row)
        self._count_validation(row)

    def _count_validation(self, row: Metrics) -> None:
        if row.validation_loss is None:
            return
        self.validated_at, self.latest_validation_loss = row.update, row.validation_loss
        is_lowest = row.validation_loss < self._lowest_loss
        self.validations_since_best = 0 if is_lowest else self.validations_since_best + 1
        self._lowest_loss = row.validation_loss if is_lowest else self._lowest_loss

    @property
    def epochs(self) -> float:
        """The epochs done, such as 0.26; an integer where the last one is complete."""
        update, per_epoch = self.state.update, self.data.windows.per_epoch
        return round(update / per_epoch, 4) if update % per_epoch else update // per_epoch

    @property
    def train_loss(self) -> float | None:
        """The recent train loss, in nats per character, see ``TrainLossEstimator``; None before the first update."""
        return finite_or_none(self.estimator.at(self.state.update, self.smooth_loss))

    @property
    def smooth_loss(self) -> float:
        """The smooth loss, in nats per character; nan before the first update."""
        return self.state.smooth_loss / self.config.seq_length

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before it reached a limit."""
        return self.stopped == "interrupted"

    @property
    def validation_loss(self) -> float | None:
        """The validation loss of the selected network, in nats per character, see `validation_chars`."""
        return None if self.selected is None else self.selected.validation_loss

    @property
    def validation_chars(self) -> int | None:
        """The characters of the validation set that the validation loss is of; None without one."""
        read = self.data.validation_sample if self.whole_loss is None else self.data.validation_set
        return None if read is None or self.validation_loss is None else len(read)

    @property
    def model(self) -> Model:
        """The selected network, ready for use: the best or, where nothing is held out, the current one."""
        from elman.model.loading import create_model

        return create_model(replace(self.selected or self.snapshot(), lines=self.lines))

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """Return the current network, whose arrays change when training continues."""
        return take_snapshot(self.config, self.corpus.alphabet, self.state, validation_loss)

    @property
    def checkpoint(self) -> Checkpoint:
        """The run as a checkpoint."""
        corpus, best = self.corpus, self.best
        is_best = best is not None and self.selected is not None and best.update == self.selected.update
        last_loss = None if is_best else self.validation_loss
        return Checkpoint(
            self.config, corpus.alphabet, corpus.sha256, self.state, best, last_loss, self.lines, self.whole_loss,
            self.counts_loss,
        )  # fmt: skip

    @property
    def lines(self) -> LineData:
        """What its model knows of the lines of its text, where that is one of independent lines."""
        return LineData(self.data.line_hashes, self.score_quantiles)

    @property
    def manifest(self) -> RunManifest:
        """The run as ``run.json`` describes it."""
        corpus, validation = self.corpus, self.validation
        return RunManifest(
            self.config,
            corpus.alphabet,
            TextRecord.of(corpus),
            self.preset,
            self.stopped,
            None if validation is None else TextRecord.of(validation),
            self.init_from,
            validation_chars=self.validation_chars if self.stopped else None,
        )

    def results(self) -> dict[str, Any]:
        """Return the results as ``elman train --json`` prints them."""
        state = self.state
        chars = state.update * self.config.chars_per_update
        return {
            "text": self.corpus.name,
            "updates": state.update,
            "epochs": self.epochs,
            "seconds": round(state.seconds, 3),
            "chars_per_second": round(chars / state.seconds) if state.seconds else None,
            "smooth_loss": finite_or_none(self.smooth_loss),
            "minimum_smooth_loss": finite_or_none(state.minimum_smooth_loss / self.config.seq_length),
            "minimum_at": state.minimum_at,
            "train_loss": self.train_loss,
            "validation_loss": self.validation_loss,
            "validation_chars": self.validation_chars,
            "counts_loss": self.counts_loss,
            "kept_update": state.update if self.selected is None else self.selected.update,
            "stopped": self.stopped,
            "measured_speed": None if self.measured_speed is None else round(self.measured_speed, 3),
            "preparation_seconds": round(self.preparation_seconds, 3),
            "validation_seconds": round(self.validation_seconds, 3),
            "file_seconds": round(self.file_seconds, 3),
            "advice": self.advice,
        }

    def generate(self, length: int, generator: np.random.Generator, temperature: float = 1.0) -> str:
        """Generate `length` characters from the current state, from the next one of the last batch row or of a line."""
        state, alphabet, windows = self.state, self.corpus.alphabet, self.data.windows
        session = get_engine(inference_engine(self.config.engine, self.config.cell)).session(state.eval_parameters)
        position = (windows.batch_size - 1) * windows.row_length + state.position
        first = int(self.corpus.indices[0 if self.config.lines else position])
        shown = "" if self.config.lines else alphabet.decode([first])
        rest = length - len(shown)
        start, sampling = (state.final_hidden.reshape(1), np.array([first])), SamplingParams(temperature)
        chunks = sample_chunks(session, *start, rest, sampling, [generator])
        return shown + "".join(alphabet.decode(characters[:, 0]) for characters in chunks)

    def save_plot(self) -> None:
        """Write the plot of the losses to the directory."""
        from elman.runs.plots import save_figure

        assert self.directory is not None
        save_figure(self.plot(), self.directory.plot_path)

    def final_sample(self, temperature: float = 1.0) -> str:
        """Generate a sample of the selected network, with a generator of its own, so that the run does not change."""
        seed = [self.config.seed, self.state.update]
        if self.config.lines:
            length = FINAL_LENGTH // FINAL_LINES
            return "\n".join(self.model.samples(FINAL_LINES, length, seed=sum(seed), temperature=temperature))
        if self.selected is None or self.selected.update == self.state.update:
            return self.generate(FINAL_LENGTH, np.random.default_rng(seed), temperature)
        return self.model.sample(FINAL_LENGTH, seed=sum(seed), temperature=temperature)
