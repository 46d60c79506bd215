"""The results of a sweep: its trials, the best of them as a run, ``trials.csv``, and ``report.html``."""

from __future__ import annotations

import csv
import io
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.apps.sweep.space import SweepPlan, SweepSettings
from elman.errors import ElmanError, flag, option, quote
from elman.runs import CHECKPOINT, LossCurve, RunDirectory
from elman.storage import replace_file, require_int

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

TRIALS, TRIAL_RUNS, BEST, REPORT = "trials.csv", "trials", "best", "report.html"
MAX_CURVES = 30
"""Learning curves in the plot: those of the best trials."""
MAX_POINTS = 300
"""Points per learning curve."""
MIN_TRIALS = 4
"""Complete trials from which importances are estimated."""
COLUMNS = ("trial", "state", "validation_loss", "seconds", "updates", "host", "error")
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def trial_directory(directory: Path, number: int) -> Path:
    """Return the run directory of a trial."""
    return directory / TRIAL_RUNS / f"{number:04d}"


@dataclass(frozen=True)
class TrialResult:
    """A trial of a sweep."""

    number: int
    """From 0. Its run directory is ``trials/NUMBER``, with four digits."""
    state: str
    """``complete``, ``pruned``, ``failed`` or ``running``."""
    validation_loss: float | None
    """In nats per character: of the selected network of a complete trial, or the last intermediate validation."""
    seconds: float | None
    """Spent in updates."""
    updates: int | None
    host: str
    """The machine of its latest worker."""
    error: str
    """Why it failed."""
    values: dict[str, Any]
    """Its settings in the search space."""
    fraction: float | None = None
    """How much of its budget is spent, of a running trial."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialResult:
        """Return a trial of Optuna."""
        attributes = trial.user_attrs
        # Of a damaged study, a value may be anything; pruners compare them all, and workers find theirs by number.
        require_int(attributes.get("worker", 0), "worker")
        values = {step: float(value) for step, value in trial.intermediate_values.items()}
        loss = trial.value if trial.value is not None else values[max(values)] if values else None
        seconds, updates, fraction = (attributes.get(name) for name in ("seconds", "updates", "fraction"))
        return cls(
            trial.number,
            _STATES.get(trial.state.name, "running"),
            None if loss is None else float(loss),
            None if seconds is None else float(seconds),
            None if updates is None else int(updates),
            str(attributes.get("host", "")),
            str(attributes.get("error", "its machine was lost" if trial.state.name == "FAIL" else "")),
            trial.params,
            None if trial.state.is_finished() or fraction is None else float(fraction),
        )


@dataclass(frozen=True)
class SweepResult:
    """A sweep: its trials so far."""

    directory: Path
    settings: SweepSettings
    total: int
    """The number of trials wanted."""
    trials: tuple[TrialResult, ...]
    interrupted: bool = False
    """Whether it was stopped before the last trial."""

    @classmethod
    def of(cls, study: Study, plan: SweepPlan) -> SweepResult:
        """Read the trials of a study."""
        trials = study.get_trials(deepcopy=False)
        if any(trial.params.keys() - plan.settings.space.keys() for trial in trials):
            remedy = f"choose another {option.out}"
            raise ElmanError(f"the study {quote(study.study_name)} has trials with other settings; {remedy}")
        return cls(plan.directory, plan.settings, plan.trials, tuple(map(TrialResult.of, trials)))

    @property
    def best(self) -> TrialResult | None:
        """The complete trial with the lowest validation loss; the first of several."""
        return next((trial for trial in self.ranking() if trial.state == "complete"), None)

    @property
    def finished(self) -> int:
        """The number of finished trials."""
        return len(self.trials) - len(self.select("running"))

    def select(self, state: str) -> list[TrialResult]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the best trial, for `elman.train`; empty before one is complete."""
        return {} if self.best is None else self.settings.options | self.best.values

    @property
    def command(self) -> str:
        """The command that trains the best trial again; empty before one is complete."""
        if self.best is None:
            return ""
        settings = self.settings
        words = ["elman", "train", settings.corpus, "--out", f"{self.directory}-best", "--preset", settings.preset]
        words += [f"{flag(name)}={value}" for name, value in self.options.items() if value is not None]
        return shlex.join(words)

    def ranking(self) -> list[TrialResult]:
        """Return the trials from the lowest validation loss on; complete ones first, those without a loss last."""
        ordered = sorted(self.trials, key=lambda each: (each.validation_loss is None, each.validation_loss or 0.0))
        return sorted(ordered, key=lambda each: each.state != "complete")

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
    names = [*result.settings.space]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for trial in result.trials:
        figures = (trial.validation_loss, trial.seconds, trial.updates, trial.host, trial.error)
        writer.writerow([trial.number, trial.state, *figures, *map(trial.values.get, names)])
    replace_file(result.directory / TRIALS, text.getvalue().encode("utf-8", "backslashreplace"))


def copy_best(result: SweepResult) -> None:
    """Copy the run directory of the best trial to ``best``; where it is on another machine, there is none.

    An earlier copy is replaced, but if it was trained further, renamed.
    """
    best, copy = result.directory / BEST, result.directory / f".{BEST}.new"
    source = None if result.best is None else trial_directory(result.directory, result.best.number)
    shutil.rmtree(copy, ignore_errors=True)
    if source is not None and (source / CHECKPOINT).exists():
        try:
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*"))
        except shutil.Error as error:  # without the name of a file, but with the reason for each
            raise ElmanError(f"cannot copy the best trial to {quote(best)} ({error.args[0][0][2]})") from None
    mark = result.directory / f".{BEST}"  # which trial was copied, and when its checkpoint was written
    number, _, time = mark.read_text("utf-8", "replace").partition(" ") if mark.exists() else ("", "", "")
    if (best / CHECKPOINT).exists() and str((best / CHECKPOINT).stat().st_mtime_ns) != time:
        names = (best.with_name(f"{BEST}-{n}") for n in count(1))
        best.rename(next(name for name in names if not name.exists()))
    elif copy.exists() or result.best is None or str(result.best.number) != number:
        shutil.rmtree(best, ignore_errors=True)
    if result.best is not None and copy.exists():
        copy.rename(best)
        replace_file(mark, f"{result.best.number} {(best / CHECKPOINT).stat().st_mtime_ns}".encode())


def write_report(result: SweepResult, study: Study) -> None:
    """Write the report of a sweep."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    figures = list[tuple[str, str, str]]()
    for title, note, figure in _draw(result, study):
        figure.update_layout(title=None, margin={"t": 40})  # the heading above it has the title
        html = figure.to_html(full_html=False, include_plotlyjs=not figures, default_height="480px")
        figures.append((title, note, html))
    environment = Environment(loader=PackageLoader("elman.apps.sweep", ""), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("report.html").render(result=result, figures=figures)
    replace_file(result.directory / REPORT, page.encode("utf-8", "backslashreplace"))


def _draw(result: SweepResult, study: Study) -> Iterator[tuple[str, str, Figure]]:
    from optuna import visualization

    complete = result.select("complete")
    if complete:
        figure = visualization.plot_optimization_history(study, target_name="validation loss (nats/char)")
        yield "History", "The validation loss of every complete trial, and the best so far.", figure
    if (curves := _draw_curves(result)).data:
        yield "Learning curves", f"Train loss of the best {MAX_CURVES} trials at most.", curves
    if len(complete) < MIN_TRIALS:
        return
    if len({trial.validation_loss for trial in complete}) > 1 and len(result.settings.space) > 1:
        figure = visualization.plot_param_importances(study)
        yield "Importances", "How much of the variation each setting explains (PED-ANOVA).", figure
    figure = visualization.plot_parallel_coordinate(study, target_name="validation loss")
    yield "Parallel coordinates", "A line per complete trial.", figure


def _draw_curves(result: SweepResult) -> Figure:
    from plotly.graph_objects import Figure

    figure = Figure()
    for trial in result.ranking()[:MAX_CURVES]:
        try:
            curve = LossCurve.of_directory(RunDirectory(trial_directory(result.directory, trial.number)))
        except ElmanError:  # on another machine, or killed before it wrote anything
            continue
        shown = curve.metrics[:: max(1, len(curve.metrics) // MAX_POINTS)]
        seconds, losses = [row.seconds for row in shown], [row.train_loss for row in shown]
        figure.add_scatter(x=seconds, y=losses, mode="lines", name=f"trial {trial.number} ({trial.state})")
    figure.update_layout(xaxis_title="seconds of training", yaxis_title="train loss (nats/char)")
    return figure
