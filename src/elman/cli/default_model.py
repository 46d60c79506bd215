"""The model of a command line that names none: the built-in one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elman.errors import ElmanError, quote

if TYPE_CHECKING:
    from elman.inference import Model


def split_run(run: Path | None, corpus: Sequence[str | Path]) -> tuple[Path | None, list[str | Path]]:
    """Return the run, if there is one, and the texts of a command whose RUN may be left out.

    It is left out if the first argument is a file of text, ``-`` or the name of a built-in text. Anything else is a
    run.

    Raises
    ------
    ElmanError
        If the first argument is a path that does not exist, and so neither.
    """
    from elman.runs.models import is_builtin

    if run is None:
        return None, list(corpus)
    if _is_text(str(run)):
        return None, [str(run), *corpus]
    if not (os.path.exists(run) or is_builtin(run)):  # noqa: PTH110 (False for a name that no file can have)
        raise ElmanError(
            f"there is no checkpoint {quote(run)}, and no text of this name: pass a run directory written by elman"
            " train, a text file, or both"
        )
    return run, list(corpus)


def load_model(run: Path | None, *, quiet: bool) -> Model:
    """Load the model of a run or, without one, the built-in model, which is reported on standard error unless `quiet`.

    Raises
    ------
    ElmanError
        If there is no checkpoint, or it is truncated or altered.
    """
    from elman.runs.models import load, load_builtin

    if run is not None:
        return load(run)
    if not quiet:
        print("using the built-in model, as no run is given", file=sys.stderr)
    return load_builtin()


def _is_text(name: str) -> bool:
    from elman.storage.tensors import is_named_or_begins_like_tensors
    from elman.text.sources import is_builtin

    if not os.path.isfile(name):  # noqa: PTH113 (False for a name that no file can have)
        return name == "-" or (is_builtin(name) and not os.path.exists(name))  # noqa: PTH110
    return not is_named_or_begins_like_tensors(Path(name))
