"""The results of a sweep: its trials, the best of them as a run, ``trials.csv``, and ``report.html``."""

from __future__ import annotations

import csv
import io
import shlex
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.apps.sweep.space import SweepSettings
from elman.errors import ElmanError, flag, format_count, quote
from elman.formats.web import STATIC_FILES
from elman.runs import CHECKPOINT, COLOURS
from elman.storage import replace_file

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

TRIALS, TRIAL_RUNS, BEST, REPORT = "trials.csv", "trials", "best", "report.html"
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "running"}
COLUMNS = ("number", "state", "validation_loss", "seconds", "updates", "error")
GREY = "#85807a"  # legible on the light and on the dark theme
LAYOUT: dict[str, Any] = {
    "template": "none", "title": None, "margin": {"t": 20}, "colorway": COLOURS,
    "font": {"family": "system-ui, sans-serif", "color": GREY},
    "paper_bgcolor": "rgba(0, 0, 0, 0)", "plot_bgcolor": "rgba(0, 0, 0, 0)",
}  # fmt: skip
AXIS: dict[str, Any] = {"gridcolor": "rgba(133, 128, 122, 0.25)", "zeroline": False, "automargin": True}
CONFIG = {"displayModeBar": False}
LOSS = "validation loss (nats/char)"
NAMES = {LOSS: "trial", "Best Value": "best so far"}  # of the lines that Optuna draws
MIN_TRIALS = 4  # minimum number of complete trials for estimates of importances


def trial_directory(directory: Path, number: int) -> Path:
    """Return the run directory of a trial."""
    return directory / TRIAL_RUNS / f"{number:04d}"


@dataclass(frozen=True)
class TrialResult:
    """A trial of a sweep."""

    number: int
    """From 0. Its run directory is ``trials/NUMBER``, with four digits."""
    state: str  # ``complete``, ``pruned``, ``failed`` or ``running``
    validation_loss: float | None
    """In nats per character: the loss of a complete trial's selected network, or of the last validation."""
    seconds: float | None  # seconds spent in updates
    updates: int | None
    error: str  # why it failed
    values: dict[str, Any]  # its settings in the search space

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialResult:
        """Return a trial of Optuna."""
        attributes, losses = trial.user_attrs, trial.intermediate_values
        loss = losses.get(max(losses, default=0)) if trial.value is None else trial.value
        figures = attributes.get("seconds"), attributes.get("updates"), attributes.get("error", "")
        return cls(trial.number, STATES[trial.state.name], loss, *figures, trial.params)


@dataclass(frozen=True)
class SweepResult:
    """A sweep: its trials so far."""

    settings: SweepSettings
    trials: tuple[TrialResult, ...]
    interrupted: bool = False  # whether it was stopped before the last trial

    @classmethod
    def of(cls, study: Study, settings: SweepSettings, *, interrupted: bool = False) -> SweepResult:
        """Read the trials of a study."""
        return cls(settings, tuple(map(TrialResult.of, study.get_trials(deepcopy=False))), interrupted)

    @property
    def directory(self) -> Path:
        """The directory of the sweep."""
        return self.settings.directory

    @property
    def best(self) -> TrialResult | None:
        """The complete trial with the lowest validation loss; the first of several."""
        return next((trial for trial in self.ranking() if trial.state == "complete"), None)

    @property
    def counts(self) -> dict[str, int]:
        """State -> the number of trials."""
        return {state: len(self.select(state)) for state in ("complete", "pruned", "failed", "running")}

    def count_trials(self) -> str:
        """Return how many trials there are so far and, if known, how many there will be."""
        done, planned = len(self.trials), self.settings.trials
        return f"{done:,} of {format_count(planned, 'trial')}" if planned else format_count(done, "trial")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the best trial, for `elman.train`; empty before one is complete."""
        return {} if self.best is None else self.settings.options | self.best.values

    @property
    def command(self) -> str:
        """The command that trains the best trial again; empty before one is complete."""
        if self.best is None:
            return ""
        words = ["elman", "train", self.settings.corpus, "--out", f"{self.directory}-best"]
        words += ["--preset", self.settings.preset]
        words += [f"{flag(name)}={value}" for name, value in self.options.items() if value is not None]
        return shlex.join(words)

    def select(self, state: str) -> list[TrialResult]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]

    def ranking(self) -> list[TrialResult]:
        """Return the trials by validation loss, lowest first: complete trials, others, then trials without a loss."""

        def rank(trial: TrialResult) -> tuple[bool, bool, float]:
            return trial.state != "complete", trial.validation_loss is None, trial.validation_loss or 0.0

        return sorted(self.trials, key=rank)

    def as_dict(self) -> dict[str, Any]:
        """Return the results as ``elman sweep --json`` prints them."""
        best = self.best
        chosen = {"best_trial": best and best.number, "validation_loss": best and best.validation_loss}
        named = {name: getattr(self, name) for name in ("options", "command", "interrupted")}
        return {"trials": len(self.trials), **self.counts, **chosen, **named}


def write_trials(result: SweepResult) -> None:
    """Write ``trials.csv``: a row per trial, with a column per setting of the search space."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *COLUMNS[1:], *result.settings.space])
    for trial in result.trials:
        figures = [getattr(trial, name) for name in COLUMNS]
        writer.writerow([*figures, *map(trial.values.get, result.settings.space)])
    replace_file(result.directory / TRIALS, text.getvalue().encode("utf-8", "backslashreplace"))


def copy_best(result: SweepResult) -> None:
    """Copy the run directory of the best trial to ``best``, unless it was removed."""
    # An earlier copy is replaced; if it was trained further, or contains other files, it is renamed instead.
    best, copy, old, runs = (result.directory / name for name in (BEST, f".{BEST}.new", f".{BEST}.old", TRIAL_RUNS))
    if result.best is None or not runs.exists():
        return
    source = trial_directory(result.directory, result.best.number)
    origin = next((run for run in runs.iterdir() if _same_checkpoint(run, best)), None)
    is_copy = origin is not None and _names(best) <= _names(origin)
    if origin == source:
        return
    for rest in (copy, old):  # left by a sweep that was killed here
        shutil.rmtree(rest, ignore_errors=True)
    if (source / CHECKPOINT).exists():
        try:
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*"))
        except shutil.Error as error:  # without the name of a file, but with the reason for each
            raise ElmanError(f"cannot copy the best trial to {quote(best)} ({error.args[0][0][2]})") from None
    if best.exists() and not is_copy:
        names = (best.with_name(f"{BEST}-{n}") for n in count(1))
        best.rename(next(name for name in names if not name.exists()))
    with suppress(FileNotFoundError):
        best.rename(old)  # renamed at once: a kill during the copy would leave a part of it
    if copy.exists():
        copy.rename(best)
    shutil.rmtree(old, ignore_errors=True)


def _same_checkpoint(run: Path, copy: Path) -> bool:
    """Return whether a directory has the checkpoint of a run: a copy has the same modification time."""
    try:
        return (run / CHECKPOINT).stat().st_mtime_ns == (copy / CHECKPOINT).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return False


def _names(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*")}


def write_report(result: SweepResult, study: Study) -> None:
    """Write the report of a sweep, in the colours and fonts of all pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    figures = list[tuple[str, str, str]]()
    for title, note, figure in _draw(result, study):
        figure.update_layout(**LAYOUT)
        figure.update_xaxes(**AXIS)
        figure.update_yaxes(**AXIS)
        figure.for_each_trace(lambda trace: trace.update(name=NAMES.get(trace.name, trace.name)))
        html = figure.to_html(full_html=False, include_plotlyjs=not figures, default_height="400px", config=CONFIG)
        figures.append((title, note, html))
    environment = Environment(loader=PackageLoader("elman.apps.sweep", ""), autoescape=True, undefined=StrictUndefined)
    style = Markup((STATIC_FILES / "base.css").read_text("utf-8"))
    page = environment.get_template("report.html").render(result=result, figures=figures, style=style)
    replace_file(result.directory / REPORT, page.encode("utf-8", "backslashreplace"))


def _draw(result: SweepResult, study: Study) -> Iterator[tuple[str, str, Figure]]:
    from optuna import visualization

    complete, loss = result.select("complete"), LOSS
    if complete:
        figure = visualization.plot_optimization_history(study, target_name=loss)
        yield "History", "The validation loss of every complete trial, and the best so far.", figure
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        figure = visualization.plot_intermediate_values(study)
        figure.update_layout(xaxis_title="budget spent (%)", yaxis_title=loss)
        yield "Learning curves", "The validation loss of every trial in training.", figure
    if len(complete) < MIN_TRIALS:
        return
    if len({trial.validation_loss for trial in complete}) > 1 and len(result.settings.space) > 1:
        figure = visualization.plot_param_importances(study)
        yield "Importances", "How much of the variation each setting explains (PED-ANOVA).", figure
    figure = visualization.plot_parallel_coordinate(study, target_name=loss)
    yield "Parallel coordinates", "A line per complete trial.", figure
