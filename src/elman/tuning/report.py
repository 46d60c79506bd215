"""``report.html`` of a sweep: one page that needs no network, with plots of Plotly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from optuna import Study, visualization

from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.plots import LossCurve
from elman.storage.atomic import replace_file
from elman.tuning.results import REPORT, SweepResult, sort_trials
from elman.tuning.trial import trial_directory

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_CURVES = 30
"""Learning curves in the plot: those of the best trials."""
MAX_POINTS = 300
"""Points per learning curve."""
MIN_TRIALS = 4
"""Complete trials from which importances are estimated."""


def write_report(result: SweepResult, study: Study) -> None:
    """Write the report of a sweep."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    figures = [
        (title, note, _render(figure, number)) for number, (title, note, figure) in enumerate(_draw(result, study))
    ]
    environment = Environment(
        loader=PackageLoader("elman.tuning", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [dimension.name for dimension in result.settings.space]
    page = environment.get_template("report.html").render(
        result=result, trials=sort_trials(result.trials), names=names, figures=figures
    )
    replace_file(result.directory / REPORT, page.encode("utf-8", "backslashreplace"))


def _draw(result: SweepResult, study: Study) -> Iterator[tuple[str, str, Figure]]:
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


def _render(figure: Figure, number: int) -> str:
    """Return a plot as HTML, without the title that the heading above it repeats; the first one has the library."""
    figure.update_layout(title=None, margin={"t": 40})
    html: str = figure.to_html(full_html=False, include_plotlyjs=number == 0, default_height="480px")
    return html


def _draw_curves(result: SweepResult) -> Figure:
    from plotly.graph_objects import Figure

    figure = Figure()
    for trial in sort_trials(result.trials)[:MAX_CURVES]:
        try:
            curve = LossCurve.of_directory(RunDirectory(trial_directory(result.directory, trial.number)))
        except ElmanError:  # on another machine, or killed before it wrote anything
            continue
        shown = slice(None, None, max(1, len(curve.metrics) // MAX_POINTS))
        figure.add_scatter(
            x=[row.seconds for row in curve.metrics][shown],
            y=curve.train_losses()[1][shown],
            mode="lines",
            name=f"trial {trial.number} ({trial.state})",
        )
    figure.update_layout(xaxis_title="seconds of training", yaxis_title="train loss (nats/char)")
    return figure
