"""``elman ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli import Out
from elman.errors import ElmanError, quote

GROUP = "Exchange"


def ensemble(*runs: Path, out: Out, weights: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None) -> int:
    """Combine several models into one model, whose logits are the weighted sum of their logits.

    Parameters
    ----------
    runs
        Run directories, checkpoint files or hf://OWNER/NAME: at least two.
    out
        Directory for the model.
    weights
        Weights of the models' logits, such as 0.6,0.4; equal by default.
    """
    from elman.apps.ensemble.ensemble import ensemble
    from elman.model import load, save_model

    try:
        shares = None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError:
        raise ElmanError(
            f"--weights must be numbers separated by commas, such as 0.6,0.4 (got {quote(weights)})"
        ) from None
    save_model(ensemble([load(run) for run in runs], weights=shares), out)
    print(out)
    return 0
