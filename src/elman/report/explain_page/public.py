"""`elman.explain`: what a model predicts in a text, and what its hidden units track."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.model import check_is_model
from elman.report.explain_page.page import ExplainPage, render_page
from elman.storage.atomic import replace_file
from elman.text import Corpus
from elman.text.corpus import encode_chunks


def explain(
    text: str, model: Model, *, out: str | os.PathLike[str] | None = None, units: int | None = None
) -> ExplainPage:
    """Read a text with a model; record surprisal, predictions and activations of every character, and probe the units.

    Parameters
    ----------
    text : str
        At most a million characters.
    model : Model
    out : path, optional
        The HTML page to write, as ``elman explain`` does; an existing file is replaced.
    units : int, optional
        Number of hidden units whose activations the page contains; by default as many as make eight million
        activations.

    Returns
    -------
    ExplainPage
        ``page.explanation`` has arrays with an entry per character; ``page.as_dict()`` has the results.

    Raises
    ------
    ElmanError
        If `model` is no model, the text has fewer than two characters or too many, `units` is less than 1, or the file
        cannot be written.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> page = elman.explain("the cat sat on the mat.", model, out="page.html")
    >>> page.explanation.surprisal.shape
    (23,)
    """
    check_is_model(model)
    if not isinstance(text, str):
        raise ElmanError(f"a text must be a string (got {type(text).__name__})")
    if units is not None and units < 1:
        raise ElmanError(f"--units must be at least 1 (got {units})")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    corpus = Corpus("text", *encode_chunks([text], "text", model.alphabet, extend=True), digest, "utf-8")
    page = ExplainPage.from_corpus(model, corpus)
    if out is not None:
        replace_file(Path(out), render_page(page, units).encode())
    return page
