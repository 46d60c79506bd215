"""``elman report``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli import (
    INTERRUPTED,
    Corpora,
    Flag,
    Integer,
    Json,
    Out,
    Quiet,
    create_options,
    passed_options,
    print_results,
)
from elman.errors import flag, format_count

if TYPE_CHECKING:
    from elman.cli import Options as ReportOptions
else:
    # `epochs` is an option of its own, and the experiment is on running text.
    ReportOptions = create_options("reference", without=("epochs", "lines", "mask", "mask_regex"))

GROUP = "Study"


def report(
    *corpus: Corpora,
    out: Out,
    epochs: Integer = 10,
    long_epochs: Integer = 100,
    seeds: Integer = 1,
    resume: Flag = False,
    no_comparison: Flag = False,
    submission: Path | None = None,
    options: Annotated[ReportOptions, Parameter(name="*")] = ReportOptions(),  # noqa: B008 (immutable)
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Reproduce the reference experiment and write an HTML report.

    Its losses are sums over a window of 25 characters, as in the course report that it repeats. Without CORPUS, the
    text is piped standard input or, without a pipe, python-docs.

    Parameters
    ----------
    out
        Directory for the report.
    epochs
        Epochs of the first run.
    long_epochs
        Total epochs of the long run, which continues the first.
    seeds
        Number of seeds with which the first run is repeated: --seed and the seeds that follow it.
    resume
        Resume the report in --out.
    no_comparison
        Leave out the results of the course report, for example for a handout.
    submission
        A student's file or notebook (elman course); the report shows its gradients and smooth loss beside Elman's.
    """
    from elman.apps.report import report
    from elman.cli import TrainingDisplay, choose_corpus
    from elman.runs import DEFAULT_TEXT

    settings = passed_options(options)
    texts = [str(each) for each in corpus] or [choose_corpus() or DEFAULT_TEXT]
    phases: dict[str, Any] = {"out": out, "epochs": epochs, "long_epochs": long_epochs, "seeds": seeds}
    shown: dict[str, Any] = {"comparison": not no_comparison, "submission": submission}
    with TrainingDisplay(out / "run", quiet=quiet, prints_samples=False) as display:
        results = report(texts if corpus else texts[0], resume=resume, callback=display, **shown, **phases, **settings)
    if results is None:
        words = _list_words({**phases, **settings, "no_comparison": no_comparison, "submission": submission})
        again = "pipe the text again to" if "-" in texts else "resume with"
        command = shlex.join(["elman", "report", *texts, *words, "--resume"])
        print(f"stopped and saved; {again}: {command}", file=sys.stderr)
        return INTERRUPTED
    print_results(results, as_json, lambda results: _show_report(results, out))
    return 0


def _list_words(options: Mapping[str, Any]) -> list[str]:
    """Return options as the words of a command line, without those that are off by default."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return [word for name, value in given.items() for word in (flag(name), *([] if value is True else [str(value)]))]


def _show_report(results: dict[str, Any], out: Path) -> None:
    """Print the main results of a report, and where it is."""
    phases = [each for each in (results["short"], results["long"]) if each]
    minima = ", ".join(f"{p['minimum_smooth_loss']:.2f} after {format_count(p['epochs'], 'epoch')}" for p in phases)
    unit = f"nats, summed over sequences of {results['config']['seq_length']} characters"
    agree = "agree" if results["gradient_check"]["passed"] else "DO NOT agree"
    print(f"minimum smooth loss {minima} ({unit}); gradients {agree} with central differences")
    print(f"report: {out / 'report.html'} (also report.md, the plots, results.json and run/)")
