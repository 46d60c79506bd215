"""One trial of a sweep: an ordinary training run, pruned by validations at fractions of its budget."""

from __future__ import annotations

import math
import platform
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from elman.engine import get_engine
from elman.errors import ElmanError, LockedError
from elman.inference.score import score
from elman.runs.directory import CHECKPOINT
from elman.runs.run import Run
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from elman.training.train import train
from elman.tuning.settings import SweepSettings
from elman.tuning.storage import RUNGS

PRUNING_CHARS = 8192
"""Characters of the validation set, at most, that an intermediate validation reads."""
MAX_ATTEMPTS = 10
"""A trial whose worker was killed so often without a new checkpoint has failed: it may be the reason."""

Progress = Callable[[float], None]


def trial_directory(directory: Path, number: int) -> Path:
    """Return the run directory of a trial."""
    return directory / "trials" / f"{number:04d}"


class PruningCallback(TrainingCallback):
    """Reports intermediate validation losses to Optuna, and stops a trial that is to be pruned.

    The validations do not change the run.

    Parameters
    ----------
    trial : Trial
    rungs : sequence of int
        Percent of the budget at which the trial is validated and compared.
    stop : Event
        Set to save the run and stop.
    progress : callable
        Called with the fraction of the budget that is spent.
    """

    def __init__(self, trial: Trial, rungs: Sequence[int], stop: threading.Event, progress: Progress) -> None:
        self.trial, self.stop, self.progress = trial, stop, progress
        reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.rungs = [rung for rung in rungs if rung > max(reported, default=0)]
        self.pruned = trial.user_attrs.get("pruned", False)

    def on_progress(self, run: Run, updates: int) -> None:
        """Validate where a rung is reached, and ask whether to prune."""
        fraction = run.state.update / max(updates, 1)
        self.progress(fraction)
        reached = [rung for rung in self.rungs if rung <= 100 * fraction]
        if reached and fraction < 1:
            self.rungs = [rung for rung in self.rungs if rung > reached[-1]]
            self.trial.report(validate(run), reached[-1])
            if self.trial.should_prune():
                self.trial.set_user_attr("pruned", True)  # before the run is saved, so that a kill does not undo it
                self.pruned = True

    def should_stop(self) -> bool:
        """Return whether the trial is pruned or the worker stops."""
        return self.pruned or self.stop.is_set()


def validate(run: Run) -> float:
    """Return the validation loss of the current network on the first characters of the validation set."""
    windows = run.data.validation_windows
    assert windows is not None
    state, engine = run.state, get_engine(run.config.engine)
    indices = windows.indices[:PRUNING_CHARS]
    loss = score(engine, state.eval_parameters, state.final_hidden, indices).nats_per_char
    return loss if math.isfinite(loss) else math.nan


def run_trial(
    trial: Trial, settings: SweepSettings, corpus: Corpus, directory: Path, stop: threading.Event, progress: Progress
) -> None:
    """Train a trial, or continue one whose worker was stopped, and record how it ended.

    A trial that another worker has finished meanwhile stays as it is.

    Raises
    ------
    ElmanError
        If files cannot be written, or another process writes to the run: the trial is not finished then.
    """
    with suppress(UpdateFinishedTrialError):
        out = trial_directory(directory, trial.number)
        if _count_attempts(trial, out) > MAX_ATTEMPTS:
            _fail(trial, f"its worker was killed {MAX_ATTEMPTS} times in sequence before the next checkpoint")
        else:
            _train(trial, settings, corpus, out, stop, progress)


def _count_attempts(trial: Trial, out: Path) -> int:
    """Count a start of a worker on a trial; return the number of starts since it last wrote a checkpoint."""
    checkpoint = out / CHECKPOINT
    written = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
    before = trial.user_attrs.get("attempts", {})
    count = int(before.get("count", 0)) + 1 if before.get("checkpoint") == written else 1
    trial.set_user_attr("attempts", {"count": count, "checkpoint": written, "host": platform.node()})
    return count


def _train(
    trial: Trial, settings: SweepSettings, corpus: Corpus, out: Path, stop: threading.Event, progress: Progress
) -> None:
    rungs = RUNGS if settings.pruner == "halving" else ()
    callback = PruningCallback(trial, rungs, stop, progress)
    options: Any = settings.trial_options(trial.params)
    try:
        run = train(
            corpus,
            out=out,
            preset=settings.preset,
            resume=out.is_dir(),
            progress=False,
            callback=callback,
            **options,
        )
    except LockedError:
        raise
    except (ElmanError, MemoryError) as error:
        if isinstance(error.__cause__, OSError):  # such as a full disk: no fault of the trial
            raise
        _fail(trial, str(error) or "not enough memory")
        return
    if run.interrupted and not callback.pruned:
        return
    trial.set_user_attr("seconds", round(run.state.seconds, 3))
    trial.set_user_attr("updates", run.state.update)
    if callback.pruned:
        trial.study.tell(trial, state=TrialState.PRUNED)
    elif run.validation_loss is None or not math.isfinite(run.validation_loss):
        _fail(trial, "the validation loss is not finite")
    else:
        trial.study.tell(trial, run.validation_loss)


def _fail(trial: Trial, reason: str) -> None:
    trial.set_user_attr("error", reason)
    trial.study.tell(trial, state=TrialState.FAIL)
