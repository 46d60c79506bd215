"""Grade solutions with planted mistakes: each must be named, and must cost only its own task.

    python mutants.py [SOLUTION.py]

Run it after a change of the solution or of the checks.
"""

import sys
import tempfile
from pathlib import Path

from elman.apps.course.grading import CHECKS, grade

MUTANTS = [
    # task, the code that is replaced, its replacement, and the text of a finding
    ("initialize", "0.1 * generator.randn(m, m)", "np.eye(m)", "identity"),
    ("initialize", "0.1 * generator.randn(K, m)", "generator.randn(K, m)", "10 times the right values"),
    ("initialize", "RandomState(seed)", "RandomState()", "U, W, V: not what"),
    ("initialize", '"b": np.zeros(m)', '"b": np.zeros((m, 1))', "steps are columns"),
    ("initialize", "U = 0.1 * generator.randn(m, K)", "U = np.float32(0.1 * generator.randn(m, K))", "use float64"),
    ("make_windows", "range(0, len(indices) - T, T)", "range(0, len(indices) - 1, T)", "fewer than T"),
    ("make_windows", "start + 1 : start + T + 1", "start + T : start + 2 * T", "the length of the windows"),
    ("forward", "h[0] = h0", "h[0] = np.zeros_like(h0)", "h_0 is ignored"),
    ("forward", 'parameters["W"] @ h', 'h @ parameters["W"]', "W' instead of W"),
    ("forward", "np.tanh(a)", "2 / (1 + np.exp(-a)) - 1", "h[1] is the first wrong state"),
    ("forward", "np.tanh(a)", "np.sinh(a) / np.cosh(a)", "h of large a: overflows"),
    ("forward", "np.tanh(a)", "(np.exp(2 * a) - 1) / (np.exp(2 * a) + 1)", "h of large a: overflows"),
    ("forward", "e / e.sum()", "np.exp(o) / np.exp(o).sum()", "overflows"),
    ("forward", "loss -= np.log(p[t, y[t]])", "loss -= np.log(p[t, y[t]]) / T", "the mean over the window"),
    ("forward", "np.log(p[t, y[t]])", "np.log(p[t, y[t]] + 0.01)", "loss: not -sum_t log p_t[y_t]"),
    ("forward", "np.log(p[t, y[t]])", "np.log(p[t, y[t]] + 1e-8)", "nothing is added to it"),
    ("forward", "return new, e / e.sum()", "h[:] = new; return h, e / e.sum()", "must not change the state"),
    ("backward", "+ dh_next", "", "the gradient through h_{t-1} is missing"),
    ("backward", "dh_next = W.T @ da", "dh_next = da @ W.T", "W instead of W'"),
    ("backward", "dh_next = W.T @ da", "dh_next += W.T @ da", "one such term"),
    ("backward", "(1 - h[t + 1] ** 2)", "(1 - h[t + 1])", "not 1 - h_t"),
    ("backward", "(1 - h[t + 1] ** 2)", "(1 - np.tanh(h[t + 1]) ** 2)", "not 1 - tanh(h_t)^2"),
    ("backward", "np.outer(da, h[t])", "np.outer(da, h[t + 1])", "h_t instead of h_{t-1}"),
    ("backward", "g[y[t]] -= 1", "g -= 1", "1 is subtracted from all"),
    ("backward", "db += da", "db = da", "only the first step"),
    ("backward", '"h0": dh_next', '"h0": dh_next * 0', "all zeros"),
    ("backward", '{"U": dU', '{"U": np.clip(dU, -5, 5)', "clipped at 5"),
    ("gradient_error", "(2 * step_size)", "step_size", "instead of 2 s"),
    ("gradient_error", "array[index] = value\n", "array[index] = value + step_size\n", "right gradients have an error"),
    ("gradient_error", "1e-4", "1e-13", "right gradients have an error"),
    ("adagrad", "M[name] += gradient**2", "M[name] = gradient**2", "the last square"),
    ("adagrad", "np.sqrt(M[name] + 1e-8)", "np.sqrt(M[name])", "epsilon is missing"),
    ("adagrad", "parameters[name] -=", "parameters[name] = parameters[name] +", "the sign is wrong"),
    ("train", "h = states[T]", "h = states[0]", "every window begins with zeros"),
    ("train", "if n % len(windows) == 0:", "if False:", "not zero again"),
    ("train", "windows[n % len(windows)]", "windows[(n + 1) % len(windows)]", "the first is wrong"),
    ("train", "on_window(n, h, x[0])", "on_window(n, h, x[1])", "the window's first character"),
    ("synthesize", "p = p ** (1 / temperature)", "p = np.exp(p / temperature)", "as if it were logits"),
    ("synthesize", "h, p = step(parameters, h, x)", "p = step(parameters, h, x)[1]", "not carried"),
    ("synthesize", "(1 / temperature)", "temperature", "by the temperature"),
]


def main():
    """Print every mutant, and whether the findings are the expected ones."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("solution.py")).read_text("utf-8")
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        for task, old, new, expected in MUTANTS:
            assert old in source, old
            submission = Path(folder, "submission.py")
            submission.write_text(source.replace(old, new), "utf-8")
            tasks = grade(submission, dict.fromkeys(CHECKS, 1)).tasks
            wrong = {each.name: each.findings for each in tasks if each.findings}
            is_named, is_isolated = any(expected in finding for finding in wrong.get(task, [])), [*wrong] == [task]
            good += is_named and is_isolated
            print("ok   " if is_named and is_isolated else "WRONG", f"{task}: {new.strip()}", wrong, sep="  ")
    print(f"{good} of {len(MUTANTS)} mutants are named, and cost their own task only")


if __name__ == "__main__":
    main()
