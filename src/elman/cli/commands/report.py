"""``elman report``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from elman.cli.commands import INTERRUPTED, print_results
from elman.cli.parameters import Corpora, Encoding, Flag, Integer, Json, OptionalInteger, Out, Quiet
from elman.errors import flag


def report(
    *corpus: Corpora,
    out: Out,
    epochs: Integer = 10,
    long_epochs: Integer = 100,
    resume: Flag = False,
    no_comparison: Flag = False,
    submission: Path | None = None,
    encoding: Encoding = "utf-8",
    min_count: OptionalInteger = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Reproduce the reference experiment (the min-char-rnn recipe) and write an HTML report.

    Its losses are sums over 25 characters, as min-char-rnn prints them. Without CORPUS, the text is piped standard
    input or else python-docs.

    Parameters
    ----------
    out
        Directory for the report.
    epochs
        Epochs of the first run.
    long_epochs
        Total epochs of the long run, which continues the first.
    resume
        Resume the report in --out.
    no_comparison
        Leave out the results of the course report, as for a handout.
    submission
        A student's file or notebook (elman course) whose gradients and smooth loss the report shows beside Elman's.
    min_count
        Replace characters that occur less often than this by one unknown symbol.
    """
    from elman.cli.display import TrainingDisplay, show_report
    from elman.cli.inputs import choose_corpus
    from elman.report import report
    from elman.runs.data import DEFAULT_TEXT

    with TrainingDisplay(out / "run", quiet=quiet) as display:
        texts = [str(each) for each in corpus] or [choose_corpus() or DEFAULT_TEXT]
        options: dict[str, Any] = {"out": out, "epochs": epochs, "long_epochs": long_epochs, "encoding": encoding}
        if min_count is not None:
            options["min_count"] = min_count
        shown: dict[str, Any] = {"comparison": not no_comparison, "submission": submission}
        results = report(texts if corpus else texts[0], resume=resume, callback=display, **shown, **options)
    if results is None:
        words = [str(word) for name, value in options.items() for word in (flag(name), value)]
        words += ["--no-comparison"] * no_comparison + (["--submission", str(submission)] if submission else [])
        again = "pipe the text again to" if "-" in texts else "resume with"
        command = shlex.join(["elman", "report", *texts, *words, "--resume"])
        print(f"stopped and saved; {again}: {command}", file=sys.stderr)
        return INTERRUPTED
    print_results(results, as_json, lambda results: show_report(results, out))
    return 0
