"""A mistake in a function of one's own is named, and nothing else is blamed."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import elman.apps.course
from elman.apps.course import CheckResult, check_backward, check_forward, faults
from elman.apps.course.checks import make_window
from elman.apps.course.comparison import TOLERANCE
from elman.apps.course.faults import list_faults, load_solution, read_faults
from elman.apps.course.grading import CHECKS
from elman.apps.course.layout import Layout
from elman.errors import ElmanError
from elman.network.cells import CELLS
from support.own_passes import load_passes

RETURN = 'return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "h0": dh_next}'
RETURN_EACH = 'return {{n: {} for n, g in zip("UWVbc", (dU, dW, dV, db, dc))}}'


def check_gradients(forward: Callable[..., Any], backward: Callable[..., Any], **options: Any) -> CheckResult:
    results = check_forward(forward, **options), check_backward(backward, **options)
    return CheckResult(results[0].errors | results[1].errors, results[0].findings + results[1].findings)


def find(*changes: tuple[str, str]) -> list[str]:
    return [*map(str, check_gradients(*load_passes(*changes)).findings)]


def solution(task: str, *names: str, cell: str = "rnn") -> Callable[..., Any]:
    """Return a function of the solution with mistakes of the table."""
    functions = load_solution(task, [fault for fault in read_faults()[task] if fault.name in names], cell)
    function: Callable[..., Any] = functions[task]
    return function


def test_right_passes_agree() -> None:
    result = check_gradients(*load_passes())
    assert result.passed
    assert max(result.errors.values()) < 1e-14
    forward = ["h", "p", "loss", "h of large a", "p of large logits", "loss of a small p"]
    assert [*result.errors] == [*forward, *"cVbWU", "h0"]
    assert str(result).endswith("everything agrees with the reference")


@pytest.mark.parametrize("sizes", [{"T": 1}, {"K": 2, "m": 1}, {"K": 300, "T": 3}, {"seed": 1}])
def test_right_passes_agree_at_every_size(sizes: dict[str, Any]) -> None:
    assert check_gradients(*load_passes(), **sizes).passed


@pytest.mark.parametrize("cell", ["rnn", *faults.SECOND])
def test_the_solution_is_the_reference(cell: str) -> None:
    """Of the package's own network, which the conformance test and central differences hold to the same numbers."""
    window, functions = make_window(7, 4, 9, 1, cell), load_solution("forward", cell=cell)
    loss, h, p = functions["forward"](*window.copy())
    np.testing.assert_allclose(h, CELLS[cell].functions.forward(window.parameters, window.h0, window.x), rtol=1e-12)
    g = p - np.eye(7)[window.y]
    gradients = functions["backward"](window.parameters, window.x, window.y, h, p)
    expected, dh0, _ = CELLS[cell].functions.backward(window.parameters, window.x, h, g @ window.parameters["V"])
    for name, gradient in (expected | {"h0": dh0, "V": g.T @ h[1:, :4], "c": g.sum(axis=0)}).items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-9, err_msg=name)
    assert loss == pytest.approx(-np.log(p[np.arange(9), window.y]).sum())


TABLE = [(task, fault) for task, faults in read_faults().items() for fault in faults]


@pytest.mark.parametrize(("task", "fault"), TABLE, ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_mistake_of_the_table_is_named(task: str, fault: Any) -> None:
    cell = next((cell for cell in ("gru", "lstm") if fault.name.startswith(cell)), "rnn")
    options = {"cell": cell} if cell != "rnn" else {}
    with np.errstate(all="ignore"):
        result = CHECKS[task](solution(task, fault.name, cell=cell), **options)
    found = [*result.variants] if fault.is_variant else [finding.mistake for finding in result.findings]
    assert found == [fault.finding]
    assert result.passed == fault.is_variant
    assert len(fault.finding) < 120
    assert "\n" not in fault.finding


@pytest.mark.parametrize("task", ["forward", "backward"])
@pytest.mark.parametrize("layout", [Layout(True, True), Layout(True, False), Layout(False, True)])
def test_columns_and_one_hot_vectors_are_accepted(task: str, layout: Layout) -> None:
    right = layout.adapt(task, solution(task), reverse=True)
    wrong = layout.adapt(task, solution(task, "tanh_missing", "slope_missing"), reverse=True)

    function = right

    def own(*arguments: Any) -> Any:
        """Fail for what has another layout, as NumPy does."""
        parameters, x = arguments[0], arguments[2 if task == "forward" else 1]
        if (parameters["b"].ndim == 2) != layout.columns or (np.ndim(x) == 2) != layout.one_hot:
            raise ValueError("operands could not be broadcast together")
        return function(*arguments)

    name = "columns" if layout.columns else "rows"
    assert CHECKS[task](own, layout=name).passed
    if layout.columns:
        (finding,) = CHECKS[task](own).findings
        assert str(finding) == f"{task}: steps are columns: check it with layout='columns'"
    function = wrong
    (finding,) = CHECKS[task](own, layout=name).findings
    assert "tanh is missing" in finding.mistake


def test_vectors_as_columns_no_gradient_of_the_initial_state_and_a_loss_in_an_array_are_accepted() -> None:
    _, backward = load_passes((RETURN, 'return {"U": dU, "W": dW, "V": dV, "b": db[:, None], "c": dc[:, None]}'))
    result = check_gradients(load_passes()[0], backward)
    assert result.passed
    assert "h0" not in result.errors
    forward, _ = load_passes(("return loss, h, p", "return np.array([[loss]]), h[:, :, None], list(p[:, :, None])"))
    assert check_forward(forward).passed


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda *_: 1 / 0, "forward: raises ZeroDivisionError: division by zero, in line"),
        (lambda *_: 3.0, "forward: must return loss, h and p (got float)"),
        (lambda *_: (np.ones(2), 0, 0), "loss: must be a number (got an array of shape (2,))"),
        (lambda *_: (0.0, "h", 0), "h: not an array of numbers (got str)"),
        (load_passes(("np.zeros((T + 1, len(h0)))", "np.zeros((T + 1, m))"), m=100)[0], "m of the module may not fit"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_a_finding(function: Any, expected: str) -> None:
    (finding,) = check_forward(function).findings
    assert expected in str(finding)


@pytest.mark.parametrize(
    ("check", "function", "expected"),
    [
        ("windows", lambda *_: [1], "make_windows: must return a list of the pairs (x, y) of all windows"),
        ("windows", lambda *_: [(1, 2)], "make_windows: must return a list of the pairs (x, y) of all windows"),
        ("gradient_checker", lambda *_: {"U": np.zeros(1)}, "gradient_error: must return the errors of"),
        ("sampling", lambda *_, **__: [0] * 12, "the characters are not drawn by generator.choice(K, p=p)"),
    ],
)  # fmt: skip
def test_what_a_task_must_return(check: str, function: Callable[..., Any], expected: str) -> None:
    (finding,) = getattr(elman.apps.course, f"check_{check}")(function).findings
    assert expected in str(finding)


def test_a_notebook_shows_a_table_and_the_findings() -> None:
    html = check_forward(load_passes(("np.tanh(a)", "a"))[0])._repr_html_()
    assert "<td>h</td>" in html
    assert "<li>h: tanh is missing" in html
    assert "&lt;" in CheckResult({"a<b": 0.0})._repr_html_()


def test_an_error_of_the_tolerance_is_not_wrong() -> None:
    assert str(CheckResult({"h": TOLERANCE})) == "h     1.0e-06\neverything agrees with the reference"
    assert "wrong" in str(CheckResult({"h": np.nextafter(TOLERANCE, 1.0)}))


SEEDS = [1, 2, 19, 33, 42, 58, 75, 83, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1000, 1040))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clipped_backward_pass_does_not_pass(seed: int) -> None:
    """At 5 and 10, by norm, and the gradient through time at every step."""
    changes = [(RETURN, RETURN_EACH.format(f"np.clip(g, -{limit}, {limit})")) for limit in (5, 10)]
    changes += [(RETURN, RETURN_EACH.format("g * min(1, 5 / np.linalg.norm(g))"))]
    changes += [("dh_next = W.T @ da", "dh_next = np.clip(W.T @ da, -5, 5)")]
    for change in changes:
        findings = check_backward(load_passes(change)[1], seed=seed).findings
        assert any(word in str(findings) for word in ("clipped", "times the right"))


def test_nothing_is_said_of_a_term_that_is_zero() -> None:
    """dW of a single step from h_0 = 0 is zero whatever the derivative."""
    for slope in ("(1 - h[t + 1] ** 3)", "(2 - h[t + 1])"):
        findings = find((DERIVATIVE, slope))
        assert not any("right" in finding for finding in findings)
        assert findings[0].startswith("db, dW, dU, dh0: wrong for a single step from h_0 = 0"), findings


@pytest.mark.parametrize(
    ("names", "task"),
    [
        (("target_is_input", "slope_missing", "dW_without_h0"), "backward"),
        (("W_transposed", "state_before", "loss_in_bits"), "forward"),
        (("through_time_missing", "dV_of_p", "db_of_dh", "dc_of_first_step"), "backward"),
        (("not_summed", "not_clipped"), "adagrad"),
        (("state_not_carried", "loss_per_character"), "train"),
        (("state_not_carried", "temperature_inverse"), "synthesize"),
        (("seed_restarted", "standard_deviation_0.01"), "initialize"),
    ],
)
def test_several_mistakes_are_named_in_the_order_of_the_table(names: tuple[str, ...], task: str) -> None:
    findings = CHECKS[task](solution(task, *names)).findings
    assert [finding.mistake for finding in findings] == [f.finding for f in list_faults(task) if f.name in names]


def test_right_variants_are_accepted() -> None:
    """Other ways to write a task that are as right."""

    def relative(parameters: Any, h0: Any, x: Any, y: Any, gradients: Any) -> dict[str, float]:
        forward, arrays, errors, step = load_passes()[0], {**parameters, "h0": h0}, {}, 1e-5
        for name, gradient in gradients.items():
            numeric = np.zeros_like(gradient)
            for index in np.ndindex(numeric.shape):
                arrays[name][index] += step
                numeric[index] = forward(parameters, h0, x, y)[0]
                arrays[name][index] -= 2 * step
                numeric[index] -= forward(parameters, h0, x, y)[0]
                arrays[name][index] += step
            numeric /= 2 * step
            errors[name] = np.max(np.abs(gradient - numeric) / np.maximum(1e-6, np.abs(gradient) + np.abs(numeric)))
        return errors

    def windows(indices: Any, T: int) -> Any:
        for k in range((len(indices) - 1) // T):
            yield list(indices[k * T : k * T + T]), list(indices[k * T + 1 : k * T + T + 1])

    assert elman.apps.course.check_gradient_checker(relative).passed
    assert elman.apps.course.check_windows(windows).passed
    both = elman.apps.course.check_optimizer(solution("adagrad", "clip_first", "epsilon_outside"))
    assert both.passed
    assert len(both.variants) == 2


def test_a_setting_out_of_range_is_an_error() -> None:
    forward, _ = load_passes()
    for options in ({"layout": "diagonal"}, {"cell": "cnn"}, {"K": 1}, {"m": 0}, {"T": 0}):
        with pytest.raises(ElmanError, match=next(iter(options))):
            check_forward(forward, **options)


DERIVATIVE = "(1 - h[t + 1] ** 2)"


@pytest.mark.parametrize(
    "tanh", ["1 - 2 / (np.exp(2 * a) + 1)", "np.sign(a) * -np.expm1(-2 * abs(a)) / (1 + np.exp(-2 * abs(a)))"]
)
def test_a_tanh_of_exponentials_that_does_not_overflow_is_right(tanh: str) -> None:
    assert check_forward(load_passes(("np.tanh(a)", tanh))[0]).passed


@pytest.mark.parametrize("cell", faults.SECOND)
def test_a_gate_that_overflows_is_named(cell: str) -> None:
    functions = load_solution("forward", cell=cell)
    functions["forward"].__globals__["sigmoid"] = lambda a: np.exp(a) / (1 + np.exp(a))
    (finding,) = check_forward(functions["forward"], cell=cell).findings
    assert str(finding).startswith("h of large a: overflows if a_t is large: use np.tanh, and for a gate 1 / (1 + np")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('{"U": dU.T, "W": dW, "V": dV, "b": db, "c": dc}', "dU: has shape (7, 4), expected (4, 7): it is transposed"),
        ('{"U": dU, "W": dW, "V": dV, "b": db}', "dc: missing in the result"),
        ('{"U": dU, "W": dW * np.nan, "V": dV, "b": db, "c": dc}', "dW: not finite"),
    ],
)
def test_a_gradient_that_cannot_be_compared(change: str, expected: str) -> None:
    (finding,) = find((RETURN, f"return {change}"))
    assert finding.startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("db += da", "pass", "db: all zeros"),
        (RETURN, RETURN_EACH.format("0.3 * g"), "dc, dV, db, dW, dU: 0.3 times the right values"),
        (RETURN, RETURN_EACH.format("g.T if n == 'W' else g"), "dW: transposed"),
        ("np.tanh(a)", "np.tanh(2 * a)", "h: h[1] is the first wrong state"),
        ("return loss, h, p", "return loss, h.T, p", "h: has shape (4, 26), expected (26, 4): it is transposed"),
        ("return loss, h, p", "return loss, h, p * np.nan", "p: not finite"),
        ("p[t] = e / e.sum()", "p[t] = (e / e.sum()) ** 2", "p: not softmax(V h_t + c) of the states h"),
        ("return loss, h, p", "return loss + 1, h, p", "loss: not -sum_t log p_t[y_t]"),
        ("db += da", "db += da + 1", "db: wrong for a single step from h_0 = 0"),
        ("np.outer(da, h[t])", "np.outer(da, h[t] * (1 + (t == 0)))", "dW: wrong for a single step from another h_0"),
        ("db += da", "db += da * (1 + t)", "db: wrong for several steps only"),
    ],
)
def test_another_mistake_is_located(old: str, new: str, expected: str) -> None:
    (finding,) = find((old, new))
    assert finding.startswith(expected), finding


@pytest.mark.parametrize("fault", read_faults()["forward"], ids=lambda fault: fault.name)
def test_a_forward_pass_cannot_change_what_it_is_compared_with(fault: Any) -> None:
    cell = next((cell for cell in ("gru", "lstm") if fault.name.startswith(cell)), "rnn")
    forward = solution("forward", fault.name, cell=cell)

    def overwrite(parameters: dict[str, Any], h0: Any, x: Any, y: Any) -> Any:
        result = forward(parameters, h0, x, y)
        for array in (*parameters.values(), h0, x, y):
            array[...] = 0
        return result

    with np.errstate(all="ignore"):
        found = [check_forward(each, cell=cell).findings for each in (overwrite, forward)]
    assert found[0] == found[1]


def test_a_backward_pass_may_change_h_and_p() -> None:
    overwrites = RETURN.replace("return", "result =") + "; h[:] = p[:] = 0; return result"
    assert check_gradients(*load_passes((RETURN, overwrites))).passed


@pytest.mark.parametrize(
    ("task", "change", "name"),
    [
        ("forward", 'parameters["b"] += 1', "parameters['b']"),
        ("forward", 'parameters["b"] = parameters["b"] + 1', "parameters['b']"),
        ("forward", 'del parameters["b"]', "parameters['b']"),
        ("forward", "h0 *= 2", "h0"),
        ("forward", "x[0] += 1", "x"),
        ("backward", 'parameters["W"] += 1', "parameters['W']"),
        ("backward", "y[0] += 1", "y"),
        ("gradient_error", 'gradients["U"] += 1', "gradients['U']"),
        ("gradient_error", 'parameters["c"] += 1', "parameters['c']"),
        ("gradient_error", "h0 += 1", "h0"),
        ("train", "indices[-1] = 0", "indices"),
        ("synthesize", 'parameters["V"] *= 2', "parameters['V']"),
        ("synthesize", "h += 1", "h"),
    ],
)
def test_a_function_that_changes_its_arguments_does_not_pass(task: str, change: str, name: str) -> None:
    right = solution(task)
    names = inspect.signature(right).parameters

    @functools.wraps(right)
    def function(*arguments: Any, **named: Any) -> Any:
        result = right(*arguments, **named)
        exec(change, dict(zip(names, arguments, strict=False)))
        return result

    (finding,) = CHECKS[task](function).findings
    assert str(finding) == f"{task}: changes {name}: work on copies"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("b.tolist()", "b: must be an array of float64 that can be changed"),
        ("b.astype(int)", "b: must be an array of float64 that can be changed"),
        ("np.broadcast_to(0.0, b.shape)", "b: must be an array of float64 that can be changed"),
        ("c[: b.size]", "b: shares its memory with c: an update would change both"),
    ],
)
def test_initial_parameters_can_be_trained(change: str, expected: str) -> None:
    def initialize(K: int, m: int, seed: int) -> Any:
        parameters = solution("initialize")(K, m, seed)
        return parameters | {"b": eval(change, {"np": np, **parameters})}

    (finding,) = elman.apps.course.check_initial(initialize).findings
    assert str(finding) == expected


def test_a_result_of_another_form_is_a_finding() -> None:
    (finding,) = check_backward(lambda *_: (1, 2, 3)).findings
    assert str(finding) == "backward: must return a dict with c, V, b, d, W, U, h0 (got 3 values)"
