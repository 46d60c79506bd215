"""Results of checks, and the search for mistakes with which the solution returns the same as a student's function.

The arrays that a function returns are compared one after the other, in the order in which a student should correct
them. If an array is wrong, the search looks for the fewest mistakes that explain it, in addition to the mistakes that
are already named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from elman.apps.course.faults import Fault
from elman.errors import ElmanError
from elman.network import Array, Arrays
from elman.testing import relative_error

TOLERANCE = 1e-6
"""Relative error up to which two arrays are equal: right code in float64 differs by 1e-15, wrong code by 1e-3."""


@dataclass(frozen=True)
class Finding:
    """One mistake: where it shows, its most likely description, and the expected and the found value at one place.

    Examples
    --------
    >>> from elman.apps.course import Finding
    >>> print(Finding("db", "not summed over the steps", "db[0] = 0.25", "0.125"))
    db: not summed over the steps (expected db[0] = 0.25, found 0.125)
    """

    where: str
    mistake: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        """Return the finding in one line."""
        numbers = f" (expected {self.expected}, found {self.found})" if self.expected else ""
        return f"{self.where}: {self.mistake}{numbers}"


class CallError(Exception):
    """A function under test cannot be called, or its result cannot be compared."""

    def __init__(self, where: str, mistake: str) -> None:
        super().__init__(mistake)
        self.finding = Finding(where, mistake)


@dataclass(frozen=True)
class CheckResult:
    """The errors of a function against the reference, and their reasons; ``print`` and notebooks show them as a table.

    Examples
    --------
    >>> from elman.apps.course import CheckResult, Finding
    >>> print(CheckResult({"h": 1e-15, "loss": 0.2}, (Finding("loss", "the mean over the window"),)))
    h     1.0e-15
    loss  2.0e-01  wrong
    loss: the mean over the window
    """

    errors: dict[str, float]
    """`relative_error` of every array; nan if the array is missing or has the wrong shape."""
    findings: tuple[Finding, ...] = ()
    """The most likely mistakes, in the order in which to correct them; empty if everything agrees."""
    variants: tuple[str, ...] = field(default=(), kw_only=True)
    """The usual variants of an algorithm that the function uses instead of the reference's."""

    @property
    def passed(self) -> bool:
        """Whether everything agrees with the reference."""
        return not self.findings

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(n, f"{error:.1e}", "" if error <= TOLERANCE else "wrong") for n, error in self.errors.items()]

    def _lines(self) -> list[str]:
        return [*map(str, self.findings or ["everything agrees with the reference"]), *self.variants]

    def __str__(self) -> str:
        """Return the errors, one per line, and the findings."""
        width = max([4, *map(len, self.errors)])
        rows = [f"{name:<{width}}  {error:>7}  {wrong}".rstrip() for name, error, wrong in self._rows()]
        return "\n".join([*rows, *self._lines()])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._lines())
        return f"<table><tr><th>array</th><th>relative error</th><th></th></tr>{rows}</table><ul>{lines}</ul>"


def as_array(array: ArrayLike, ndim: int, name: str) -> Array:
    """Return an array in float64; the last of `ndim` + 1 axes, if of length 1 as in a column, is dropped."""
    try:
        numbers = np.asarray(array)
        if numbers.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise CallError(name, f"not an array of numbers (got {type(array).__name__})") from None
    if numbers.dtype.kind == "f" and numbers.dtype.itemsize < 8:
        raise CallError(name, f"{numbers.dtype}, whose rounding looks like a mistake in the gradients: use float64")
    array = numbers.astype(np.float64)
    return array[..., 0] if array.ndim == ndim + 1 and array.shape[-1] == 1 else array


def measure_error(array: Array | None, expected: Array) -> float:
    """Return the relative error, 0 where both are nan or infinite; nan if an array is missing or the shapes differ."""
    if array is None or array.shape != expected.shape:
        return math.nan
    same = (array == expected) | (np.isnan(array) & np.isnan(expected))
    return relative_error(np.where(same, 0, array), np.where(same, 0, expected))


Faults = tuple[Fault, ...]
Run = Callable[[Faults], Arrays]
"""Returns the results of the solution with some mistakes; None if it cannot be run with them."""


def compare(
    observed: Mapping[str, Array],
    run: Run,
    faults: Faults,
    *,
    tolerance: float = TOLERANCE,
    prefix: str = "",
    staged: bool = True,
    shape: str = "",
    optional: Collection[str] = (),
    accept: Callable[[Mapping[str, Array], Arrays], bool] = lambda observed, reference: False,
    given: Mapping[str, Fault] | None = None,
    locate: Callable[[str, Array, Array], str] = lambda name, array, expected: "differs",
) -> CheckResult:
    """Compare what was observed with the solution, and name the mistakes.

    `faults` are in the order in which a student should correct them, and `prefix` precedes the names of arrays in
    findings. If `staged`, an array is computed from the arrays before it: a mistake is reported for the first array
    that it changes, and arrays after an unexplained one are not reported. `shape` describes an array of wrong shape if
    the shapes do not explain it; arrays in `optional` may be missing; `accept` returns whether the observed arrays are
    right although they differ. `given` has the changes that make the solution use an observed array, for arrays that
    are not explained; `locate` describes an array that no mistake explains.
    """
    cached = cache(run)

    def point(names: list[str], mistake: str) -> Finding:
        """Return a finding with the first numbers that differ."""
        where, array = ", ".join(prefix + name for name in names), observed.get(names[0]) if names else None
        if array is None or not array.size or array.shape != reference[names[0]].shape:
            return Finding(where, mistake)
        expected = reference[names[0]]
        difference = np.nan_to_num(np.abs(array - expected), nan=np.inf)
        is_large = difference > 1e-3 * np.abs(expected).max()
        first = np.unravel_index(int(np.argmax(is_large if is_large.any() else difference)), array.shape)
        at = f"[{', '.join(map(str, first))}]" if first else ""
        digits = next((d for d in (4, 8) if f"{expected[first]:.{d}g}" != f"{array[first]:.{d}g}"), 16)
        right, wrong = f"{expected[first]:.{digits}g}", f"{array[first]:.{digits}g}"
        return Finding(where, mistake, f"{prefix}{names[0]}{at} = {right}", wrong)

    reference, findings = cached(()), list[Finding]()
    if not reference:
        raise ElmanError("the solution cannot be run")
    if accept(observed, reference):
        return CheckResult(dict.fromkeys(reference, 0.0))
    named, others = Faults(), dict[str, list[str]]()
    for name, expected in reference.items():
        current = cached(named)[name]
        if name not in observed:
            if name not in optional:
                others.setdefault("missing in the result", []).append(name)
        elif not any(measure_error(observed[name], right) <= tolerance for right in (current, expected)):
            found, mistake = _explain(name, observed, cached, named, faults, tolerance)
            named += found
            if not found:
                if shape and observed[name].shape != expected.shape:
                    mistake = shape
                mistake = mistake or locate(name, observed[name], current)
                others.setdefault(mistake, []).append(name)
                is_usable = observed[name].shape == expected.shape and np.isfinite(observed[name]).all()
                if given and name in given and is_usable:
                    named += (given[name],)
                elif staged:
                    break
    for fault in sorted((fault for fault in named if fault in faults and not fault.is_variant), key=faults.index):
        without, full = (cached(some) for some in (tuple(other for other in named if other != fault), named))
        equal = [name for name in reference if measure_error(observed.get(name), full[name]) <= tolerance]
        changed = [name for name in equal if not measure_error(without[name], full[name]) <= tolerance]
        findings.append(point(changed[:1] if staged else changed, fault.finding))
    findings += [point(names, mistake) for mistake, names in others.items()]
    accepted = cached(tuple(fault for fault in named if fault.is_variant))
    errors = {name: measure_error(observed.get(name), expected) for name, expected in accepted.items()}
    errors = {name: error for name, error in errors.items() if name in observed or name not in optional}
    return CheckResult(errors, tuple(findings), variants=tuple(fault.finding for fault in named if fault.is_variant))


def _explain(
    name: str, observed: Mapping[str, Array], run: Run, named: Faults, faults: Faults, limit: float
) -> tuple[Faults, str]:
    """Return the fewest mistakes, one or two, that explain an array, and as many other arrays as possible."""
    # If there are none, return what is wrong with the array as a whole, if that is known.
    array, before = observed[name], run(named)
    right = {other for other in before if measure_error(observed.get(other), before[other]) <= limit}
    earlier = {*[*before][: [*before].index(name)]}

    def find(candidates: Iterable[Faults]) -> Faults:
        scores = dict[Faults, int]()
        for more in candidates:
            arrays = run(named + more)
            equal = {other for other in arrays if measure_error(observed.get(other), arrays[other]) <= limit}
            unchanged = {other for other in arrays if measure_error(before[other], arrays[other]) <= limit}
            if name in equal and right <= equal and earlier <= equal | unchanged:
                scores[more] = len(equal)
        is_ambiguous = len(scores) > 1 and not np.isfinite(array).all()
        return () if is_ambiguous or not scores else max(scores, key=lambda more: scores[more])

    others = ((fault,) for fault in faults if fault not in named)
    results = ((more, run(named + more)) for more in others)
    changing = [more for more, found in results if found and not measure_error(found[name], before[name]) <= limit]
    if found := find(changing):
        return found, ""
    if mistake := _find_change(array, before[name]):
        return (), mistake
    return find(first + second for first, second in combinations(changing, 2)), _describe(array, before[name])


def _find_change(array: Array, expected: Array) -> str:
    """Return how a right array was changed at the end: transposed, clipped or multiplied; or nothing."""
    if array.shape != expected.shape or array.size < 2 or not np.isfinite(array).all():
        return ""
    if not array.any():
        return "all zeros"
    limit = float(np.abs(array).max())
    if measure_error(array, np.clip(expected, -limit, limit)) <= TOLERANCE:
        return f"clipped at {limit:g}: clipping is a part of the update"
    factor = float(np.vdot(array, expected) / np.vdot(expected, expected)) if expected.any() else 1.0
    if measure_error(array, factor * expected) <= TOLERANCE:
        return f"{factor:.3g} times the right values"
    return "transposed" if array.ndim == 2 and measure_error(array.T, expected) <= TOLERANCE else ""


def _describe(array: Array, expected: Array) -> str:
    """Return what is wrong with an array before its numbers are compared; or nothing."""
    if array.size and array.shape != expected.shape:
        transposed = ": it is transposed" if array.shape == expected.shape[::-1] else ""
        return f"has shape {array.shape}, expected {expected.shape}{transposed}"
    return "" if np.isfinite(array).all() else "not finite"
