"""The assignment as its original has it: columns, one-hot vectors, matrices where there are no steps."""

import numpy as np


def initialize(K, m, seed):
    np.random.seed(seed)
    parameters = {"U": np.random.randn(m, K) * 0.1, "W": np.random.randn(m, m) * 0.1, "V": np.random.randn(K, m) * 0.1}
    return parameters | {"b": np.zeros((m, 1)), "c": np.zeros((K, 1))}


def make_windows(indices, T):
    starts = np.arange((len(indices) - 1) // T) * T
    return [(indices[s : s + T], indices[s + 1 : s + 1 + T]) for s in starts]


def one_hot(indices, K):
    return np.eye(K)[:, indices]


def step(parameters, h, x):
    h = np.tanh(parameters["W"] @ h + parameters["U"] @ x + parameters["b"])
    o = parameters["V"] @ h + parameters["c"]
    p = np.exp(o - o.max())
    return h, p / p.sum()


def forward(parameters, h0, X, Y):
    H, P = [h0], []
    for t in range(X.shape[1]):
        h, p = step(parameters, H[-1], X[:, [t]])
        H.append(h)
        P.append(p)
    H, P = np.hstack(H), np.hstack(P)
    return -np.log((Y * P).sum(axis=0)).sum(), H, P


def backward(parameters, X, Y, H, P):
    G = P - Y
    dA, dh = np.zeros_like(H[:, 1:]), np.zeros((len(H), 1))
    for t in range(X.shape[1] - 1, -1, -1):
        dA[:, [t]] = (parameters["V"].T @ G[:, [t]] + dh) * (1 - H[:, [t + 1]] ** 2)
        dh = parameters["W"].T @ dA[:, [t]]
    gradients = {"V": G @ H[:, 1:].T, "W": dA @ H[:, :-1].T, "U": dA @ X.T}
    return gradients | {"b": dA.sum(axis=1, keepdims=True), "c": G.sum(axis=1, keepdims=True), "h0": dh}


def gradient_error(parameters, h0, X, Y, gradients):
    errors = {}
    for name, gradient in gradients.items():
        array = h0 if name == "h0" else parameters[name]
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            array[index] += 1e-4
            numeric[index] = forward(parameters, h0, X, Y)[0]
            array[index] -= 2e-4
            numeric[index] = (numeric[index] - forward(parameters, h0, X, Y)[0]) / 2e-4
            array[index] += 1e-4
        total = (np.abs(gradient) + np.abs(numeric)).sum()
        errors[name] = np.abs(gradient - numeric).sum() / max(total, 1e-300)
    return errors


def adagrad(parameters, gradients, M, eta):
    for name in M:
        gradient = np.clip(gradients[name], -5, 5)
        M[name] = M[name] + gradient**2
        parameters[name] -= eta * gradient / (np.sqrt(M[name]) + 1e-8)


def train(parameters, indices, T, updates, eta=0.1):
    K, m = parameters["U"].shape[::-1]
    M = {name: np.zeros(array.shape) for name, array in parameters.items()}
    losses, windows = [], make_windows(indices, T)
    while True:
        h = np.zeros((m, 1))
        for x, y in windows:
            if len(losses) == updates:
                return losses
            X, Y = one_hot(x, K), one_hot(y, K)
            loss, H, P = forward(parameters, h, X, Y)
            adagrad(parameters, backward(parameters, X, Y, H, P), M, eta)
            losses.append(loss)
            h = H[:, [-1]]


def synthesize(parameters, h, x, length, generator, temperature=1.0):
    K, text = len(parameters["c"]), []
    for _ in range(length):
        h = np.tanh(parameters["W"] @ h + parameters["U"][:, [x]] + parameters["b"])
        o = (parameters["V"] @ h + parameters["c"])[:, 0] / temperature
        p = np.exp(o - o.max())
        x = generator.choice(range(K), p=p / p.sum())
        text += [x]
    return np.array(text)
