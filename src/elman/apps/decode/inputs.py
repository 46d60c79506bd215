"""The arguments of a search: its symbols, log-probabilities, numbers and hotwords."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ElmanError, check_number, list_strings, option, quote, shorten
from elman.network import log_softmax

BLANKS = ("", "<pad>", "[PAD]", "<blank>", "<blk>", "_")
"""The usual names of the blank; the first of them that is a symbol."""
MAX_WEIGHT = 1_000_000
"""Maximum of the weights of the score, which must stay finite."""
ROUNDING = 0.02
"""Tolerance of the logarithm of a sum of probabilities, which may be in half precision, such as bfloat16."""


def check_weights(alpha: float, beta: float) -> tuple[float, float]:
    """Check the weights of the score and return them."""
    alpha = check_number("alpha", alpha, f"from 0 to {MAX_WEIGHT:,}", lambda value: 0 <= value <= MAX_WEIGHT)
    return alpha, _check_weight("beta", beta)


def _check_weight(name: str, value: float) -> float:
    expected = f"from -{MAX_WEIGHT:,} to {MAX_WEIGHT:,}"
    return check_number(name, value, expected, lambda weight: abs(weight) <= MAX_WEIGHT)


def list_texts(symbols: Sequence[str] | Mapping[str, int], blank: str | None, space: str) -> list[str]:
    """Return the text that each symbol represents: "" only for the blank."""
    names = list_strings("symbols", [*symbols] if isinstance(symbols, Mapping) else symbols)
    if isinstance(symbols, Mapping):
        columns: Any = {symbols[name]: name for name in names if isinstance(symbols[name], Integral)}
        if sorted(columns) != [*range(len(names))]:
            raise ElmanError(f"the values of the symbols must be their columns, 0 to {len(names) - 1}, each once")
        names = [columns[k] for k in range(len(names))]
    blank = next((name for name in BLANKS if name in names), "") if blank is None else blank
    if blank not in names:
        remedy = f"append '' if log_probs has {len(names) + 1} columns, or pass blank"
        raise ElmanError(f"the {len(names)} symbols do not contain the blank {quote(blank)}: {remedy}")
    texts = [" " if name == space and " " not in names else name for name in names]
    texts[names.index(blank)] = ""
    if repeated := Counter(texts) - Counter({*texts}):
        raise ElmanError(f"the symbols must be distinct (got {quote(min(repeated))} several times)")
    return texts


def list_arrays(log_probs: Iterable[ArrayLike]) -> list[NDArray[Any]]:
    """Return the array of each line."""
    try:
        return [np.asarray(each) for each in log_probs]
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that requires gradients
        raise ElmanError(f"log_probs must be an array for each line ({error})") from None


def read_matrix(name: str, values: ArrayLike, K: int) -> NDArray[np.float64]:
    """Return an argument with a row for each frame and a column for each symbol (T, K)."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("they are complex")
        frames = np.ascontiguousarray(values, np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ElmanError(f"{name} must be an array of numbers ({shorten(error, 200)})") from None
    if frames.ndim != 2 or frames.shape[1] != K:
        raise ElmanError(f"{name} must have a row per frame and {K} columns (got the shape {frames.shape})")
    return frames


def read_frames(log_probs: ArrayLike, K: int, from_logits: bool) -> NDArray[np.float64]:
    """Return the log-probabilities (T, K)."""
    frames = read_matrix("log_probs", log_probs, K)
    highest = frames.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        t = int(np.argmin(np.isfinite(highest)))
        raise ElmanError(f"log_probs must be finite in every frame (got {highest[t, 0]} in frame {t})")
    if from_logits:
        return np.asarray(log_softmax(frames), np.float64)
    sums = highest[:, 0] + np.log(np.exp(frames - highest).sum(axis=1))
    if (wrong := np.flatnonzero(np.abs(sums) > ROUNDING)).size:
        given = f"the probabilities of frame {wrong[0]} sum to {math.exp(min(sums[wrong[0]], 700)):.4g}"
        remedy = f"pass {option.from_logits:True}; of probabilities, pass the logarithm"
        raise ElmanError(f"log_probs must be log-probabilities ({given}): {remedy}")
    return frames


class Hotwords(NamedTuple):
    """The tables of `beam.Scorer`; node 0 is before a word, node 1 within a word that is not a hotword."""

    kind: NDArray[np.int64]
    after: NDArray[np.int64]
    gain: NDArray[np.float64]
    value: NDArray[np.float64]
    end: NDArray[np.float64]  # (nodes,): the bonus of a text that ends there


def make_hotwords(texts: Sequence[str], hotwords: Iterable[str], weight: float) -> Hotwords:
    """Return the tables with which each word adds `weight`, and its beginning a part of `weight`."""
    hotwords = [hotwords] if isinstance(hotwords, str) else [*hotwords] if isinstance(hotwords, set) else hotwords
    listed = list_strings("hotwords", hotwords)
    weight = _check_weight("hotword_weight", weight)
    words = sorted({word for each in listed for word in each.split()}, key=len)
    kinds = {character: 2 + k for k, character in enumerate(dict.fromkeys("".join(words)))}
    if missing := [each for each in kinds if each not in texts]:
        raise ElmanError(f"{option.hotword} must consist of the symbols (got {quote(missing[0])})")
    is_boundary = np.array([False, True, *(not each.isalnum() for each in kinds)])
    children, value, paths, ends = [dict[int, int](), dict[int, int]()], [0.0, 0.0], ["", ""], set[int]()
    for word in words:  # the shortest first: their beginnings are larger parts
        node = 0
        for length, kind in enumerate(map(kinds.__getitem__, word), 1):
            if kind not in children[node]:
                children[node][kind] = len(children)
                children.append({})
                value.append(weight * length / len(word))
                paths.append(word[:length])
            node = children[node][kind]
        ends.add(node)
    after = np.tile((~is_boundary).astype(np.int64), (len(children), 1))
    gain, end = np.zeros(after.shape), np.zeros(len(children))
    node_of = {path: node for node, path in enumerate(paths) if path}
    for node in sorted(range(len(children)), key=lambda node: len(paths[node])):
        path = paths[node]
        boundary = next((i for i, character in enumerate(path) if not character.isalnum()), None)
        if boundary is not None:  # if the text goes on differently, a word has ended there, and others have begun
            state = node_of.get(path[:boundary], 0)
            settled, state = end[state], 0
            for kind in map(kinds.__getitem__, path[boundary + 1 :]):
                settled, state = settled + gain[state, kind], after[state, kind]
            after[node], gain[node], end[node] = after[state], settled + gain[state], settled + end[state]
        if node in ends:
            after[node, is_boundary], gain[node, is_boundary], end[node] = 0, value[node], value[node]
        for kind, child in children[node].items():
            after[node, kind], gain[node, kind] = child, 0.0
    of_symbols = np.array([kinds.get(text, int(not text[-1:].isalnum())) for text in texts])
    return Hotwords(of_symbols, after, gain, np.array(value), end)
