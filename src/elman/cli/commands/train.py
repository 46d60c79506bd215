"""The commands that train a network, and those that show what training did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from elman.cli.app import INTERRUPTED, NOT_PASSED, app
from elman.cli.commands.view import train_with_live_page
from elman.cli.parameters import Corpus, Encoding, Json
from elman.cli.training_options import NONE_GIVEN, PRESET_HELP, Options, given, port_number, whole_number
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.runs.run import Run
    from elman.training.callbacks import TrainingCallback

LIVE = Group("Page", sort_key=4)
Log = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        help="Write the metrics once more, for other tools: jsonl (an object a row, in metrics.jsonl in --out) or "
        "tensorboard (events, in tensorboard/ in --out); may be repeated.",
    ),
]
Resume = Annotated[bool, Parameter(negative="", help="Go on with the run in --out; other limits may be given.")]
Training = Annotated[Options, Parameter(name="*")]


@app.command
def train(
    corpus: Corpus = "python-docs",
    /,
    *,
    out: Annotated[Path, Parameter(help="The run directory to write.")],
    preset: Annotated[str, Parameter(help=PRESET_HELP)] = "paper",
    resume: Resume = False,
    log: Log = None,
    live: Annotated[
        bool, Parameter(negative="", group=LIVE, help="Show the run in a browser as it goes, from this machine only.")
    ] = False,
    live_port: Annotated[
        int, Parameter(group=LIVE, converter=port_number, help="Port of that page; 0 takes one that is free.")
    ] = 0,
    live_with: Annotated[
        list[Path] | None, Parameter(negative="", group=LIVE, help="A run to lay beside it; may be repeated.")
    ] = None,
    options: Training = NONE_GIVEN,
    as_json: Json = False,
) -> int:
    """Train a network and keep it in a run directory."""
    from elman.cli.display import TrainingDisplay, show_results
    from elman.training.train import train

    if not live and (live_port or live_with):
        raise ElmanError("--live-port and --live-with are for the page that --live opens: give --live as well")

    def training(callback: TrainingCallback) -> Run:
        return train(corpus, out=out, preset=preset, resume=resume, log=log or [], callback=callback, **given(options))

    display = TrainingDisplay()
    if live:
        run = train_with_live_page(training, display, out.resolve().name, live_port, live_with or [])
    else:
        with display:
            run = training(display)
    if as_json:
        print(json.dumps(run.results()))
    else:
        show_results(run, out)
    return INTERRUPTED if run.interrupted else 0


@app.command
def report(
    corpus: Corpus = "python-docs",
    /,
    *,
    out: Annotated[Path, Parameter(help="The directory to write.")],
    epochs: Annotated[int, Parameter(converter=whole_number, help="Passes over the text of the first run.")] = 10,
    long_epochs: Annotated[
        int, Parameter(converter=whole_number, help="Passes over the text in all; the long run continues the first.")
    ] = 100,
    resume: Annotated[bool, Parameter(negative="", help="Go on with the report that was begun in --out.")] = False,
    encoding: Encoding = "utf-8",
    rare: Annotated[
        int | None,
        Parameter(converter=whole_number, help="Fold characters that occur fewer times than this into one."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Carry out the whole reference experiment and write its report."""
    from elman.cli.display import TrainingDisplay, show_report
    from elman.report import report

    with TrainingDisplay() as display:
        results = report(
            corpus,
            out=out,
            epochs=epochs,
            long_epochs=long_epochs,
            resume=resume,
            callback=display,
            encoding=encoding,
            rare=rare,
        )
    if results is None:
        return INTERRUPTED
    if as_json:
        print(json.dumps(results))
    else:
        show_report(results, out)
    return 0


@app.command
def gradcheck(
    corpus: Corpus = "python-docs",
    /,
    *,
    hidden_size: Annotated[
        int | None,
        Parameter(converter=whole_number, help="Hidden units, m, of one experiment; 100 if only others are given."),
    ] = None,
    seq_length: Annotated[
        int | None,
        Parameter(converter=whole_number, help="Window length, T, of one experiment; 25 if only others are given."),
    ] = None,
    points: Annotated[
        int | None,
        Parameter(
            converter=whole_number,
            help="Characters read in one experiment, in whole windows; T if only others are given.",
        ),
    ] = None,
    cell: Annotated[str, Parameter(help="Recurrent cell: rnn, gru or lstm.")] = "rnn",
    layers: Annotated[int, Parameter(converter=whole_number, help="Recurrent layers.")] = 1,
    engine: Annotated[str, Parameter(help="Whose gradients: numba or numpy.")] = "numba",
    random_state: Annotated[int, Parameter(converter=whole_number, help="Seed of the weights and of the state.")] = 400,
    encoding: Encoding = "utf-8",
    as_json: Json = False,
) -> int:
    """Check every gradient against central differences: the reference's three experiments, or one."""
    from elman.cli.display import show_gradient_checks
    from elman.training.gradcheck import gradcheck

    checks = gradcheck(
        corpus,
        hidden_size=hidden_size,
        seq_length=seq_length,
        points=points,
        cell=cell,
        layers=layers,
        engine=engine,
        random_state=random_state,
        encoding=encoding,
    )
    passed = all(check.passed for check in checks)
    if as_json:
        print(json.dumps({"experiments": [check.as_dict() for check in checks], "passed": passed}))
    else:
        show_gradient_checks(checks)
    return 0 if passed else NOT_PASSED


@app.command
def plot(
    *runs: Annotated[Path, Parameter(help="Run directories that elman train wrote.")],
    out: Annotated[Path, Parameter(help="The figure to write, PNG or SVG.")] = Path("smooth_loss.png"),
) -> int:
    """Draw the smooth loss of one or several runs."""
    from elman.runs.directory import RunDirectory
    from elman.training.plots import LossCurve, plot_smooth_loss, save_figure

    if not runs:
        raise ElmanError("elman plot needs at least one run directory: name those to draw")
    if out.suffix not in (".png", ".svg"):
        raise ElmanError(f"--out must end in .png or .svg, and {out.name!r} came: give another name")
    save_figure(plot_smooth_loss([LossCurve.of_directory(RunDirectory(run)) for run in runs]), out)
    print(out)
    return 0
