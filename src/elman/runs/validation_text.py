"""The validation set that is a text of its own: ``--validation FILE``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.config import Config
from elman.errors import ElmanError, quote
from elman.text import Corpus, read_corpus
from elman.text.sources import make_absolute


def use_absolute_path(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which the path of a validation set is absolute."""
    path = options.get("validation")
    if isinstance(path, os.PathLike):
        return {**options, "validation": os.path.abspath(path)}  # noqa: PTH100 (as `make_absolute`)
    return {**options, "validation": make_absolute(path)} if isinstance(path, str) and path else dict(options)


def read_validation_text(config: Config, corpus: Corpus, sha256: str = "") -> Corpus | None:
    """Return the validation text, encoded in the alphabet of the training text; None if it is not a file.

    Parameters
    ----------
    config : Config
    corpus : Corpus
        The training text.
    sha256 : str
        SHA-256 that the text must have; empty for any.

    Raises
    ------
    ElmanError
        If it cannot be read, is not the text of that hash, has fewer than two characters, or has characters that the
        training text does not have and that no unknown symbol replaces.
    """
    if not isinstance(config.validation, str):
        return None
    path = Path(config.validation)
    if sha256 and os.path.isabs(path) and not os.path.lexists(path):  # noqa: PTH117 (an older version's may be relative)
        raise ElmanError(f"the validation text {quote(path)} is no longer there: name its new path with --validation")
    text = read_corpus(
        config.validation, encoding=config.encoding, alphabet=corpus.alphabet, extend=True, lines=config.lines
    )
    if sha256 and text.sha256 != sha256:
        raise ElmanError(
            f"{quote(path)} is not the validation text of the run (SHA-256 {text.sha256[:12]}…, run: {sha256[:12]}…):"
            " restore that text, or name its path with --validation"
        )
    if unknown := text.alphabet.characters[len(corpus.alphabet) :]:
        raise ElmanError(
            f"the validation text {quote(text.name)} contains {unknown[0]!r} (U+{ord(unknown[0]):04X})"
            f"{f' and {len(unknown) - 1:,} other characters' if len(unknown) > 1 else ''}, which the training text does"
            " not contain: pass --min-count 1 to replace unknown characters by one symbol"
        )
    if len(text.indices) < 2:
        raise ElmanError(f"the validation text {quote(text.name)} has a single character: use a longer one")
    return text
