"""Functions with another layout: columns in place of rows, and one-hot vectors in place of indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

SIGNATURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "initialize": ((), ("parameters",)),
    "step": (("parameters", "state", "index"), ("state", "state")),
    "forward": (("parameters", "state", "indices", "indices"), ("", "rows", "rows")),
    "backward": (("parameters", "indices", "indices", "rows", "rows"), ("parameters",)),
    "gradient_error": (("parameters", "state", "indices", "indices", "parameters"), ("",)),
    "train": (("parameters",), ("",)),
    "synthesize": (("parameters", "state"), ("",)),
}
"""Function -> the kinds of its arguments and results; other functions and arguments are the same in every layout."""


class Layout(NamedTuple):
    """The layout of arrays: the reference's, or another one."""

    columns: bool = False
    """Whether vectors are columns, (m, 1), and steps are columns of h (m, T + 1), p (K, T) and of one-hot x and y."""
    one_hot: bool = False  # whether a character is a one-hot vector instead of an index

    def to(self, kind: str, value: Any, K: int) -> Any:
        """Return a value of the reference's layout in this layout."""
        if kind == "parameters" and self.columns and isinstance(value, Mapping):
            return {name: self.to("state", array, K) for name, array in value.items()}
        if kind in ("index", "indices") and self.one_hot:
            value, kind = np.eye(K)[value], "state" if kind == "index" else "rows"
        if self.columns and kind == "state" and np.ndim(value) == 1:
            return np.asarray(value)[:, None]
        return np.asarray(value).T if self.columns and kind == "rows" else value

    def back(self, kind: str, value: Any) -> Any:
        """Return a value of this layout in the reference's; characters may be one-hot vectors in any layout."""
        if kind == "parameters" and self.columns and isinstance(value, Mapping):
            return {name: self.back("state", array) for name, array in value.items()}
        if kind == "index" and np.size(value) > 1:
            return int(np.argmax(value))
        if kind == "indices" and np.ndim(value) == 2:
            return np.argmax(value, axis=0 if self.columns else 1)
        if self.columns and kind == "state" and np.ndim(value) == 2 and np.shape(value)[1] == 1:
            return np.asarray(value)[:, 0]
        return np.asarray(value).T if self.columns and kind == "rows" else value

    def adapt(self, name: str, function: Callable[..., Any], *, reverse: bool = False) -> Callable[..., Any]:
        """Return a function of this layout with the arguments and results of the reference; reversed, the opposite."""
        arguments, results = SIGNATURES.get(name, ((), ()))

        @wraps(function)
        def adapted(*values: Any, **named: Any) -> Any:
            def to(kind: str, value: Any) -> Any:
                return self.to(kind, value, values[0]["c"].size if arguments else 0)

            come, go = (self.back, to) if reverse else (to, self.back)
            result = function(*map(come, arguments, values), *values[len(arguments) :], **named)
            if len(results) == 1:
                return go(results[0], result)
            return tuple(map(go, results, result)) if isinstance(result, tuple) and len(results) > 1 else result

        return adapted


LAYOUTS = {
    "rows": (Layout(), Layout(one_hot=True)),
    "columns": (Layout(columns=True, one_hot=True), Layout(columns=True)),
}
"""The layouts that are tried, by the requested one: a function with another layout ends in an error."""
