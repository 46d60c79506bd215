"""A vanilla recurrent network in NumPy that learns to write text, character by character: the solution."""

import numpy as np


def encode(text):
    """Return the characters of a text in the order of their first appearance, and the text as indices."""
    characters = list(dict.fromkeys(text))
    index_of = {character: index for index, character in enumerate(characters)}
    return characters, np.array([index_of[character] for character in text])


def smooth(losses):
    """Return the smooth losses: S_0 = L_0, then S = 0.999 S + 0.001 L."""
    smooth_losses = [losses[0]]
    for loss in losses[1:]:
        smooth_losses.append(0.999 * smooth_losses[-1] + 0.001 * loss)
    return smooth_losses


# Task 1: initial parameters
def initialize(K, m, seed):
    """Return a dict of U (m, K), W (m, m), V (K, m), b (m,) and c (K,)."""
    generator = np.random.RandomState(seed)
    U = 0.1 * generator.randn(m, K)
    W = 0.1 * generator.randn(m, m)
    V = 0.1 * generator.randn(K, m)
    return {"U": U, "W": W, "V": V, "b": np.zeros(m), "c": np.zeros(K)}


# Task 2: windows
def make_windows(indices, T):
    """Return a list of the pairs (x, y) of all windows, x (T,) and y (T,)."""
    windows = []
    for start in range(0, len(indices) - T, T):
        windows.append((indices[start : start + T], indices[start + 1 : start + T + 1]))
    return windows


# Task 3: forward pass
def step(parameters, h, x):
    """Return the state (m,) after reading the character x, an index, in the state h (m,), and p (K,)."""
    a = parameters["W"] @ h + parameters["U"][:, x] + parameters["b"]
    new = np.tanh(a)
    o = parameters["V"] @ new + parameters["c"]
    e = np.exp(o - o.max())
    return new, e / e.sum()


def forward(parameters, h0, x, y):
    """Return the loss, the states h (T + 1, m), whose row 0 is h0 (m,), and the probabilities p (T, K)."""
    T = len(x)
    h, p, loss = np.zeros((T + 1, len(h0))), np.zeros((T, len(parameters["c"]))), 0.0
    h[0] = h0
    for t in range(T):
        h[t + 1], p[t] = step(parameters, h[t], x[t])
        loss -= np.log(p[t, y[t]])
    return loss, h, p


# Task 4: backward pass
def backward(parameters, x, y, h, p):
    """Return a dict of the gradients of U, W, V, b and c, in their shapes, and of h_0, "h0" (m,)."""
    W, V = parameters["W"], parameters["V"]
    dU, dW, dV, db, dc = (np.zeros_like(parameters[name]) for name in ("U", "W", "V", "b", "c"))
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        g = p[t].copy()
        g[y[t]] -= 1
        dh = V.T @ g + dh_next
        da = (1 - h[t + 1] ** 2) * dh
        dV += np.outer(g, h[t + 1])
        dW += np.outer(da, h[t])
        dU[:, x[t]] += da
        db += da
        dc += g
        dh_next = W.T @ da
    return {"U": dU, "W": dW, "V": dV, "b": db, "c": dc, "h0": dh_next}


# Task 5: gradient check
def gradient_error(parameters, h0, x, y, gradients):
    """Return a dict with the relative error of every array of gradients, compared with central differences."""
    arrays, step_size, errors = {**parameters, "h0": h0}, 1e-4, {}
    for name, gradient in gradients.items():
        array, numeric = arrays[name], np.zeros_like(gradient)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + step_size
            above = forward(parameters, h0, x, y)[0]
            array[index] = value - step_size
            below = forward(parameters, h0, x, y)[0]
            array[index] = value
            numeric[index] = (above - below) / (2 * step_size)
        difference = np.abs(gradient - numeric).sum()
        total = np.abs(gradient).sum() + np.abs(numeric).sum()
        errors[name] = difference / total if total > 0 else 0.0
    return errors


# Task 6: AdaGrad
def adagrad(parameters, gradients, M, eta):
    """Change the parameters and M, a dict of the sums of squares, in place, by one update."""
    for name in parameters:
        gradient = gradients[name]
        M[name] += gradient**2
        parameters[name] -= eta * np.clip(gradient, -5, 5) / np.sqrt(M[name] + 1e-8)


# Task 7: training
def train(parameters, indices, T, updates, eta=0.1, on_window=None):
    """Change the parameters in place by a number of updates, and return a list of the losses before each.

    Call on_window(n, h, x), if it is given, before update n = 0, 1, …: h is h_0 of the window, x its first character.
    """
    windows = make_windows(indices, T)
    M = {name: np.zeros_like(array) for name, array in parameters.items()}
    h, losses = np.zeros(len(parameters["W"])), []
    for n in range(updates):
        if n % len(windows) == 0:
            h = np.zeros_like(h)
        x, y = windows[n % len(windows)]
        if on_window is not None:
            on_window(n, h, x[0])
        loss, states, p = forward(parameters, h, x, y)
        adagrad(parameters, backward(parameters, x, y, states, p), M, eta)
        losses.append(loss)
        h = states[T]
    return losses


# Task 8: synthesis
def synthesize(parameters, h, x, length, generator, temperature=1.0):
    """Return a list of the indices of `length` characters that follow the character x, an index, in the state h."""
    text = []
    for _ in range(length):
        h, p = step(parameters, h, x)
        p = p ** (1 / temperature)
        x = generator.choice(len(p), p=p / p.sum())
        text.append(x)
    return text


def main():
    """Check the tasks up to the first that is not right; if all are, train, and print text on the way."""
    import elman.apps.course as course
    from elman.text import read_corpus

    checks = {
        initialize: course.check_initial,
        make_windows: course.check_windows,
        forward: course.check_forward,
        backward: course.check_backward,
        gradient_error: course.check_gradient_checker,
        adagrad: course.check_optimizer,
        train: course.check_training,
        synthesize: course.check_sampling,
    }
    for function, check in checks.items():
        result = check(function)
        print(f"{function.__name__}: {'passed' if result.passed else 'not yet'}")
        for line in (*result.findings, *result.variants):
            print(f"    {line}")
        if not result.passed:
            return

    characters, indices = encode(read_corpus("python-docs").text)
    parameters, generator = initialize(len(characters), 100, seed=400), np.random.default_rng(0)

    def write(n, h, x):
        if n % 1000 == 0:
            text = synthesize(parameters, h, x, 200, generator)
            print(f"update {n}:", repr("".join(characters[index] for index in text)))

    losses = train(parameters, indices, 25, 5001, on_window=write)
    print(f"smooth loss {smooth(losses)[-1]:.1f}, at first {losses[0]:.1f}")


if __name__ == "__main__":
    main()
