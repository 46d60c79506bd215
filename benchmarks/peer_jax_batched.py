"""A batched LSTM or GRU in JAX: one compiled update, forward and backward pass, clipping of the gradient norm, Adam.

U has a row per character, so the one-hot product is a gather and its gradient a scatter. Gradients with respect to
what enters the gates come from autodiff; those of the weights are one product over all steps, which is faster than
the sum over the steps that autodiff of the scan computes.

    python peer_jax_batched.py lstm --m 256 --B 32 --T 64 --K 65 --seconds 3

Dimensions: K alphabet, m hidden units, B batch size, T steps of a window, G gates (4 and 3).
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

GATES = {"lstm": 4, "gru": 3}
RATE, BETA_1, BETA_2, EPSILON, MAX_NORM = 1e-3, 0.9, 0.999, 1e-8, 1.0

Arrays = dict[str, jax.Array]


def initial(cell: str, m: int, K: int) -> Arrays:
    """Return U (K, G m), W (m, G m), b and the bias of the recurrent product (G m,), V (m, K) and c (K,)."""
    random, G = np.random.default_rng(1), GATES[cell]
    shapes = {"U": (K, G * m), "W": (m, G * m), "b": (G * m,), "b_recurrent": (G * m,), "V": (m, K), "c": (K,)}
    return {name: jnp.asarray(random.normal(0, 0.05, shape), jnp.float32) for name, shape in shapes.items()}


def lstm_step(state: jax.Array, a: jax.Array, r: jax.Array) -> jax.Array:
    """Return h and s (2, B, m) after a step; a and r (B, 4 m) are the products of the input and of h."""
    i, f, o, g = jnp.split(a + r, 4, axis=-1)
    s = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jnp.stack([jax.nn.sigmoid(o) * jnp.tanh(s), s])


def gru_step(state: jax.Array, a: jax.Array, r: jax.Array) -> jax.Array:
    """Return h (1, B, m) after a step; a and r (B, 3 m) are the products of the input and of h."""
    (a_r, a_z, a_n), (r_r, r_z, r_n) = jnp.split(a, 3, axis=-1), jnp.split(r, 3, axis=-1)
    z = jax.nn.sigmoid(a_z + r_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + r_r) * r_n)
    return ((1 - z) * n + z * state[0])[None]


STEPS = {"lstm": lstm_step, "gru": gru_step}


def gradients(
    cell: str, theta: Arrays, state: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, Arrays, jax.Array]:
    """Return the loss, its gradients and the final state, for characters x, y (T, B)."""
    W, zeros = theta["W"], jnp.zeros((*x.shape, theta["U"].shape[1]), jnp.float32)

    def loss(da: jax.Array, dr: jax.Array, V: jax.Array, c: jax.Array) -> tuple[jax.Array, Any]:
        def step(state: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            a, extra = inputs
            following = STEPS[cell](state, a, state[0] @ W + theta["b_recurrent"] + extra)
            return following, following[0]

        last, h = lax.scan(step, state, (theta["U"][x] + theta["b"] + da, dr))
        log_p = jax.nn.log_softmax(h @ V + c)
        return -jnp.take_along_axis(log_p, y[..., None], axis=-1).mean(), (last, h)

    (value, (last, h)), (da, dr, dV, dc) = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(
        zeros, zeros, theta["V"], theta["c"]
    )
    before = jnp.concatenate([state[:1], h[:-1]])
    dW = before.reshape(-1, W.shape[0]).T @ dr.reshape(-1, W.shape[1])
    dU = jnp.zeros_like(theta["U"]).at[x.reshape(-1)].add(da.reshape(-1, W.shape[1]))
    d = {"U": dU, "W": dW, "b": da.sum((0, 1)), "b_recurrent": dr.sum((0, 1)), "V": dV, "c": dc}
    return value, d, last


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2, 3, 4))
def update(
    cell: str, theta: Arrays, M: Arrays, v: Arrays, state: jax.Array, n: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[Arrays, Arrays, Arrays, jax.Array, jax.Array]:
    """Perform the n-th update with Adam."""
    value, d, state = gradients(cell, theta, state, x, y)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in d.values()))
    d = {name: g * jnp.minimum(1.0, MAX_NORM / norm) for name, g in d.items()}
    M = {name: BETA_1 * M[name] + (1 - BETA_1) * g for name, g in d.items()}
    v = {name: BETA_2 * v[name] + (1 - BETA_2) * g * g for name, g in d.items()}
    rate = RATE * jnp.sqrt(1 - BETA_2**n) / (1 - BETA_1**n)
    theta = {name: theta[name] - rate * M[name] / (jnp.sqrt(v[name]) + EPSILON) for name in d}
    return theta, M, v, state, value


def characters_per_second(cell: str, m: int, B: int, T: int, K: int, seconds: float) -> float:
    """Train for some seconds, after compilation."""
    theta = initial(cell, m, K)
    M, v = ({name: jnp.zeros_like(array) for name, array in theta.items()} for _ in range(2))
    state, random = jnp.zeros((2 if cell == "lstm" else 1, B, m), jnp.float32), np.random.default_rng(1)
    updates, began = -3, time.perf_counter()
    while updates <= 0 or time.perf_counter() - began < seconds:
        if updates == 0:
            began = time.perf_counter()
        x, y = random.integers(0, K, (2, T, B), dtype=np.int32)
        theta, M, v, state, value = update(cell, theta, M, v, state, jnp.float32(max(updates, 0) + 1), x, y)
        value.block_until_ready()
        updates += 1
    return updates * B * T / (time.perf_counter() - began)


def main() -> None:
    """Measure and print the speed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", choices=GATES)
    for name, default in (("m", 256), ("B", 32), ("T", 64), ("K", 65)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(json.dumps({"chars_per_second": characters_per_second(**vars(options)), "jax": jax.__version__}))


if __name__ == "__main__":
    main()
