"""A run in memory: its texts and settings, its state, its records and its best network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from elman.config import Config
from elman.engine import TrainState
from elman.errors import checks_types, format_count
from elman.network.optimizer import Optimizer
from elman.network.parameters import Array
from elman.runs.checkpoint import Checkpoint, take_snapshot
from elman.runs.directory import ModelOrigin, RunDirectory, RunManifest, TextRecord
from elman.runs.history import Metrics, Records, Sample, TrainLossEstimator, finite_or_none, summarize
from elman.runs.snapshot import LineData, Snapshot
from elman.runs.texts import TrainingData
from elman.runs.writer import RunWriter
from elman.text import Corpus
from elman.text.kinds import TextKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elman.model import Model


class History:
    """The records of a run, and what follows from its rows; its older records are in the files of its directory."""

    def __init__(
        self,
        config: Config,
        metrics: Sequence[Metrics] = (),
        samples: Sequence[Sample] = (),
        files: RunDirectory | None = None,
    ) -> None:
        self.metrics = Records(metrics, None if files is None else files.metrics)
        self.samples = Records(samples, None if files is None else files.samples)
        self.estimator = TrainLossEstimator(config, metrics)
        self.validated_at = 0  # the update of the latest validation
        self.latest_validation_loss: float | None = None
        self.validations_since_best = 0
        self._lowest_loss = math.inf  # the network's, with which patience compares, not the loss of the counts alone
        for row in metrics:
            self._count_validation(row)

    def add(self, row: Metrics) -> None:
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


@dataclass(eq=False, repr=False)
class Run:
    """A network in training or trained, with its metrics and samples.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> run.metrics[-1].update, len(run.samples), run.interrupted
    (100, 2, False)
    >>> len(run.model.sample(20, seed=1))
    20
    """

    data: TrainingData
    """The settings, the texts, and the windows into which they are split."""
    state: TrainState
    """The state that the engine changes, from which training continues bit for bit."""
    optimizer: Optimizer
    """The optimizer; its last update, which a schedule needs, is the expected one."""
    history: History
    """Its records."""
    directory: RunWriter | None = None
    """The directory where the run is saved."""
    best: Snapshot | None = None
    """The network with the lowest validation loss so far; None without a validation set."""
    selected: Snapshot | None = None
    """The network to use: `best` or, once the run has ended, the last network if it is better."""
    preset: str = ""
    """The preset that its settings started from; empty if that is not known."""
    text_kind: TextKind | None = None
    """The kind of the text, and the settings that followed; None where the preset or the caller decides."""
    init_from: ModelOrigin | None = None
    """The model whose weights it started with; None if they were random."""
    notices: tuple[str, ...] = ()
    """What to know about the start, a sentence each: its text, settings lowered for it, an extended schedule."""
    stopped: str = ""
    """Why training ended: ``epochs``, ``max_updates``, ``max_seconds``, ``patience``, ``counts`` or
    ``interrupted``; empty before that."""
    advice: str = ""
    """What to do next, in words; empty before the end."""
    was_finished: bool = False
    """Whether it was resumed, but a limit was reached already, so that nothing was done."""
    measured_speed: float | None = None
    """The speed of this machine, as a multiple of the speed of the machine on which the recipes were found; None if
    the recipe does not depend on it."""
    counts_loss: float | None = None
    """The validation loss of the counts of the n-gram prior alone, without the network."""
    whole_loss: float | None = None
    """The validation loss of the selected network on the whole validation set, if other losses read a part of it."""
    score_quantiles: Array | None = None
    """The quantiles of the scores of held-out lines, once it has ended; see `elman.model.score_lines`."""
    preparation_seconds: float = 0.0
    """Seconds of the last call before its first update, without the compilation of kernels."""
    validation_seconds: float = 0.0
    """Seconds of the last call in validations."""
    file_seconds: float = 0.0
    """Seconds of the last call in which files were written."""

    def __post_init__(self) -> None:
        self.config: Config = self.data.config
        self.corpus: Corpus = self.data.corpus
        self.metrics: Records[Metrics] = self.history.metrics
        self.samples: Records[Sample] = self.history.samples

    def __repr__(self) -> str:
        loss = "" if self.validation_loss is None else f", validation loss {self.validation_loss:.3f}"
        return f"<Run on {self.corpus.name!r}: {format_count(self.state.update, 'update')}{loss}, {self.model!r}>"

    def _repr_html_(self) -> str:
        from elman.notebook import render_table

        rows = summarize(self.config, self.results())
        rows |= {name: getattr(self, name) or None for name in ("stopped", "advice")}
        return render_table("Run" if self.directory is None else f"Run {self.directory.path}", rows)

    @checks_types
    def plot(self, *, smooth: bool = False, by: str = "updates", ax: Axes | None = None) -> Figure:
        """Return a figure of the losses, see ``elman.runs.plots.plot_losses``; requires the extra ``plot``."""
        from elman.runs.plots import LossCurve, plot_losses

        return plot_losses([LossCurve(self.corpus.name, self.metrics, self.config)], smooth=smooth, by=by, ax=ax)

    @property
    def epochs(self) -> float:
        """The epochs done, such as 0.26; an integer if the last one is complete."""
        update, per_epoch = self.state.update, self.data.windows.per_epoch
        return round(update / per_epoch, 4) if update % per_epoch else update // per_epoch

    @property
    def smooth_loss(self) -> float:
        """The smooth loss, in nats per character; nan before the first update."""
        return self.state.smooth_loss / self.config.seq_length

    @property
    def train_loss(self) -> float | None:
        """The recent train loss, in nats per character, see ``TrainLossEstimator``; None before the first update."""
        return finite_or_none(self.history.estimator.at(self.state.update, self.smooth_loss))

    @property
    def validation_loss(self) -> float | None:
        """The validation loss of the selected network, in nats per character."""
        return None if self.selected is None else self.selected.validation_loss

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before it reached a limit."""
        return self.stopped == "interrupted"

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """Return the current network, whose arrays change when training continues."""
        return take_snapshot(self.config, self.corpus.alphabet, self.state, validation_loss)

    @property
    def model(self) -> Model:
        """The selected network, ready for use: the best or, without a validation set, the current one."""
        from elman.model.loading import create_model

        return create_model(replace(self.selected or self.snapshot(), lines=describe_lines(self)))

    @property
    def manifest(self) -> RunManifest:
        """The run as ``run.json`` describes it."""
        corpus, validation = self.corpus, self.data.validation
        return RunManifest(
            self.config,
            corpus.alphabet,
            TextRecord.of(corpus),
            self.preset,
            self.stopped,
            None if validation is None else TextRecord.of(validation),
            self.init_from,
            validation_chars=_count_validated(self) if self.stopped else None,
            text_kind=self.text_kind,
        )

    def results(self) -> dict[str, Any]:
        """Return the results as ``elman train --json`` prints them."""
        state = self.state
        chars = state.update * self.config.chars_per_update
        return {
            "text": self.corpus.name, "text_kind": self.text_kind and self.text_kind.name,
            "text_settings": self.text_kind.settings if self.text_kind else {},
            "updates": state.update, "epochs": self.epochs,
            "seconds": round(state.seconds, 3),
            "chars_per_second": round(chars / state.seconds) if state.seconds else None,
            "smooth_loss": finite_or_none(self.smooth_loss),
            "minimum_smooth_loss": finite_or_none(state.minimum_smooth_loss / self.config.seq_length),
            "minimum_at": state.minimum_at, "train_loss": self.train_loss, "validation_loss": self.validation_loss,
            "validation_chars": _count_validated(self), "counts_loss": self.counts_loss,
            "kept_update": state.update if self.selected is None else self.selected.update, "stopped": self.stopped,
            "measured_speed": self.measured_speed and round(self.measured_speed, 3),
            "preparation_seconds": round(self.preparation_seconds, 3),
            "validation_seconds": round(self.validation_seconds, 3), "file_seconds": round(self.file_seconds, 3),
            "advice": self.advice,
        }  # fmt: skip


def make_checkpoint(run: Run) -> Checkpoint:
    """Return the checkpoint of a run."""
    best, corpus = run.best, run.corpus
    is_best = best is not None and run.selected is not None and best.update == run.selected.update
    return Checkpoint(
        run.config,
        corpus.alphabet,
        corpus.sha256,
        run.state,
        best,
        last_loss=None if is_best else run.validation_loss,
        lines=describe_lines(run),
        whole_loss=run.whole_loss,
        counts_loss=run.counts_loss,
    )


def describe_lines(run: Run) -> LineData:
    """Return what the model knows of the lines of its text, if the text consists of independent lines."""
    return LineData(run.data.line_hashes, run.score_quantiles)


def _count_validated(run: Run) -> int | None:
    """Return the number of characters that the validation loss was computed on; None without a validation set."""
    read = run.data.validation_sample if run.whole_loss is None else run.data.validation_set
    return None if read is None or run.validation_loss is None else len(read)
