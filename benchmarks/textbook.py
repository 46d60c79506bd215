"""The reference experiment in NumPy, written as in a course report: a baseline, not a contender.

A loop over t on column vectors, a dense one-hot matrix of the complete text, the derivative of tanh
as a full diagonal matrix, and new arrays in every update: neither tuned nor slowed down.  The peers
take their text, initial weights, timer and command line from here, so all run the same experiment:

    python textbook.py --m 100 --T 25 --K 76 --updates 2000 --repeats 5 --threads 1

Dimensions: K alphabet, m hidden units, T characters in one update, N characters of text.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Arrays = dict[str, Array]

ETA, CLIP, EPSILON = 0.1, 5.0, 1e-8
SEED, DEVIATION = 400, 0.1


def text(K: int, n: int) -> NDArray[np.int64]:
    """Return `n` independent random character indices below `K`, with p_k proportional to 1 / (k + 1)."""
    weights = 1 / np.arange(1, K + 1)
    return np.random.RandomState(0).choice(K, size=n, p=weights / weights.sum())


def initial(m: int, K: int, dtype: str) -> Arrays:
    """Return random U (m, K), W (m, m), V (K, m), generated in that order, and zero b (m, 1) and c (K, 1)."""
    draw = np.random.RandomState(SEED).randn
    U, W, V = (draw(*shape) * DEVIATION for shape in ((m, K), (m, m), (K, m)))
    arrays = {"U": U, "W": W, "V": V, "b": np.zeros((m, 1)), "c": np.zeros((K, 1))}
    return {name: array.astype(dtype) for name, array in arrays.items()}


def softmax(o: Array) -> Array:
    """Return the probabilities of the logits `o` (K, 1)."""
    e = np.exp(o - o.max())
    p: Array = e / e.sum()
    return p


def gradients(theta: Arrays, X: Array, Y: Array, h0: Array) -> tuple[float, Arrays, Array]:
    """Return the loss, its gradients and the final state; X and Y are (K, T), the states (m, 1)."""
    U, W, V, b, c = theta["U"], theta["W"], theta["V"], theta["b"], theta["c"]
    T = X.shape[1]
    h, p, loss = [h0], [], 0.0
    for t in range(T):
        a = W @ h[t] + U @ X[:, t : t + 1] + b
        h.append(np.tanh(a))
        p.append(softmax(V @ h[t + 1] + c))
        loss -= np.log((Y[:, t : t + 1].T @ p[t]).item())

    G, H = np.hstack(p) - Y, np.hstack(h)
    dA = np.zeros((len(h0), T + 1), h0.dtype)
    for t in reversed(range(T)):
        dh = V.T @ G[:, t] + W.T @ dA[:, t + 1]
        dA[:, t] = np.diag(1 - H[:, t + 1] ** 2) @ dh
    dA = dA[:, :T]
    d = {"U": dA @ X.T, "W": dA @ H[:, :T].T, "V": G @ H[:, 1:].T}
    d |= {"b": dA.sum(axis=1, keepdims=True), "c": G.sum(axis=1, keepdims=True)}
    return loss, d, h[T]


def adagrad(theta: Arrays, M: Arrays, d: Arrays) -> tuple[Arrays, Arrays]:
    """Return the weights and the sums of squared gradients after one step; the sums use the unclipped gradient."""
    M = {name: M[name] + d[name] ** 2 for name in d}
    step = {name: np.clip(d[name], -CLIP, CLIP) / np.sqrt(M[name] + EPSILON) for name in d}
    return {name: theta[name] - ETA * step[name] for name in d}, M


def time_update(m: int, T: int, K: int, updates: int, repeats: int, dtype: str = "float64") -> dict[str, Any]:
    """Time one update of the textbook implementation, in float64 by default.

    Parameters
    ----------
    m, T, K : int
        Hidden units, characters in one update, size of the alphabet.
    updates, repeats : int
        Updates per block, and blocks that are timed after one for warm-up.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    dict
        The result of `stopwatch`, and the versions.
    """
    chars = text(K, (repeats + 1) * updates * T + 1)
    X = np.zeros((K, len(chars)), dtype)
    X[chars, np.arange(len(chars))] = 1
    theta, h = initial(m, K, dtype), np.zeros((m, 1), dtype)
    M = {name: np.zeros_like(array) for name, array in theta.items()}

    def train(first: int) -> list[float]:
        nonlocal theta, M, h
        losses = []
        for e in range(first * T, (first + updates) * T, T):
            loss, d, h = gradients(theta, X[:, e : e + T], X[:, e + 1 : e + T + 1], h)
            theta, M = adagrad(theta, M, d)
            losses.append(loss)
        return losses

    return stopwatch(train, updates, repeats) | {"versions": versions(numpy=np.__version__)}


def stopwatch(
    train: Callable[[int], Sequence[float]],
    updates: int,
    repeats: int,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Time `train`, which performs `updates` updates from the given one on and returns their losses.

    `between` is called before every block and is not timed.

    Returns
    -------
    dict
        "seconds_per_update", one per block but the first; "first_call_seconds", of the complete first
        block, compilation included; "losses", the first three in nats; "threads".
    """
    seconds: list[float] = []
    losses: list[float] = []
    for first in range(0, (repeats + 1) * updates, updates):
        between()
        start = time.perf_counter()
        block = train(first)
        seconds.append(time.perf_counter() - start)
        losses.extend(map(float, block[:3]))
    return {
        "seconds_per_update": [s / updates for s in seconds[1:]],
        "first_call_seconds": seconds[0],
        "losses": losses[:3],
        "threads": threads_allowed(),
    }


def versions(**libraries: str) -> dict[str, str]:
    """Return the versions of Python and the `libraries`."""
    return {"python": platform.python_version(), **libraries}


def threads_allowed() -> int:
    """Return the number of threads this process may use: its cores, or OMP_NUM_THREADS if fewer."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, int(os.environ.get("OMP_NUM_THREADS", cores)))


def arguments(**choices: list[str]) -> dict[str, Any]:
    """Parse the command line, apply `--threads`, and return the other options for `time_update`.

    `choices` are further options and their allowed values, the first of which is the default.

    BLAS, OpenMP and XLA read their settings when they are loaded, so the process pins itself to that
    many cores and restarts itself with the settings in its environment.
    """
    parser = argparse.ArgumentParser(description="Time one update and print the result as JSON.")
    sizes = {"m": 100, "T": 25, "K": 76, "updates": 2000, "repeats": 5, "threads": 1}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=["float32", "float64"], default=argparse.SUPPRESS)
    for name, values in choices.items():
        parser.add_argument(f"--{name}", choices=values, default=values[0])
    options = vars(parser.parse_args())
    threads = options.pop("threads")
    cores = sorted(os.sched_getaffinity(0))
    # Idle threads of NumPy's BLAS would keep the other cores busy for a while after each product.
    settings = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    settings["XLA_FLAGS"] = one if threads == 1 else ""
    if len(cores) > threads or not settings.items() <= os.environ.items():
        os.sched_setaffinity(0, cores[:threads])
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)
    return options


if __name__ == "__main__":
    print(json.dumps(time_update(**arguments())))
