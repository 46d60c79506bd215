"""N-gram models in the ARPA format of KenLM, SRILM and decoders: the distributions that follow from counts.

K  size of the alphabet    n  length of the longest context; the order is n + 1    L  length, a level

For a string, the file has log10 of the probability q of its last character, (5) of `elman.ngram.model`, and log10 of
the factor r, (6). If a character is not kept after the string, it has r times its probability after the string without
the first character. A string is kept only if the strings without its first and without its last character are kept, so
the file gives q exactly, except for `MIN_PROB`.

In a model of independent lines, the line feed is ``<s>`` in a context and ``</s>`` after one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise, repeat, takewhile
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, check_range, option, quote
from elman.ngram.model import MIN_PROB, Ints, NgramModel
from elman.ngram.table import MAX_ORDER, NgramSpec, NgramTable, Nodes

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99  # log10 of a probability of 0 in this format
UNKNOWN_LOG = float(np.log10(MIN_PROB))
"""log10 of the probability of ``<unk>`` if the alphabet has no unknown symbol."""
_SMALLEST = 1e-10  # minimum in a logarithm; its products with probabilities are below `MIN_PROB`
_MAX_BACK_OFF = 10  # a higher back-off is considered damaged; SRILM writes some above 0
_CHUNK = 1 << 14  # strings that are written or read at a time
_MAX_LINE = 1 << 16  # bytes; a small compressed file may contain a line that would fill the memory
_MAX_RATIO, _MAX_SLACK = 20, 1 << 20
"""A compressed file may expand to `_MAX_RATIO` times its size and `_MAX_SLACK` bytes; a usual one, to five times."""
_MAX_DEFECT = 0.01  # largest difference between the sum of a distribution and 1 that is considered rounding
Floats = NDArray[np.float64]
Row = tuple[int, list[bytes]]  # the number and the fields of a line

Strings = tuple[NDArray[np.int32], Floats]
"""The strings of a length in a file, as indices of its words, (strings, length), and log10 of their probabilities and
back-offs, (strings, 2)."""


class _Level(NamedTuple):
    """The kept strings of a length, and their contexts, which are the strings of the level above."""

    symbols: Ints
    parents: Ints  # indices, in the level above, of the strings without their last character
    suffixes: Ints  # the same without their first character
    weights: NDArray[np.int64]
    rests: NDArray[np.int64]  # the rests of the contexts
    begins_line: NDArray[np.bool_]
    terms: tuple[Floats, Floats] | None  # the first term of (5), and r of the contexts; only without counts


def write_arpa(model: NgramModel, words: Sequence[str], order: int | None = None) -> Iterator[bytes]:
    """Return the file of an n-gram model, without counts that grew, in pieces.

    Parameters
    ----------
    model : NgramModel
    words : sequence of str, length K
        The word for each character; ``<unk>`` for the unknown symbol. The word for `model.reset_at` is not used.
    order : int, optional
        The length of the longest strings, from 2 to `model.order`, the default. A lower order gives the model that
        would be counted with that order. It is exact if no counts are rounded and the minimum count is 1, or 2 in a
        text without independent lines; otherwise it is approximate. In a model without counts, longer strings are left
        out.
    """
    length = model.order if order is None else order
    check_range("order", length, 2, model.order)
    levels, discounts = _truncate(model, length)
    if not len(levels[1].symbols):
        raise ElmanError(f"this model has no string of two characters: train with a lower {option.ngram_min_count}")
    return (piece.encode() for piece in _write(levels, discounts, words, model.reset_at))


def _read_levels(model: NgramModel) -> list[_Level]:
    """Return the strings of each length up to n + 1."""
    K, levels, first = model.K, list[_Level](), 1
    for above, (symbols, weights, _, _) in pairwise(model.table.levels(model.context_length + 2)):
        end, parents = first + len(symbols), np.repeat(np.arange(len(above.children)), above.children)
        suffixes, begins_line = np.zeros(len(symbols), np.intp), symbols == model.reset_at
        if levels:
            last, keys = levels[-1], levels[-1].parents * K + levels[-1].symbols
            suffix_keys, begins_line = last.suffixes[parents] * K + symbols, last.begins_line[parents]
            suffixes = np.searchsorted(keys, suffix_keys)
            if not np.array_equal(keys[np.minimum(suffixes, len(keys) - 1)], suffix_keys):
                raise ElmanError("the n-gram counts of this model lack a string without its first character")
        terms, contexts = model.terms, slice(first - len(above.symbols), first)
        pair = None if terms is None else (terms[first:end, 0], terms[contexts, 1])
        levels.append(_Level(symbols, parents, suffixes, weights, above.rests, begins_line, pair))
        first = end
    return levels


def _truncate(model: NgramModel, length: int) -> tuple[list[_Level], Floats]:
    """Return the strings of up to `length` characters, the longest with their occurrences, and the discounts."""
    # A string occurs as often as all strings that are one character longer and end with it. Longer strings that are not
    # kept are assumed to occur once. Their number follows from the weight of the string, which is how many different
    # characters precede it.
    levels, histogram = _read_levels(model), model.histogram.copy()
    occurrences, longest = levels[-1].weights, levels[length - 1]
    for level, above in pairwise(levels[: length - 2 : -1]):
        kept, of_kept = (np.bincount(level.suffixes, each, len(above.weights)) for each in (None, occurrences))
        counted = of_kept.astype(np.int64) + np.maximum(above.weights - kept, 0)
        occurrences = np.where(above.begins_line, above.weights, counted)
    for sign, weights in ((1, occurrences), (-1, longest.weights)):
        histogram[length - 1] += sign * np.bincount(np.minimum(weights, 5), minlength=6)[1:5]
    levels = [*levels[: length - 1], longest._replace(weights=occurrences)]
    return levels, replace(model, histogram=np.maximum(histogram, 0)).discounts[:length]


def _find_shares(weights: Ints, rests: Ints, parents: Ints, discounts: Floats) -> tuple[Floats, Floats]:
    """Return the first term of (5) for strings of one length, whose contexts are `parents`, and r of the contexts."""
    totals = np.bincount(parents, weights, len(rests)) + rests  # (3)
    shares = np.maximum(weights - np.append(0, discounts)[np.minimum(weights, 3)], 0)
    shares /= np.maximum(totals, 1)[parents]
    return shares, np.ones(len(rests)) - np.bincount(parents, shares, len(rests))  # (6)


def _interpolate(levels: list[_Level], discounts: Floats, K: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield log10 of q of the strings of each level, and of r of their contexts."""
    q = np.full(1, 1 / K)
    for level, D in zip(levels, discounts, strict=True):
        shares, r = level.terms or _find_shares(level.weights, level.rests, level.parents, D)
        q = shares + r[level.parents] * q[level.suffixes]
        yield np.log10(np.maximum(q, _SMALLEST)), np.log10(np.maximum(r, _SMALLEST))


def _write(levels: list[_Level], discounts: Floats, words: Sequence[str], feed: int | None) -> Iterator[str]:
    """Yield the file in pieces."""
    sizes = [len(level.symbols) for level in levels]
    sizes[0] = len(words) + 1 + (feed is None) + (UNKNOWN not in words)
    yield "\\data\\\n" + "".join(f"ngram {L}={size}\n" for L, size in enumerate(sizes, 1) if size)
    first, last = ([word if k == feed else name for k, name in enumerate(words)] for word in (BEGIN, END))
    logs = chain(_interpolate(levels, discounts, len(words)), [(np.zeros(0), np.zeros(0))])
    strings = ["\n".join(first[k] for k in levels[0].symbols.tolist())]
    for L, (level, ((log_q, log_r_above), (_, log_r))) in enumerate(zip(levels, pairwise(logs), strict=True), 1):
        yield f"\n\\{L}-grams:\n" if sizes[L - 1] else ""
        if L == 1:
            yield from _write_characters(level.symbols, log_q, log_r, log_r_above[0], last, feed)
            continue
        children = np.bincount(level.parents, minlength=len(level.rests)).tolist()
        contexts = chain.from_iterable(map(repeat, chain.from_iterable(map(str.splitlines, strings)), children))
        strings, line = [], "%.7g\t%s\t%.7g\n" if len(log_r) else "%.7g\t%s\n"
        for start in range(0, len(log_q), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            symbols = level.symbols[chunk].tolist()  # first in zip, so that zip ends before it drops a context
            of_chunk = [f"{context} {last[k]}" for k, context in zip(symbols, contexts, strict=False)]
            strings += ["\n".join(of_chunk)] * bool(len(log_r))
            columns = log_q[chunk].tolist(), of_chunk, log_r[chunk].tolist()
            yield "".join(map(line.__mod__, zip(*columns[: line.count("%")], strict=True)))
    yield "\n\\end\\\n"


def _write_characters(
    symbols: Ints, log_q: Floats, log_r: Floats, log_r_root: float, words: Sequence[str], feed: int | None
) -> Iterator[str]:
    """Yield the lines of all characters, kept or not, and of the words that are not characters."""
    p, back_off = np.full(len(words), log_r_root - np.log10(len(words))), np.zeros(len(words))
    p[symbols], back_off[symbols] = log_q, log_r
    rows = [*zip(p.tolist(), words, back_off.tolist(), strict=True), (NEVER, BEGIN, 0)]
    if feed is None:
        rows.append((NEVER, END, 0))
    else:
        rows[feed], rows[-1] = (p[feed], END, 0), (NEVER, BEGIN, back_off[feed])
    if UNKNOWN not in words:
        rows.append((UNKNOWN_LOG, UNKNOWN, 0))
    return map("%.7g\t%s\t%.7g\n".__mod__, rows)


# --- Reading ---


def parse_arpa(file: BinaryIO, file_size: int) -> tuple[list[str], list[Strings]]:
    """Return the words of an untrusted file, and its strings by length; `file_size` is its size, compressed or not."""
    lines = enumerate(_read_lines(file, _MAX_RATIO * file_size + _MAX_SLACK), 1)
    # The last row is invalid, for a file without its end.
    rows = chain(((number, fields) for number, line in lines if (fields := line.split())), [(0, [])])
    index, levels = dict[bytes, int](), list[Strings]()
    header = [fields for _, fields in _until(b"\\1-grams:", rows)]
    counts = [[*map(int, b"".join(fields[1:]).split(b"="))] for fields in header if fields[:1] == [b"ngram"]]
    is_in_order = [each[:-1] for each in counts] == [[L] for L in range(1, len(counts) + 1)]
    if not (is_in_order and 2 <= len(counts) <= MAX_ORDER):
        raise ElmanError(f"it is not an ARPA file of strings of up to 2 to {MAX_ORDER} words")
    for L, size in counts:
        heading = b"\\end\\" if len(counts) == L else b"\\%d-grams:" % (L + 1)
        # One row too many shows that there are more.
        levels.append(_parse_strings(islice(_until(heading, rows), min(max(0, size), 1 << 60) + 1), L, index))
        if len(levels[-1][0]) != size or (L == 1 and len(index) != size):
            raise ElmanError(f"its number of {L}-grams is not {size}")
    for _ in rows:  # reads the rest, so that a damaged gzip file is noticed
        pass
    return [*map(_decode, index)], levels


def _read_lines(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield the lines of a file of at most `most` bytes."""
    while line := file.readline(_MAX_LINE):
        most -= len(line)
        if most < 0:
            raise ElmanError(f"it expands to more than {_MAX_RATIO} times its size")
        yield line


def _until(heading: bytes, rows: Iterator[Row]) -> Iterator[Row]:
    return takewhile(lambda row: row[1] != [heading], rows)


def _decode(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        remedy = "convert the file, as with iconv -f latin1 -t utf-8"
        raise ElmanError(f"its word {quote(word.decode('latin1'))} is not UTF-8: {remedy}") from None


def _parse_strings(rows: Iterator[Row], L: int, index: dict[bytes, int]) -> Strings:
    """Return the strings of a length; the words of strings of length 1 are added to `index`."""
    found: list[Strings] = [(np.zeros((0, L), np.int32), np.zeros((0, 2)))]
    while chunk := [*islice(rows, _CHUNK)]:
        found.append(_parse_rows(chunk, L, index))
    places, logs = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(logs)


def _parse_rows(rows: Sequence[Row], L: int, index: dict[bytes, int]) -> Strings:
    lines = [fields for _, fields in rows]
    try:
        if any(not 1 <= len(fields) - L <= 2 for fields in lines):
            raise ValueError
        if L == 1:
            index |= {fields[1]: place for place, fields in enumerate(lines, len(index))}
        words = chain.from_iterable(fields[1 : L + 1] for fields in lines)
        numbers = chain.from_iterable((fields[0], fields[L + 1] if len(fields) > L + 1 else b"0") for fields in lines)
        places: NDArray[np.int32] = np.fromiter(map(index.get, words, repeat(-1)), np.int32).reshape(-1, L)
        logs = np.fromiter(map(float, numbers), np.float64).reshape(-1, 2)
        if places.min() < 0 or not np.isfinite(logs).all() or (logs > (0, _MAX_BACK_OFF)).any():
            raise ValueError
    except ValueError:
        for row in rows if len(rows) > 1 else ():
            _parse_rows([row], L, index)  # the first invalid row raises the error
        number, line = rows[0][0], b" ".join(lines[0]).decode(errors="replace")
        kind = f"a log10 probability, {L} of the 1-grams, and optionally a log10 back-off (got {quote(line)})"
        raise ElmanError(f"line {number} must be {kind}" if line else "it ends without \\end\\") from None
    return places, logs


def make_model(words: Sequence[str], levels: Sequence[Strings], symbols: Ints) -> NgramModel:
    """Return the model of the words and strings of a file; `symbols` has the index of each word's character, or -1.

    Strings with a word of index -1 are left out. If ``</s>`` has a character, ``<s>`` has the same character, and lines
    are independent.
    """
    K, rows, numbers = int(symbols.max()) + 1, list[NDArray[Any]](), list[Floats]()
    feed = int(symbols[words.index(END)]) if END in words else -1
    spec = NgramSpec(K, len(levels) - 1, None if feed < 0 else feed)
    suffixes = np.zeros((0, len(levels)), ">u2" if K <= 1 << 16 else ">u4")
    for places, logs in reversed(levels):
        is_kept = symbols[places].min(axis=1) >= 0
        if places.shape[1] == 1 and {BEGIN, END} <= {*words}:  # the probability of </s>, the back-off of <s>
            begin, end = map(words.index, (BEGIN, END))
            logs[end, 1], is_kept[begin] = logs[begin, 1], False
        # A string that is listed only with a character before it is added.
        both = np.concatenate([symbols[places[is_kept]], suffixes], dtype=suffixes.dtype, casting="unsafe")
        listed = is_kept.sum()
        first = np.unique(_join(both), return_index=True)[1]
        if np.count_nonzero(first < listed) < listed:
            raise ElmanError(f"it has one of its {places.shape[1]}-grams twice")
        rows.insert(0, both[first])
        numbers.insert(0, np.pad(10 ** logs[is_kept], ((0, len(suffixes)), (0, 0)), constant_values=np.nan)[first])
        suffixes = rows[0][:, 1:]
    children = [np.full(1, len(rows[0]))]
    for above, level in pairwise(rows):
        prefixes, contexts = _join(level[:, :-1]), _join(above)
        children.append(np.searchsorted(prefixes, contexts, "right") - np.searchsorted(prefixes, contexts))
        if children[-1].sum() != len(level):
            raise ElmanError(f"one of its {level.shape[1]}-grams continues none of its {above.shape[1]}-grams")
    last = np.concatenate([level[:, -1] for level in rows]).astype(np.intp)
    ones, zeros = np.ones(len(last), np.uint8), np.zeros(1 + len(last) - len(rows[-1]), np.uint8)
    table = NgramTable.from_nodes(spec, Nodes(last, ones, zeros, np.concatenate(children)))
    model = NgramModel(table, np.zeros((spec.context_length + 1, 4), np.int64), min_count=1)
    terms = _find_terms(_read_levels(model), numbers)
    _check_sums(terms, np.concatenate(children))
    return replace(model, terms=terms)


def _join(rows: NDArray[Any]) -> NDArray[np.bytes_]:
    """Return each row of big-endian numbers as one value; the values are ordered like the strings of a trie."""
    return np.ascontiguousarray(rows).view(f"S{rows.dtype.itemsize * rows.shape[1]}").ravel()


def _check_sums(terms: Floats, children: Ints) -> None:
    """Warn if distributions do not sum to 1, given the nodes' terms and each context's number of children."""
    parents = np.repeat(np.arange(len(children)), children)
    sums = (np.bincount(parents, terms[1:, 0], len(children)) + terms[: len(children), 1])[children > 0]  # 1, by (6)
    defects = np.abs(sums - 1)
    if (wrong := np.count_nonzero(defects > _MAX_DEFECT)) > 0:
        example = (
            f"{wrong:,} of {len(sums):,} distributions in the file do not sum to 1, one to {sums[defects.argmax()]:.3f}"
        )
        warnings.warn(f"{example}: the model divides each by its sum, which KenLM does not do", stacklevel=6)


def _find_terms(levels: list[_Level], numbers: list[Floats]) -> Floats:
    """Return the first term of (5) and r of each node from probabilities and back-offs, which are NaN if not listed."""
    # The probability of a string that is not listed follows from the string without its first character.
    terms, q, r = [np.zeros((1, 2))], np.zeros(1), np.zeros(1)
    for level, of_level in zip(levels, numbers, strict=True):
        backed_off = r[level.parents] * q[level.suffixes]
        q = np.where(np.isnan(of_level[:, 0]), backed_off, of_level[:, 0])
        r = np.nan_to_num(of_level[:, 1], nan=1.0)
        terms.append(np.stack([q - backed_off, r], axis=1))
    return np.concatenate(terms)
