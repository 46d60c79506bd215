"""The results of a sweep: its trials, the best of them as a run, and ``trials.csv``."""

from __future__ import annotations

import csv
import filecmp
import io
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.errors import flag
from elman.runs.directory import CHECKPOINT
from elman.runs.saved_runs import open_run
from elman.storage.atomic import PARTIAL_SUFFIX, replace_file
from elman.tuning.settings import SweepSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

TRIALS, BEST, REPORT = "trials.csv", "best", "report.html"
COLUMNS = ("trial", "state", "validation_loss", "seconds", "updates", "host", "error")
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialResult:
    """A trial of a sweep.

    Parameters
    ----------
    number : int
        From 0. Its run directory is ``trials/NUMBER``, with four digits.
    state : str
        ``complete``, ``pruned``, ``failed`` or ``running``.
    validation_loss : float or None
        In nats per character: of the selected network of a complete trial, or the last intermediate validation.
    seconds : float or None
        Spent in updates.
    updates : int or None
    host : str
        The machine of its latest worker.
    error : str
        Why it failed.
    values : dict
        Its settings in the search space.
    """

    number: int
    state: str
    validation_loss: float | None
    seconds: float | None
    updates: int | None
    host: str
    error: str
    values: dict[str, Any]

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialResult:
        """Return a trial of Optuna."""
        attributes = trial.user_attrs
        values = trial.intermediate_values
        loss = trial.value if trial.value is not None else values[max(values)] if values else None
        return cls(
            trial.number,
            _STATES.get(trial.state.name, "running"),
            loss,
            attributes.get("seconds"),
            attributes.get("updates"),
            attributes.get("attempts", {}).get("host", ""),
            attributes.get("error", ""),
            trial.params,
        )


@dataclass(frozen=True)
class SweepResult:
    """A sweep: its trials so far.

    Parameters
    ----------
    directory : Path
    settings : SweepSettings
    total : int
        The number of trials wanted.
    trials : sequence of TrialResult
    interrupted : bool
        Whether it was stopped before the last trial.
    """

    directory: Path
    settings: SweepSettings
    total: int
    trials: tuple[TrialResult, ...]
    interrupted: bool = False

    @classmethod
    def of(
        cls, study: Study, directory: Path, settings: SweepSettings, total: int, interrupted: bool = False
    ) -> SweepResult:
        """Read the trials of a study."""
        trials = tuple(map(TrialResult.of, study.get_trials(deepcopy=False)))
        return cls(directory, settings, total, trials, interrupted)

    @property
    def best(self) -> TrialResult | None:
        """The complete trial with the lowest validation loss; the first of several."""
        return min(self.select("complete"), key=lambda trial: trial.validation_loss or 0.0, default=None)

    def select(self, state: str) -> list[TrialResult]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the best trial, for `elman.train`; empty before one is complete."""
        return {} if self.best is None else self.settings.trial_options(self.best.values)

    @property
    def command(self) -> str:
        """The command that trains the best trial again; empty before one is complete."""
        if self.best is None:
            return ""
        words = ["elman", "train", self.settings.corpus, "--out", f"{self.directory}-best"]
        words += ["--preset", self.settings.preset]
        for name, value in self.options.items():
            words += [flag(name), str(value)]
        return shlex.join(words)

    def as_dict(self) -> dict[str, Any]:
        """Return the results as ``elman sweep --json`` prints them."""
        best = self.best
        return {
            "trials": len(self.trials),
            **{state: len(self.select(state)) for state in ("complete", "pruned", "failed", "running")},
            "best_trial": None if best is None else best.number,
            "validation_loss": None if best is None else best.validation_loss,
            "options": self.options,
            "command": self.command,
            "interrupted": self.interrupted,
        }


def write_trials(result: SweepResult) -> None:
    """Write ``trials.csv``: a row per trial, with a column per setting of the search space."""
    names = [dimension.name for dimension in result.settings.space]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for trial in result.trials:
        figures = (trial.validation_loss, trial.seconds, trial.updates, trial.host, trial.error)
        values = [trial.values.get(name) for name in names]
        writer.writerow(["" if value is None else value for value in (trial.number, trial.state, *figures, *values)])
    replace_file(result.directory / TRIALS, text.getvalue().encode())


def copy_best(directory: Path, source: Path, validation_loss: float) -> None:
    """Copy the run directory of the best trial to ``best``; where it is on another machine, there is none.

    Parameters
    ----------
    directory : Path
        Of the sweep.
    source : Path
        The run directory of the best trial. It has another loss if another machine finished the trial.
    validation_loss : float
        That of the trial.
    """
    best, former = directory / BEST, directory / f".{BEST}.former"
    partial = directory / f".{BEST}{PARTIAL_SUFFIX}"
    if not (source / CHECKPOINT).exists() or open_run(source).validation_loss != validation_loss:
        _remove(best)
        return
    if (best / CHECKPOINT).exists() and filecmp.cmp(source / CHECKPOINT, best / CHECKPOINT, shallow=False):
        return
    _remove(partial, former)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(".*"))
    if best.exists():
        best.rename(former)
    partial.rename(best)
    _remove(former)


def _remove(*directories: Path) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def sort_trials(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Return trials from the lowest validation loss on; complete ones first, those without a loss last."""

    def rank(trial: TrialResult) -> tuple[bool, bool, float]:
        loss = trial.validation_loss
        return trial.state != "complete", loss is None, loss or 0.0

    return sorted(trials, key=rank)
