"""The reference experiment in JAX: one compiled scan over all updates of a block.

The gradients are written by hand, and U has a row per character, so that the one-hot product is a
gather and its gradient a scatter.  Each choice is the fastest of those tried on the CPU:
hand-written gradients, not autodiff; a rolled scan over t, not an unrolled one (5 % slower, three
times the compile time); `h @ W`, not `W @ h`; a scatter, not a product with one-hot rows.

    python peer_jax.py --m 100 --T 25 --K 76 --updates 2000 --repeats 5 --threads 1

Dimensions: K alphabet, m hidden units, T characters in one update, N updates in one block.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from textbook import CLIP, EPSILON, ETA, arguments, initial, stopwatch, text, versions

Arrays = dict[str, jax.Array]
State = tuple[Arrays, Arrays, jax.Array]


def parameters(m: int, K: int, dtype: str) -> Arrays:
    """Return U (K, m), W (m, m) indexed by source unit first, V (K, m), b (m,) and c (K,)."""
    start = initial(m, K, dtype)
    U, W, V, b, c = start["U"].T, start["W"].T, start["V"], start["b"][:, 0], start["c"][:, 0]
    return {name: jnp.array(array) for name, array in zip("UWVbc", (U, W, V, b, c), strict=True)}


def gradients(theta: Arrays, x: jax.Array, y: jax.Array, h0: jax.Array) -> tuple[jax.Array, Arrays, jax.Array]:
    """Return the loss, its gradients and the final state, for characters x, y (T,) and h0 (m,)."""
    U, W, V = theta["U"], theta["W"], theta["V"]

    def forward(h: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(a + h @ W)
        return h, h

    hT, H = lax.scan(forward, h0, U[x] + theta["b"])
    log_P = jax.nn.log_softmax(H @ V.T + theta["c"])
    Y = jax.nn.one_hot(y, len(V), dtype=H.dtype)
    G = jnp.exp(log_P) - Y

    def backward(da: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        from_output, slope = step
        da = slope * (from_output + W @ da)
        return da, da

    _, dA = lax.scan(backward, jnp.zeros_like(h0), (G @ V, 1 - H * H), reverse=True)
    before = jnp.concatenate([h0[None], H[:-1]])
    d = {"U": jnp.zeros_like(U).at[x].add(dA), "W": before.T @ dA, "V": G.T @ H}
    return -(log_P * Y).sum(), d | {"b": dA.sum(0), "c": G.sum(0)}, hT


def update(state: State, window: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
    """Perform one AdaGrad step; a state is the weights, the sums of squared gradients and h (m,)."""
    theta, M, h = state
    loss, d, h = gradients(theta, *window, h)
    M = {name: M[name] + d[name] ** 2 for name in d}
    step = {name: jnp.clip(d[name], -CLIP, CLIP) / jnp.sqrt(M[name] + EPSILON) for name in d}
    return ({name: theta[name] - ETA * step[name] for name in d}, M, h), loss


@functools.partial(jax.jit, donate_argnums=0)
def train_block(state: State, X: jax.Array, Y: jax.Array) -> tuple[State, jax.Array]:
    """Perform an update for each row of X and Y (N, T); return the new state and the losses (N,)."""
    state, losses = lax.scan(update, state, (X, Y))
    return state, losses


def time_update(m: int, T: int, K: int, updates: int, repeats: int, dtype: str = "float32") -> dict[str, Any]:
    """Time one update; see `textbook.time_update`.  The first call compiles."""
    blocks = (repeats + 1) * updates
    chars = text(K, blocks * T + 1).astype(np.int32)
    X, Y = chars[:-1].reshape(blocks, T), chars[1:].reshape(blocks, T)
    with jax.enable_x64(dtype == "float64"):
        theta = parameters(m, K, dtype)
        state = (
            theta,
            {name: jnp.zeros_like(theta[name]) for name in theta},
            jnp.zeros_like(theta["b"]),
        )

        def train(first: int) -> list[float]:
            nonlocal state
            rows = slice(first, first + updates)
            state, losses = train_block(state, X[rows], Y[rows])
            return [float(loss) for loss in np.asarray(losses)]

        result = stopwatch(train, updates, repeats)
    return result | {"versions": versions(jax=jax.__version__, jaxlib=jax.lib.__version__)}


if __name__ == "__main__":
    print(json.dumps(time_update(**arguments())))
