"""``elman ensemble``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli import Encoding, Field, Out, TextFile
from elman.errors import ElmanError

GROUP = "Exchange"


def ensemble(
    *runs: Path,
    out: Out,
    weights: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    fit_on: TextFile | None = None,
    encoding: Encoding = "utf-8",
    field: Field = "",
) -> int:
    """Combine several models into one, whose logits are the weighted sum of theirs.

    Parameters
    ----------
    runs
        Run directories, checkpoint files or hf://OWNER/NAME: at least two.
    out
        Directory for the model.
    weights
        Weights of the models' logits, such as 0.6,0.4; equal by default.
    fit_on
        Held-out text to fit the weights on: neither the training set nor the test set.
    """
    from elman.apps.ensemble.ensemble import ensemble, fit_ensemble_weights
    from elman.cli import reporting_newlines
    from elman.model import load, save_model
    from elman.runs import RunDirectory
    from elman.text import JoinedText

    if weights is not None and fit_on is not None:
        raise ElmanError("cannot combine --weights with --fit-on, which fits them")
    try:
        shares = None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError:
        raise ElmanError(f"--weights must be numbers separated by commas, such as 0.6,0.4 (got {weights!r})") from None
    RunDirectory(out).require_unused()  # before the weights are fitted
    models = [load(run) for run in runs]
    if fit_on is not None:
        has_lines = any(model.is_of_lines for model in models)
        alphabet = models[0].alphabet if models else None  # that of all
        text = JoinedText([fit_on], encoding=encoding, field=field, lines=has_lines, alphabet=alphabet)
        shares = fit_ensemble_weights(models, reporting_newlines(text))
        print("weights", ", ".join(f"{share:.4f}" for share in shares), file=sys.stderr)
    save_model(ensemble(models, weights=shares), out)
    print(out)
    return 0
