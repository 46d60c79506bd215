"""Checks of the functions of the assignment: their arguments, and the comparison of their results with the solution.

The handout (``elman course`` writes it) describes the functions. Every check calls a function with small random arrays,
drawn with a seed, in which no parameter and no state is zero and all sizes differ, so that a swapped axis is noticed. A
function receives copies, so it cannot change the arrays that it is compared with; that it changes them is a finding.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Set
from copy import deepcopy
from dataclasses import replace
from functools import partial, wraps
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.apps.course.comparison import TOLERANCE, CallError, CheckResult, Finding, as_array, compare, measure_error
from elman.apps.course.faults import SECOND, Fault, list_faults, load_solution
from elman.apps.course.layout import LAYOUTS
from elman.errors import ElmanError, check_range, quote, shorten
from elman.network import Architecture, Array, Arrays

Function = Callable[..., Any]
LARGE = 1e4  # e^a and e^o overflow for pre-activations and logits of this size
GIVEN = {
    "h": Fault("", "", (('parameters["V"] @ new', 'parameters["V"] @ (new := next(given["h"], new))'),)),
    "p": Fault("", "", (("e / e.sum()", 'next(given["p"], e / e.sum())'),)),
}
"""Changes that make the solution's forward pass use the returned states or probabilities: p is computed from these
states, and the loss from these probabilities, so that a mistake is reported where it was made."""


class Window(NamedTuple):
    """A network, a window of text, and the state before it."""

    parameters: Arrays
    h0: Array
    x: NDArray[np.intp]
    y: NDArray[np.intp]

    def copy(self) -> Window:
        """Return a copy that a function may change."""
        return deepcopy(self)


def make_window(K: int, m: int, T: int, seed: int, cell: str = "rnn", *, is_loud: bool = False) -> Window:
    """Return a window of a network without zero parameters, whose first character is not the last to predict."""
    # In a loud window, the gradients of all arrays exceed 5, a usual clipping threshold, at one step and in sum.
    if cell not in (cells := ["rnn", *SECOND]):
        raise ElmanError(f"cell must be one of {', '.join(cells)} (got {quote(cell)})")
    for name, value, least in (("K", K, 2), ("m", m, 1), ("T", T, 1)):
        check_range(name, value, least)
    generator = np.random.RandomState(seed)
    shapes = Architecture(K, m, cell).shapes()
    parameters: Arrays = {name: 0.5 * generator.randn(*shape) for name, shape in shapes.items()}
    text = np.where(generator.rand(T + 1) < 0.6, K - 1, generator.randint(0, K - 1, T + 1))
    text[-1] = (text[0] + 1) % K
    if is_loud:
        parameters["V"] *= 40
        parameters["c"][K - 1] -= 100  # the most frequent character is never expected
    size = 2 * m if cell == "lstm" else m
    return Window(parameters, np.tanh(generator.randn(size)), text[:-1], text[1:])


def guard(name: str, function: Function) -> Function:
    """Return a function whose exceptions are findings."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return function(*arguments, **named)
        except NotImplementedError:
            raise CallError(name, "not written yet") from None
        except (Exception, SystemExit) as error:
            raise CallError(name, _describe_error(function, error)) from None

    return call


MAY_CHANGE = {"backward": {"h", "p"}, "adagrad": {"parameters", "gradients", "M"}, "train": {"parameters"}}
"""Task -> the arguments that its function may change. Many a backward pass turns p into g, and an update clips."""


def _find_changes(task: str, function: Function, found: set[str]) -> Function:
    """Return a function that adds the names of the arrays that a call changes, and must not, to `found`."""
    names = inspect.signature(load_solution(task)[task]).parameters

    def list_arrays(arguments: tuple[Any, ...]) -> dict[str, Array]:
        values = dict[str, Any]()
        for name, value in zip(names, arguments, strict=False):
            if name not in MAY_CHANGE.get(task, ()):
                is_dict = isinstance(value, dict)
                values |= {f"{name}[{key!r}]": each for key, each in value.items()} if is_dict else {name: value}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def is_equal(array: Array, other: Array | None) -> bool:  # up to the rounding of a difference quotient
        return other is not None and array.shape == other.shape and np.allclose(array, other, 1e-9, 1e-12)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        before = {name: array.copy() for name, array in list_arrays(arguments).items()}
        result, after = function(*arguments, **named), list_arrays(arguments)
        found.update(name for name, array in before.items() if not is_equal(array, after.get(name)))
        return result

    return call


def _describe_error(function: Any, error: BaseException) -> str:
    """Return the error of a function under test, its line, and the sizes that it reads from global variables."""
    function = inspect.unwrap(function)
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    text = f"raises {type(error).__name__}: {shorten(' '.join(str(error).split()), 200)}"
    frames = traceback.extract_tb(error.__traceback__)
    if own := [frame for frame in frames if code is not None and frame.filename == code.co_filename]:
        text += f", in line {own[-1].lineno}" + (f": {own[-1].line}" if own[-1].line else "")
    sizes = [name for name in getattr(code, "co_names", ()) if type(names.get(name)) is int]
    hint = f"; {', '.join(sizes)} of the module may not fit: take sizes from the arguments" if sizes else ""
    return text + hint


def _check(
    task: str,
    function: Function,
    measure: Callable[[Function], Arrays],
    layout: str = "rows",
    cell: str = "rnn",
    locate: Callable[[Function, str, Array, Array], str] = lambda *_: "not what the reference computes",
    **options: Any,
) -> CheckResult:
    """Compare what `measure` observes of a function and of the solution, with and without mistakes."""
    if layout not in LAYOUTS:
        raise ElmanError(f"layout must be {' or '.join(LAYOUTS)} (got {quote(layout)})")

    observed, errors = Arrays(), list[CallError]()

    def run(faults: tuple[Fault, ...]) -> Arrays:
        given = {name: iter(observed[name][-len(observed["p"]) :]) for name in GIVEN if name in observed}
        try:
            with np.errstate(all="ignore"):
                return measure(load_solution(task, faults, cell, given=given)[task])
        except Exception:  # two mistakes together may raise anything
            return {}

    others = [] if layout == "columns" else LAYOUTS["columns"]
    for form in (*LAYOUTS[layout], *others):
        call, changed = guard(task, form.adapt(task, function)), set[str]()
        try:
            observed = measure(_find_changes(task, call, changed))
        except CallError as error:
            errors.append(error)
        except Exception as error:
            errors.append(CallError(task, f"its result cannot be compared: {shorten(str(error), 200)}"))
        else:
            if form in LAYOUTS[layout]:
                result = compare(observed, run, list_faults(task), locate=partial(locate, call), **options)
                if result.passed and changed:
                    finding = Finding(task, f"changes {', '.join(sorted(changed))}: work on copies")
                    return replace(result, findings=(finding,))
                return result
            errors.insert(0, CallError(task, "steps are columns: check it with layout='columns'"))
            break
    return CheckResult(dict.fromkeys(run(()), np.nan), (errors[0].finding,))


def _read_arrays(task: str, result: object, names: Mapping[str, int]) -> Arrays:
    """Return the arrays that exist in a dict that a function returned; `names` has their dimensions."""
    if not isinstance(result, Mapping):
        raise CallError(task, f"must return a dict with {', '.join(names)} (got {_describe_result(result)})")
    return {name: as_array(result[name], ndim, name) for name, ndim in names.items() if name in result}


def _describe_result(result: object) -> str:
    return f"{len(result)} values" if isinstance(result, tuple) else shorten(type(result).__name__)


DIMENSIONS = {"U": 2, "W": 2, "V": 2, "b": 1, "c": 1}


def check_initial(initialize: Function, *, K: int = 7, m: int = 4, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Compare initial parameters with the reference experiment's.

    Parameters
    ----------
    initialize : callable
        ``initialize(K, m, seed)`` returns a dict of U (m, K), W (m, m), V (K, m), b (m,), c (K,).
    K, m, seed, layout
        The arguments of the call, as in `check_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.apps.course import check_initial
    >>> def initialize(K, m, seed):
    ...     draw = np.random.RandomState(seed).randn
    ...     U, W, V = draw(m, K), draw(m, m), draw(K, m)
    ...     return {"U": U, "W": W, "V": V, "b": np.zeros(m), "c": np.zeros(K)}
    >>> check_initial(initialize).findings[0].mistake
    'the standard deviation is 1 instead of 0.1'
    """

    def measure(initialize: Function) -> Arrays:
        result = initialize(K, m, seed)
        arrays = _read_arrays("initialize", result, DIMENSIONS)
        if columns := [name for name, array in arrays.items() if array.ndim < np.ndim(result[name])]:
            raise CallError(columns[0], f"has shape {np.shape(result[columns[0]])}: vectors have one axis")
        for name in arrays:
            array = result[name]
            if not (isinstance(array, np.ndarray) and array.dtype == np.float64 and array.flags.writeable):
                raise CallError(name, "must be an array of float64 that can be changed")
        for one, other in combinations(arrays, 2):
            if np.may_share_memory(result[one], result[other]):
                raise CallError(one, f"shares its memory with {other}: an update would change both")
        return arrays

    return _check("initialize", initialize, measure, layout, staged=False)


def check_windows(make_windows: Function, *, T: int = 4, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Compare the windows of three texts with the reference's windows.

    Parameters
    ----------
    make_windows : callable
        ``make_windows(indices, T)`` returns a list of pairs (x, y), each (T,).
    T, seed : int
        The length of a window, at least 2, and the seed of the texts.
    layout : str
        As in `check_forward`; windows are the same in every layout.

    Examples
    --------
    >>> from elman.apps.course import check_windows
    >>> print(check_windows(lambda indices, T: [(indices[n:n+T], indices[n:n+T]) for n in range(0, len(indices)-T, T)]))
    x     0.0e+00
    y     4.4e-01  wrong
    y: y is x: the target of a character is the next one (expected y[0] = 6, found 3)
    """

    def measure(make_windows: Function) -> Arrays:
        arrays: dict[str, list[Array]] = {"x": [np.zeros(0)], "y": [np.zeros(0)]}
        generator = np.random.RandomState(seed)
        for N in (4 * T + 1, 4 * T, 3 * T + T // 2 + 1):
            result = list(make_windows(generator.randint(0, 7, N), T))
            if not all(
                isinstance(pair, tuple | list | np.ndarray) and len(pair) == 2 and np.ndim(pair[1]) == 1
                for pair in result
            ):
                raise CallError("make_windows", "must return a list of the pairs (x, y) of all windows")
            for n, name in enumerate(arrays):
                for pair in result:
                    arrays[name] += [as_array(pair[n], 1, name), np.array([-1.0])]  # the end of a window
                arrays[name].append(np.array([-2.0]))  # the end of a text
        return {name: np.concatenate(parts) for name, parts in arrays.items()}

    shape = "the number or the length of the windows is wrong: floor((N - 1) / T) windows of T characters"
    return _check("make_windows", make_windows, measure, layout, shape=shape)


OF_LARGE_A, OF_SMALL_P = "h of large a", "loss of a small p"
OUTPUT = {"V", "c"}  # the parameters of the logits; all others are of the pre-activations


def check_forward(
    forward: Function, *, cell: str = "rnn", K: int = 7, m: int = 4, T: int = 25, seed: int = 5, layout: str = "rows"
) -> CheckResult:
    """Compare a forward pass with the reference.

    Parameters
    ----------
    forward : callable
        ``forward(parameters, h0, x, y)`` returns

        - the loss in nats, summed over the window;
        - the states, shape (T + 1, m): row 0 is `h0`, row t + 1 the state after step t;
        - the probabilities, shape (T, K), one row per step.

        `parameters` is a dict of U (m, K), W (m, m), V (K, m), b (m,), c (K,), float64; `h0` has shape (m,); `x` and
        `y` (T,) are the indices of the input characters and of the characters to predict.
    cell : {"rnn", "gru", "lstm"}
        The parameters of a GRU and an LSTM have the blocks of `elman.network.cells`; a state of an LSTM is h and then
        s, 2 m numbers.
    K, m, T : int
        Alphabet size, hidden units and sequence length of the window that is passed.
    seed : int
        Seed of the weights and the window.
    layout : {"rows", "columns"}
        Whether steps are rows or, as in KTH's course DD2424, columns: h (m, T + 1), p (K, T), b and h0 (m, 1),
        c (K, 1).
        A function that expects one-hot vectors for x and y, (T, K) or (K, T), receives these.

    Returns
    -------
    CheckResult
        The errors of ``h``, ``p`` and ``loss``.

    Examples
    --------
    The forward pass below returns the mean of the losses instead of their sum:

    >>> import numpy as np
    >>> from elman.apps.course import check_forward
    >>> def forward(parameters, h0, x, y):
    ...     h, p, loss = [h0], [], 0.0
    ...     for t in range(len(x)):
    ...         h.append(np.tanh(parameters["W"] @ h[t] + parameters["U"][:, x[t]] + parameters["b"]))
    ...         o = parameters["V"] @ h[t + 1] + parameters["c"]
    ...         e = np.exp(o - o.max())
    ...         p.append(e / e.sum())
    ...         loss -= np.log(p[t][y[t]]) / len(x)
    ...     return loss, np.array(h), np.array(p)
    >>> check_forward(forward).findings[0].mistake
    'the mean over the window instead of the sum'
    """
    window = make_window(K, m, T, seed, cell)
    _, h0, x, y = window
    small = Window(window.parameters | {"c": window.parameters["c"] - 40 * (np.arange(K) == y[0])}, h0, x[:1], y[:1])

    def is_finite_if_large(forward: Function, result: int, name: str, names: Set[str]) -> bool:
        """Return whether h or p of one step is finite if the parameters `names` are large, of either sign."""

        def call(factor: float) -> Array:
            arrays = {each: factor * window.parameters[each] for each in names}
            large = Window(window.parameters | arrays, h0, x[:1], y[:1])
            return as_array(forward(*large.copy())[result], 2, name)

        return all(np.isfinite(call(factor)).all() for factor in (LARGE, -LARGE))

    def measure(forward: Function) -> Arrays:
        parameters, h0, x, y = window.copy()
        result = forward(parameters, h0, x, y)
        if not isinstance(result, tuple) or len(result) != 3:
            raise CallError("forward", f"must return loss, h and p (got {_describe_result(result)})")
        loss = as_array(result[0], 0, "loss")
        if loss.size != 1:
            raise CallError("loss", f"must be a number (got an array of shape {loss.shape})")
        h, p = as_array(result[1], 2, "h"), as_array(result[2], 2, "p")
        large_h = is_finite_if_large(forward, 1, "h", parameters.keys() - OUTPUT) or not np.isfinite(h).all()
        large_p = is_finite_if_large(forward, 2, "p", OUTPUT) or not np.isfinite(p).all()
        small_loss, _, small_p = forward(*small.copy())
        with np.errstate(all="ignore"):
            ratio = -as_array(small_loss, 0, "loss").ravel()[:1] / np.log(as_array(small_p, 2, "p")[:1, small.y[0]])
        return {
            "h": h, "p": p, "loss": loss.reshape(()), OF_LARGE_A: np.array(float(large_h)),
            "p of large logits": np.array(float(large_p)), OF_SMALL_P: ratio,
        }  # fmt: skip

    def locate(function: Function, name: str, array: Array, expected: Array) -> str:
        if name == "h":
            if measure_error(array[:-1], expected[1:]) <= TOLERANCE:
                return "row t holds the state after step t + 1: a step must not change the state that it is given"
            wrong = [not measure_error(*rows) <= TOLERANCE for rows in zip(array, expected, strict=True)]
            return f"h[{int(np.argmax(wrong))}] is the first wrong state"
        return {
            "p": "not softmax(V h_t + c) of the states h",
            "loss": "not -sum_t log p_t[y_t] of the probabilities p",
            OF_LARGE_A: "overflows if a_t is large: use np.tanh, and for a gate 1 / (1 + np.exp(-a))",
            OF_SMALL_P: "not -log p_t[y_t] where p_t[y_t] is about 1e-18: nothing is added to it, nothing limits it",
        }.get(name, "not finite")

    return _check("forward", forward, measure, layout, cell, locate, given=GIVEN)


def check_backward(
    backward: Function, *, cell: str = "rnn", K: int = 7, m: int = 4, T: int = 25, seed: int = 5, layout: str = "rows"
) -> CheckResult:
    """Compare a backward pass with the reference, and say which term is wrong.

    The function is called twice, with the results of the reference's forward pass; the second window has gradients
    above any usual clipping threshold. Clipping is a part of the update: `backward` returns gradients that are not
    clipped.

    Parameters
    ----------
    backward : callable
        ``backward(parameters, x, y, h, p)`` returns the gradients, a dict with the names and shapes of `parameters`;
        vectors may be columns, as in (m, 1). With a key ``h0``, the gradient of the initial state is compared, too.
    cell, K, m, T, seed, layout
        As in `check_forward`; `backward` receives the arguments and results of the forward pass.

    Examples
    --------
    The backward pass below forgets the gradient through h_{t-1}:

    >>> import numpy as np
    >>> from elman.apps.course import check_backward
    >>> def backward(parameters, x, y, h, p):
    ...     g = p.copy()
    ...     g[np.arange(len(y)), y] -= 1
    ...     da = (1 - h[1:] ** 2) * (g @ parameters["V"])
    ...     dU = np.zeros_like(parameters["U"])
    ...     np.add.at(dU.T, x, da)
    ...     return {"U": dU, "W": da.T @ h[:-1], "V": g.T @ h[1:], "b": da.sum(axis=0), "c": g.sum(axis=0)}
    >>> finding, = check_backward(backward).findings
    >>> finding.where, finding.mistake.split(",")[0]
    ('db, dW, dU', 'the gradient through h_{t-1} is missing')
    """
    for is_loud in (False, True):
        window = make_window(K, m, max(T, 25) if is_loud else T, seed, cell, is_loud=is_loud)
        locate = partial(_locate_gradient, window, cell)
        measure = _measure_gradients(window, cell)
        result = _check("backward", backward, measure, layout, cell, locate, prefix="d", staged=False, optional=["h0"])
        if not result.passed:
            break
    return result


def _measure_gradients(window: Window, cell: str) -> Callable[[Function], Arrays]:
    _, h, p = load_solution("forward", cell=cell)["forward"](*window.copy())
    names = {"c": 1, "V": 2, "b": 1, "d": 1, "W": 2, "U": 2, "h0": 1}  # in the order of the backward pass

    def measure(backward: Function) -> Arrays:
        parameters, _, x, y = window.copy()
        gradients = _read_arrays("backward", backward(parameters, x, y, h.copy(), p.copy()), names)
        return {name: gradients[name] for name in names if name in gradients}

    return measure


def _locate_gradient(window: Window, cell: str, backward: Function, name: str, array: Array, expected: Array) -> str:
    """Return in which windows a gradient is wrong: one step from zeros or from another state, or several steps."""
    right = load_solution("backward", cell=cell)["backward"]
    for steps, h0, message in (
        (1, 0 * window.h0, "wrong for a single step from h_0 = 0: compare the step itself with the equations"),
        (1, window.h0, "wrong for a single step from another h_0 than 0: h_0 counts like every h_{t-1}"),
        (len(window.x), window.h0, "wrong for several steps only: see what is passed from step to step, and the sum"),
    ):
        measure = _measure_gradients(Window(window.parameters, h0, window.x[:steps], window.y[:steps]), cell)
        expected_part = measure(right)
        names = [name] if expected_part[name].any() else ["b", "U"]  # dW is zero for a single step from zeros
        try:
            observed = measure(backward)
        except CallError:
            break
        if not all(measure_error(observed.get(each), expected_part[each]) <= TOLERANCE for each in names):
            return message
    return "not what the reference computes"


SMALL, LEAST = 1e-5, 1e-3  # the error of right gradients is at most SMALL, the error of wrong ones at least LEAST


def check_gradient_checker(gradient_error: Function, *, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Check a gradient check: right gradients must pass it, also from h_0 = 0, and wrong ones must not.

    Parameters
    ----------
    gradient_error : callable
        ``gradient_error(parameters, h0, x, y, gradients)`` returns a dict with the relative error, ``sum |a - n| / sum
        (|a| + |n|)``, of every array of gradients, including ``h0``. It calls its own forward pass.
    seed, layout
        As of `check_forward`.

    Examples
    --------
    >>> from elman.apps.course import check_gradient_checker
    >>> print(*check_gradient_checker(lambda *arguments: dict.fromkeys(["U", "W", "V", "b", "c", "h0"], 0)).findings)
    wrong gradients: the error is 0 whatever the gradients are (expected wrong gradients[1] = 1, found 0)
    """
    functions = load_solution("backward")
    window = make_window(4, 3, 3, seed)
    start = Window(window.parameters, 0 * window.h0, window.x[:1], window.y[:1])
    right, of_start = (_measure_gradients(each, "rnn")(functions["backward"]) for each in (window, start))
    without_h0 = next(fault for fault in list_faults("backward") if fault.name == "dW_without_h0")
    faulty = _measure_gradients(window, "rnn")(load_solution("backward", [without_h0])["backward"])
    wrong = {
        "V": -right["V"], "b": 1.05 * right["b"], "c": 0 * right["c"], "W": faulty["W"],
        "U": right["U"] + np.outer([0.1, -0.1, 0], np.ones(4)), "h0": right["h0"][::-1],
    }  # fmt: skip
    cases = [(window, right | {name: gradient}) for name, gradient in wrong.items()]
    certain = start.copy()
    certain.parameters["c"][certain.y] += 10  # small gradients, whose absolute errors are small as well
    of_certain = _measure_gradients(certain, "rnn")(functions["backward"])
    cases.append((certain, of_certain | {"U": -of_certain["U"]}))

    def errors(gradient_error: Function, window: Window, gradients: Arrays) -> Array:
        result = gradient_error(*window.copy(), deepcopy(gradients))
        found = _read_arrays("gradient_error", result, dict.fromkeys(gradients, 0))
        if missing := ", ".join(sorted(gradients.keys() - found.keys())):
            raise CallError("gradient_error", f"must return the errors of {', '.join(gradients)} ({missing} missing)")
        error = np.array([float(found[name].sum()) for name in gradients])
        return np.where(error <= SMALL, 0, error)

    def measure(gradient_error: Function) -> Arrays:
        return {
            "right gradients": errors(gradient_error, window, right),
            "right gradients from h_0 = 0": errors(gradient_error, start, of_start),
            "wrong gradients": np.concatenate([errors(gradient_error, *case) for case in cases]),
        }

    def accept(observed: Arrays, reference: Arrays) -> bool:
        found, expected = (np.concatenate([arrays[name] for name in reference]) for arrays in (observed, reference))
        return bool(np.where(expected > 0, found >= LEAST, found <= SMALL).all())

    messages = {
        "wrong gradients": "the error of each array is sum |a - n| / sum (|a| + |n|), over the components of that array"
    }
    above = "right gradients have an error above 1e-5: compare the difference quotient, its step (1e-4) and the error"

    def locate(function: Function, name: str, *_: Array) -> str:
        return messages.get(name, above)

    return _check("gradient_error", gradient_error, measure, layout, locate=locate, tolerance=1e-5, accept=accept)


def check_optimizer(adagrad: Function, *, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Compare three updates of AdaGrad with the reference; `CheckResult.variants` lists usual variants that it uses.

    Parameters
    ----------
    adagrad : callable
        ``adagrad(parameters, gradients, M, eta)`` changes `parameters` and M, dicts of arrays, in place; `gradients`
        has an ``h0``, which is not a parameter. The gradient may be clipped to [-5, 5] before or after its square is
        added to M, and epsilon, 1e-8, be inside or outside the root.
    seed, layout
        As in `check_forward`; an update is the same in every layout.

    Examples
    --------
    >>> import numpy as np
    >>> from elman.apps.course import check_optimizer
    >>> def adagrad(parameters, gradients, M, eta):
    ...     for name in parameters:
    ...         gradient = np.clip(gradients[name], -5, 5)
    ...         M[name] += gradient**2
    ...         parameters[name] -= eta * gradient / np.sqrt(M[name] + 1e-8)
    >>> check_optimizer(adagrad).variants
    ('clips the gradient before M is summed',)
    """

    def measure(adagrad: Function) -> Arrays:
        generator = np.random.RandomState(seed)
        parameters = {name: generator.randn(3, ndim + 1)[:, :ndim].squeeze() for name, ndim in DIMENSIONS.items()}
        M, states = {name: 0 * array for name, array in parameters.items()}, list[Array]()
        for scale in (1e-4, 1, 10):
            gradients = {name: scale * generator.randn(*array.shape) for name, array in parameters.items()}
            gradients["U"][0] = 0
            gradients["W"][0] = 40 * np.sign(gradients["W"][0])
            adagrad(parameters, gradients | {"h0": np.ones(3)}, M, 0.03)
            states += [np.concatenate([arrays[name].ravel() for name in DIMENSIONS]) for arrays in (M, parameters)]
        return {"M": np.concatenate(states[::2]), "parameters": np.concatenate(states[1::2])}

    return _check("adagrad", adagrad, measure, layout)


def check_training(train: Function, *, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Compare the losses of training, over the ends of two epochs, and the parameters after it with the reference.

    Parameters
    ----------
    train : callable
        ``train(parameters, indices, T, updates, eta)`` changes `parameters` in place, and returns a list of the losses
        before each update. It calls its own forward pass, backward pass and update. If it has a parameter
        ``on_window``, this is called before each update: ``on_window(n, h0, x[0])``.
    seed, layout
        As of `check_forward`.

    Examples
    --------
    >>> from elman.apps.course import check_training
    >>> print(*check_training(lambda parameters, indices, T, updates, eta: []).findings, sep="\\n")
    losses: must be one number per update (got an array of shape (0,))
    """
    T, per_epoch, updates = 10, 3, 8

    def measure(train: Function) -> Arrays:
        window = make_window(5, 3, per_epoch * T + 3, seed)
        parameters, indices = window.parameters, window.x.copy()
        parameters["c"][4] -= 5  # the most frequent character is not expected, so that gradients are clipped
        calls, empty = list[list[float]](), np.full((updates, 2 + len(window.h0)), np.nan)
        has_hook = "on_window" in inspect.signature(train).parameters
        hook = {"on_window": lambda n, h0, x: calls.append([n, x, *np.ravel(h0)])} if has_hook else {}
        losses = as_array(train(parameters, indices, T, updates, 0.05, **hook), 1, "losses")
        if losses.ndim != 1 or not losses.size:
            raise CallError("losses", f"must be one number per update (got an array of shape {losses.shape})")
        after = np.concatenate([array.ravel() for array in parameters.values()])
        arrays = {"losses": losses, "parameters": after}
        return arrays | ({"on_window": np.array([*calls, *empty][:updates])} if has_hook else {})

    def locate(function: Function, name: str, array: Array, expected: Array) -> str:
        if name == "on_window":
            return "to be called before every update, with its number, h_0 and the window's first character"
        if name == "parameters":
            return "not those after the last update: the dict that is given is to be changed"
        first = int(np.argmax([not measure_error(*pair) <= 1e-5 for pair in zip(array, expected, strict=True)]))
        if first == 0:
            return "the first is wrong: the forward pass, or a state that is not zero"
        part = "the update, or the state that is carried" if first < per_epoch else "the start of the second epoch"
        return f"right up to update {first - 1}, wrong from update {first} on: {part}"

    return _check("train", train, measure, layout, locate=locate, tolerance=1e-5, optional=["on_window"])


class _Recorder:
    """A generator that records the probabilities it draws from."""

    def __init__(self, seed: int) -> None:
        self.generator, self.probabilities = np.random.RandomState(seed), list[Array]()

    def choice(self, a: Any, size: Any = None, replace: bool = True, p: Any = None) -> Any:
        K = int(a) if np.ndim(a) == 0 else len(a)
        self.probabilities.append(np.full(K, 1 / K) if p is None else np.asarray(p, np.float64))
        return self.generator.choice(a, size, replace, p)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def check_sampling(synthesize: Function, *, seed: int = 5, layout: str = "rows") -> CheckResult:
    """Compare the text that a network generates, and the probabilities from which it is drawn, with the reference.

    Parameters
    ----------
    synthesize : callable
        ``synthesize(parameters, h, x, length, generator, temperature=1.0)`` returns a list of `length` indices that
        follow the character x, an index, in the state h, each drawn by ``generator.choice(K, p=p)``.
    seed, layout
        As in `check_forward`; x is an index in every layout.

    Examples
    --------
    >>> from elman.apps.course import check_sampling
    >>> def synthesize(parameters, h, x, length, generator, temperature=1.0):
    ...     return [generator.choice(len(parameters["c"])) for _ in range(length)]
    >>> check_sampling(synthesize).findings[0].mistake
    'draws without p: generator.choice(K, p=p)'
    """
    window = make_window(7, 4, 1, seed)

    def measure(synthesize: Function) -> Arrays:
        arrays = Arrays()
        for temperature, name in ((1.0, ""), (0.6, " at temperature 0.6")):
            (parameters, h, x, _), recorder = window.copy(), _Recorder(seed)
            options = {"temperature": temperature} if name else {}
            text = as_array(synthesize(parameters, h, int(x[0]), 12, recorder, **options), 1, "text")
            if not recorder.probabilities:
                raise CallError("synthesize", "the characters are not drawn by generator.choice(K, p=p)")
            arrays |= {f"p{name}": np.array(recorder.probabilities), f"text{name}": text}
        return arrays

    return _check("synthesize", synthesize, measure, layout)
