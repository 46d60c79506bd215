"""The check of an argument that must be a model, in functions that users also call with a run or a path."""

from __future__ import annotations

from elman.errors import ElmanError
from elman.inference.model import Model


def check_is_model(value: object) -> None:
    """Check that a value is a model.

    Raises
    ------
    ElmanError
        If it is not.
    """
    if not isinstance(value, Model):
        raise ElmanError(
            f"model must be an elman.Model (got {type(value).__name__}): pass elman.load(path) or the model of a run"
        )
