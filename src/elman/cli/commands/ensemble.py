"""``elman ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.parameters import Out
from elman.errors import ElmanError


def ensemble(
    *runs: Annotated[Path, Parameter(help="Run directories, or checkpoint files: at least two.")],
    out: Annotated[Out, Parameter(help="Directory for the model.")],
    weights: Annotated[
        str,
        Parameter(help="Weights of the models' logits, such as 0.6,0.4. By default all equal."),
    ] = "",
) -> int:
    """Combine several models into one, whose logits are the weighted sum of theirs."""
    from elman.inference.ensemble import ensemble
    from elman.runs.model_files import save_model
    from elman.runs.run import load

    parsed = _parse_weights(weights)
    save_model(ensemble([load(run) for run in runs], weights=parsed), out)
    print(out)
    return 0


def _parse_weights(weights: str) -> list[float] | None:
    """Return the numbers in the value of ``--weights``, or None if it is empty."""
    try:
        return [float(weight) for weight in weights.split(",")] if weights else None
    except ValueError:
        raise ElmanError(f"--weights must be numbers separated by commas, such as 0.6,0.4 (got {weights!r})") from None
