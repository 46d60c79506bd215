"""A mistake in a forward or backward pass of one's own is named, and nothing else is blamed."""

import math
from typing import Any

import pytest

from elman.errors import ElmanError
from elman.testing import check_forward, check_gradients
from elman.testing.faults import BACKWARD_FAULTS, FORWARD_FAULTS
from support.own_passes import load_passes

RETURN = 'return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "h0": dh_next}'
RETURN_EACH = 'return {{n: {} for n, g in zip("UWVbc", (dU, dW, dV, db, dc))}}'
Changes = list[tuple[str, str]]


def find(*changes: tuple[str, str]) -> tuple[str, ...]:
    return check_gradients(*load_passes(*changes)).findings


def test_right_passes_agree() -> None:
    comparison = check_gradients(*load_passes())
    assert comparison.passed
    assert max(comparison.errors.values()) < 1e-14
    assert [*comparison.errors] == ["h", "p", "loss", "U", "W", "V", "b", "c", "h0"]
    assert str(comparison).endswith("everything agrees with the reference")


@pytest.mark.parametrize("sizes", [{"T": 1}, {"K": 2, "m": 1}, {"K": 300, "T": 3}, {"seed": 1}])
def test_right_passes_agree_at_every_size(sizes: dict[str, Any]) -> None:
    assert check_gradients(*load_passes(), **sizes).passed


def test_columns_no_gradient_of_the_initial_state_and_a_loss_in_an_array_are_accepted() -> None:
    _, backward = load_passes((RETURN, 'return {"U": dU, "W": dW, "V": dV, "b": db[:, None], "c": dc[:, None]}'))
    comparison = check_gradients(load_passes()[0], backward)
    assert comparison.passed
    assert "h0" not in comparison.errors
    forward, _ = load_passes(("return loss, h, p", "return np.array([[loss]]), h[:, :, None], list(p[:, :, None])"))
    assert check_forward(forward).passed


RECURRENT, ALL = "dU, dW, db, dh0", "dU, dW, dV, db, dc"
DERIVATIVE = "(1 - h[t + 1] ** 2)"
BACKWARD: list[tuple[Changes, list[str]]] = [
    ([("dh_next = W.T @ da", "pass")], [f"{RECURRENT}: the gradient through h_{{t-1}} is missing"]),
    ([("W.T @ da", "W @ da")], [f"{RECURRENT}: W instead of W'"]),
    ([("W.T @ da", "W.T @ dh")], [f"{RECURRENT}: W' dh_{{t+1}} instead of W' da_{{t+1}}"]),
    ([("V.T @ g +", "V.T @ g * (t + 1 == len(x)) +")], [f"{RECURRENT}: V' g_t is added at the last"]),
    ([("reversed(range(len(x)))", "range(len(x))")], [f"{RECURRENT}: the steps are taken from the first"]),
    ([(f"{DERIVATIVE} * dh", "dh")], [f"{RECURRENT}: the derivative of tanh is missing"]),
    ([(DERIVATIVE, "(1 - np.tanh(h[t + 1]) ** 2)")], [f"{RECURRENT}: the derivative of tanh is 1"]),
    ([(DERIVATIVE, "(1 - h[t] ** 2)")], [f"{RECURRENT}: the derivative of tanh is taken at h_{{t-1}}"]),
    ([("np.outer(da, h[t])", "np.outer(da, h[t] * (t > 0))")], ["dW: the term of h_0 is missing"]),
    ([("np.outer(da, h[t])", "np.outer(da, h[t + 1])")], ["dW: h_t instead of h_{t-1}"]),
    ([("np.outer(g, h[t + 1])", "np.outer(g, h[t])")], ["dV: h_{t-1} instead of h_t"]),
    ([("g[y[t]] -= 1", "pass")], [f"{ALL}, dh0: the target is not subtracted"]),
    ([("g[y[t]] -= 1", "g[x[t]] -= 1")], [f"{ALL}, dh0: the input x_t is subtracted"]),
    ([("g[y[t]] -= 1", "g[y[t]] -= 1; g = -g")], [f"{ALL}, dh0: the sign is wrong"]),
    ([("dU[:, x[t]] += da", "dU[:, x[t]] = da if not dU[:, x[t]].any() else dU[:, x[t]]")], ["dU: a character that"]),
    ([("db += da", "db = da")], ["db: not summed over the steps, only the first step"]),
    ([("dc += g", "dc = dc if dc.any() else g")], ["dc: not summed over the steps, only the last step"]),
    ([(RETURN, RETURN_EACH.format("g / 25"))], [f"{ALL}: the mean over the window"]),
    ([(RETURN, RETURN_EACH.format("g.T if n == 'W' else g"))], ["dW: transposed"]),
    ([(RETURN, RETURN_EACH.format("np.clip(g, -5, 5)"))], [f"{ALL}: clipped at 5"]),
    ([(RETURN, RETURN_EACH.format("0.3 * g"))], [f"{ALL}: 0.3 times the right gradient"]),
    ([("db += da", "pass")], ["db: all zeros"]),
    # Two mistakes, in the same arrays and in different ones.
    (
        [("dh_next = W.T @ da", "pass"), (f"{DERIVATIVE} * dh", "dh")],
        [f"{RECURRENT}: the gradient through h_{{t-1}}", "dU, dW, db: the derivative of tanh is missing"],
    ),
    (
        [("np.outer(da, h[t])", "np.outer(da, h[t] * (t > 0))"), ("db += da", "db = da")],
        ["dW: the term of h_0 is missing", "db: not summed over the steps, only the first"],
    ),
    (
        [("W.T @ da", "W @ da"), ("np.outer(da, h[t])", "np.outer(da, h[t + 1])")],
        [f"{RECURRENT}: W instead of W'", "dW: h_t instead of h_{t-1}"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), BACKWARD)
def test_a_mistake_in_the_backward_pass_is_named(changes: Changes, expected: list[str]) -> None:
    findings = find(*changes)
    assert len(findings) == len(expected)
    assert all(finding.startswith(start) for finding, start in zip(findings, expected, strict=True)), findings


FORWARD: list[tuple[str, str, str]] = [
    ("h[0] = h0", "h[0] = 0", "h: h_0 is ignored"),
    ("W @ h_before", "W.T @ h_before", "h: W' instead of W"),
    ("U[:, x[t]] + b", "U[:, x[t]]", "h: b is missing"),
    ("np.tanh(a)", "a", "h: tanh is missing"),
    ("h_before = h[t]", "h_before = h0", "h: every step starts from h_0"),
    ("np.tanh(a)", "1 / (1 + np.exp(-a))", "h: h[1] is the first wrong state"),
    ("return loss, h, p", "h[0] = 0; return loss, h, p", "h: h[0] is not h_0"),
    ("return loss, h, p", "return loss, h[1:], p", "h has shape (25, 4), expected (26, 4)"),
    ("return loss, h, p", "return loss, h.T, p", "h has shape (4, 26), expected (26, 4): it is transposed"),
    ("V @ h[t + 1] + c", "V @ h[t + 1]", "p: c is missing"),
    ("V @ h[t + 1] + c", "V @ h[t] + c", "p: computed from h_{t-1}"),
    ("return loss, h, p", "return loss, h, p * np.nan", "p is not finite"),
    ("p[t] = e / e.sum()", "p[t] = (e / e.sum()) ** 2", "p: not softmax(V h_t + c) of the states h"),
    ("np.exp(o - o.max())", "np.exp(o)", "p: overflows if logits are large"),
    ("return loss, h, p", "return loss / T, h, p", "loss: the mean over the window"),
    ("np.log(p", "np.log2(p", "loss: in bits instead of nats"),
    ("return loss, h, p", "return -loss, h, p", "loss: the sign is wrong"),
    ("loss -= np.log(p[t, y[t]])", "loss -= np.log(p[t, x[t]])", "loss: of the inputs x"),
    ("loss -=", "loss = -", "loss: of the last step only"),
    ("return loss, h, p", "return loss + 1, h, p", "loss: not -sum_t log p_t[y_t]"),
]


@pytest.mark.parametrize(("old", "new", "expected"), FORWARD)
def test_a_mistake_in_the_forward_pass_is_named_once(old: str, new: str, expected: str) -> None:
    (finding,) = find((old, new))
    assert finding.startswith(expected), finding
    assert check_forward(load_passes((old, new))[0]).findings == (finding,)


@pytest.mark.parametrize(
    ("softmax", "expected"),
    [
        ("o", "p: these are the logits"),
        ("np.exp(o)", "p: not normalized"),
        ("np.exp(o) / np.exp(o).sum(axis=0)", "p: normalized over the steps"),
        ("np.exp(o) / np.exp(o).sum()", "p: normalized over the whole window"),
    ],
)
def test_a_mistake_in_the_softmax_is_named(softmax: str, expected: str) -> None:
    """Of all steps at once; the loss is that of the wrong probabilities."""
    after = f"o = h[1:] @ V.T + c; p = {softmax}; loss = -np.log(np.abs(p[np.arange(T), y])).sum(); return loss, h, p"
    findings = find(("return loss, h, p", after))
    assert findings[0].startswith(expected), findings


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('{"U": dU.T, "W": dW, "V": dV, "b": db, "c": dc}', "dU has shape (7, 4), expected (4, 7): it is transposed"),
        ('{"U": dU, "W": dW, "V": dV, "b": db}', "dc: missing in the result (got U, W, V, b)"),
        ('{"U": dU, "W": dW * np.nan, "V": dV, "b": db, "c": dc}', "dW is not finite"),
    ],
)
def test_a_gradient_that_cannot_be_compared(change: str, expected: str) -> None:
    assert find((RETURN, f"return {change}")) == (expected,)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("db += da", "db += da + 1", "db: wrong for a single step from h_0 = 0"),
        ("np.outer(da, h[t])", "np.outer(da, h[t] * (1 + (t == 0)))", "dW: right for a single step from h_0 = 0"),
        ("db += da", "db += da * (1 + t)", "db: right for a single step, wrong for several"),
    ],
)
def test_another_mistake_is_located(old: str, new: str, expected: str) -> None:
    (finding,) = find((old, new))
    assert finding.startswith(expected), finding


def test_the_passes_cannot_change_what_they_are_compared_with() -> None:
    overwrites = RETURN.replace("return", "result =") + "; W[:] = h[:] = p[:] = x[:] = y[:] = 0; return result"
    assert check_gradients(*load_passes((RETURN, overwrites))).passed
    with pytest.raises(ElmanError, match=r"backward must return a dict .* \(got 3 values\)"):
        check_gradients(load_passes()[0], lambda *_: (1, 2, 3))  # type: ignore[arg-type]


def test_the_report_marks_what_is_wrong() -> None:
    text = str(check_gradients(*load_passes(("db += da", "db = da"))))
    assert [line.split()[0] for line in text.splitlines() if line.endswith("wrong")] == ["b"]
    assert math.isclose(float(text.split("\nb ")[1].split()[0]), 1.0, abs_tol=0.99)


@pytest.mark.parametrize("faults", [FORWARD_FAULTS, BACKWARD_FAULTS])
def test_every_message_is_a_line(faults: Any) -> None:
    assert all("\n" not in message and len(message) < 120 for message in faults)
