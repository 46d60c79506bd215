"""An n-gram model in a file: the arrays of its table, and a description that is stored as JSON.

``ngrams.strings`` … are the arrays of the table, see `elman.ngram.table`, as signed integers, which every format has;
``ngrams.histogram`` is that of the model, and ``ngrams.terms``, float64, its terms, if it has any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.ngram.model import NgramModel
from elman.ngram.table import ARRAYS, NgramSpec, NgramTable, check_table
from elman.storage.untrusted import require_int

PREFIX = "ngrams."
"""Of the names of the arrays."""
DESCRIBED = ("nodes", "contexts", "min_count")
"""The numbers in the description."""


def describe_ngrams(ngrams: NgramModel) -> dict[str, int]:
    """Return the description of an n-gram model."""
    return {"nodes": ngrams.table.nodes, "contexts": ngrams.table.contexts, "min_count": ngrams.min_count}


def ngram_tensors(ngrams: NgramModel | None, prefix: str = PREFIX) -> dict[str, NDArray[Any]]:
    """Return the arrays of an n-gram model, if there is one."""
    if ngrams is None:
        return {}
    terms = {} if ngrams.terms is None else {"terms": ngrams.terms}
    signed = {name: array.view(array.dtype.str.replace("u", "i")) for name, array in ngrams.table.arrays().items()}
    return {prefix + name: array for name, array in (signed | terms | {"histogram": ngrams.histogram}).items()}


def pop_ngram_tensors(tensors: dict[str, Any], prefix: str = PREFIX) -> dict[str, NDArray[Any]]:
    """Remove the arrays of an n-gram model from others, and return them."""
    return {name: tensors.pop(name) for name in sorted(tensors) if name.startswith(prefix)}


def restore_ngrams(
    description: Any, tensors: Mapping[str, NDArray[Any]], spec: NgramSpec, prefix: str = PREFIX
) -> NgramModel:
    """Return the n-gram model in a file; raise ElmanError, ValueError, LookupError or TypeError if it is invalid."""
    nodes, contexts, min_count = (require_int(description[name], name, minimum=1) for name in DESCRIBED)
    arrays = {name.removeprefix(prefix): array for name, array in tensors.items()}
    terms = arrays.pop("terms", None)
    if terms is not None and (terms.dtype != np.float64 or terms.shape != (nodes, 2) or not np.isfinite(terms).all()):
        raise ValueError("the terms of its n-gram model are invalid")
    if {name: array.dtype for name, array in arrays.items()} != dict.fromkeys((*ARRAYS, "histogram"), np.int64):
        raise ValueError("the arrays of its n-gram counts are invalid")
    histogram = arrays["histogram"]
    if histogram.shape != (spec.order + 1, 4) or histogram.min() < 0:
        raise ValueError("the histogram of its n-gram counts is invalid")
    table = NgramTable(spec, nodes, contexts, **{name: arrays[name].view(np.uint64) for name in ARRAYS})
    check_table(table)
    return NgramModel(table, histogram, min_count, terms=terms)
