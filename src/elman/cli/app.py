"""The commands: each parses, calls, and shows.

What they call is imported inside them, so that ``elman --help`` needs neither NumPy nor Numba.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

from elman import __version__
from elman.cli.options import NONE_GIVEN, PRESET_HELP, Options, corpus_name, given, whole_number
from elman.errors import ElmanError

BAD_INPUT, NOT_PASSED, INTERRUPTED = 2, 1, 130

app = App(
    name="elman",
    version=__version__,
    help="Character-level recurrent networks on your own text, on your own CPU, every step shown.",
)
app["--help"].group = app["--version"].group = Group("Other", sort_key=9)

_CORPUS = "A text file, - for standard input, or a built-in text: python-docs, shakespeare."
Corpus = Annotated[str, Parameter(help=_CORPUS, allow_leading_hyphen=True, converter=corpus_name)]
Run = Annotated[Path, Parameter(help="A run directory that elman train wrote, or its checkpoint.")]
Json = Annotated[bool, Parameter("--json", negative="", help="Print the figures as JSON.")]
Encoding = Annotated[str, Parameter(help="Encoding of the text.")]
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
    options: Training = NONE_GIVEN,
    as_json: Json = False,
) -> int:
    """Train a network and keep it in a run directory."""
    from elman.cli.display import TrainingDisplay, show_results
    from elman.experiment.train import train

    with TrainingDisplay() as display:
        run = train(corpus, out=out, preset=preset, resume=resume, watcher=display, **given(options))
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
    as_json: Json = False,
) -> int:
    """Carry out the whole reference experiment and write its report."""
    from elman.cli.display import TrainingDisplay, show_report
    from elman.report import report

    with TrainingDisplay() as display:
        results = report(
            corpus, out=out, epochs=epochs, long_epochs=long_epochs, resume=resume, watcher=display, encoding=encoding
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
    from elman.experiment.gradcheck import gradcheck

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
def sample(
    run: Run,
    /,
    *,
    length: Annotated[int, Parameter(converter=whole_number, help="Characters to write, at most.")] = 1000,
    prime: Annotated[str, Parameter(help="Text that the network reads first; it is written before what follows.")] = "",
    temperature: Annotated[float, Parameter(help="Below 1 likelier, above 1 wilder; 0 takes the likeliest.")] = 1.0,
    top_k: Annotated[
        int, Parameter(converter=whole_number, help="Draw among the k likeliest characters; 0 among all.")
    ] = 0,
    top_p: Annotated[float, Parameter(help="Draw among the likeliest that reach this probability.")] = 1.0,
    stop: Annotated[str, Parameter(help="End before this string would be written.")] = "",
    random_state: Annotated[
        int | None, Parameter(converter=whole_number, help="Seed: the same one gives the same text again.")
    ] = None,
) -> int:
    """Write text as it is drawn."""
    from elman.cli.display import visible
    from elman.experiment.run import load

    pieces = load(run).stream(
        length,
        prime=prime,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop,
        random_state=random_state,
    )
    show = visible if sys.stdout.isatty() else str  # a terminal might obey what a text says
    sys.stdout.write(show(prime))
    for piece in pieces:
        sys.stdout.write(show(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


@app.command(name="eval")
def evaluate(run: Run, corpus: Corpus, /, *, encoding: Encoding = "utf-8", as_json: Json = False) -> int:
    """Score a text: how well the network predicts it."""
    from elman.cli.display import show_figures
    from elman.experiment.record import finite_or_none
    from elman.experiment.run import load
    from elman.text import read_corpus
    from elman.use.score import score

    model = load(run)
    text = read_corpus(corpus, encoding=encoding, alphabet=model.alphabet)
    found = score(model.engine, model.parameters, model.h, text.indices)
    figures: dict[str, Any] = {
        "chars": found.chars,
        "nats_per_char": found.nats_per_char,
        "bits_per_char": found.bits_per_char,
        "perplexity": finite_or_none(found.perplexity),
    }
    if as_json:
        print(json.dumps(figures))
    else:
        show_figures(figures)
    return 0


@app.command
def plot(
    *runs: Annotated[Path, Parameter(help="Run directories that elman train wrote.")],
    out: Annotated[Path, Parameter(help="The figure to write, PNG or SVG.")] = Path("smooth_loss.png"),
) -> int:
    """Draw the smooth loss of one or several runs."""
    from elman.experiment.figure import save_figure, smooth_loss_figure
    from elman.experiment.record import RunDirectory

    if not runs:
        raise ElmanError("elman plot needs at least one run directory: name those to draw")
    if out.suffix not in (".png", ".svg"):
        raise ElmanError(f"--out must end in .png or .svg, and {out.name!r} came: give another name")
    curves = [(run.name, RunDirectory(run).metrics()) for run in runs]
    save_figure(smooth_loss_figure(curves), out)
    print(out)
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 (a check failed), 2 (bad input) or 130 (interrupted)."""
    if sys.stdout is None:  # closed by whoever started the process
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        # A text may hold what the terminal's own encoding does not; a lone surrogate is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
        sys.stdout.flush()
        return code
    except UnusedCliTokensError as error:
        return _refused(
            f"nothing is known to do with {' '.join(error.unused_tokens or [])!r}: leave it out, or see --help"
        )
    except (ElmanError, CycloptsError) as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in `elman sample RUN | head`
        _close_stdout()
        return 0
    except OSError as error:  # every file has an error of its own; what is left is standard output
        _close_stdout()
        return _refused(f"cannot write to standard output ({error.strerror}): make room, or write elsewhere")


def _close_stdout() -> None:
    """Send what is still to be flushed nowhere, or Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _refused(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
