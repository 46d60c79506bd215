"""A GRU of several layers in JAX: one compiled update, forward and backward pass, clipping of the gradient norm, Adam
and, with ``--optimizer muon``, Muon for the hidden matrices, in batched products of all blocks.

U of the first layer has a row per character, so the one-hot product is a gather and its gradient a scatter. Gradients
with respect to what enters the gates come from autodiff; those of the weights are one product over all steps, which is
faster than the sum over the steps that autodiff of the scan computes.

    python peer_jax_batched.py --m 256 --layers 2 --B 32 --T 64 --K 65 --optimizer muon --seconds 3

Dimensions: K alphabet, m hidden units, B batch size, T steps of a window.
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

from elman.network.optimizer import MOMENTUM, NEWTON_SCHULZ_COEFFICIENTS, NEWTON_SCHULZ_STEPS, STEP_SCALE

RATE, BETA_1, BETA_2, EPSILON, MAX_NORM = 1e-3, 0.9, 0.999, 1e-8, 1.0

Arrays = dict[str, jax.Array]


def initial(m: int, layers: int, K: int) -> Arrays:
    """Return U (K or m, 3 m), W (m, 3 m) and both biases (3 m,) of every layer, V (m, K) and c (K,)."""
    random, shapes = np.random.default_rng(1), {"V": (m, K), "c": (K,)}
    for layer in range(layers):
        shapes |= {f"U{layer}": (m if layer else K, 3 * m), f"W{layer}": (m, 3 * m)}
        shapes |= {f"b{layer}": (3 * m,), f"d{layer}": (3 * m,)}
    return {name: jnp.asarray(random.normal(0, 0.05, shape), jnp.float32) for name, shape in shapes.items()}


def gru_step(h: jax.Array, a: jax.Array, r: jax.Array) -> jax.Array:
    """Return h (B, m) after a step; a and r (B, 3 m) are the products of the input and of h."""
    (a_r, a_z, a_n), (r_r, r_z, r_n) = jnp.split(a, 3, axis=-1), jnp.split(r, 3, axis=-1)
    z = jax.nn.sigmoid(a_z + r_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + r_r) * r_n)
    return (1 - z) * n + z * h


def gradients(theta: Arrays, state: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Arrays, jax.Array]:
    """Return the loss, its gradients and the final state (layers, B, m), for characters x, y (T, B)."""
    layers, width = len(state), theta["W0"].shape[1]
    zeros = jnp.zeros((layers, *x.shape, width), jnp.float32)

    def loss(da: jax.Array, dr: jax.Array, V: jax.Array, c: jax.Array) -> tuple[jax.Array, Any]:
        outputs, h = [], jnp.empty(0)
        for layer in range(layers):
            W, d = theta[f"W{layer}"], theta[f"d{layer}"]

            def step(h: jax.Array, inputs: Any, W: jax.Array = W, d: jax.Array = d) -> tuple[jax.Array, jax.Array]:
                h = gru_step(h, inputs[0], h @ W + d + inputs[1])
                return h, h

            product = h @ theta[f"U{layer}"] if layer else theta["U0"][x]
            _, h = lax.scan(step, state[layer], (product + theta[f"b{layer}"] + da[layer], dr[layer]))
            outputs.append(h)
        log_p = jax.nn.log_softmax(h @ V + c)
        return -jnp.take_along_axis(log_p, y[..., None], axis=-1).mean(), jnp.stack(outputs)

    (value, h), (da, dr, dV, dc) = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(
        zeros, zeros, theta["V"], theta["c"]
    )
    d, (da, dr) = {"V": dV, "c": dc}, (each.reshape(layers, -1, width) for each in (da, dr))
    for layer in range(layers):
        before = jnp.concatenate([state[layer][None], h[layer, :-1]]).reshape(-1, state.shape[-1])
        d[f"W{layer}"] = before.T @ dr[layer]
        scatter = jnp.zeros_like(theta["U0"]).at[x.reshape(-1)]
        d[f"U{layer}"] = h[layer - 1].reshape(before.shape).T @ da[layer] if layer else scatter.add(da[0])
        d |= {f"b{layer}": da[layer].sum(0), f"d{layer}": dr[layer].sum(0)}
    return value, d, h[:, -1]


def orthogonalize(d: jax.Array) -> jax.Array:
    """Return all blocks (m, m) of gradients (matrices, m, 3 m) after Newton-Schulz, in the same shape."""
    m, (a, b, c) = d.shape[1], NEWTON_SCHULZ_COEFFICIENTS
    X = d.reshape(-1, m, 3, m).transpose(0, 2, 1, 3).reshape(-1, m, m)
    X = X / (jnp.linalg.norm(X, axis=(1, 2), keepdims=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.transpose(0, 2, 1)
        X = a * X + (b * A + c * A @ A) @ X
    return X.reshape(-1, 3, m, m).transpose(0, 2, 1, 3).reshape(d.shape)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2, 3, 4))
def update(
    muon: bool, theta: Arrays, M: Arrays, v: Arrays, state: jax.Array, n: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[Arrays, Arrays, Arrays, jax.Array, jax.Array]:
    """Perform the n-th update."""
    value, d, state = gradients(theta, state, x, y)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in d.values()))
    d = {name: g * jnp.minimum(1.0, MAX_NORM / norm) for name, g in d.items()}
    hidden = [name for name in theta if muon and name[0] in "UW" and name != "U0"]
    keep = {name: MOMENTUM if name in hidden else BETA_1 for name in theta}
    M = {name: keep[name] * M[name] + (1 - keep[name]) * g for name, g in d.items()}
    v = {name: BETA_2 * v[name] + (1 - BETA_2) * g * g for name, g in d.items() if name not in hidden}
    rate = RATE * jnp.sqrt(1 - BETA_2**n) / (1 - BETA_1**n)
    steps = {name: rate * M[name] / (jnp.sqrt(v[name]) + EPSILON) for name in v}
    if hidden:
        mixed = jnp.stack([MOMENTUM * M[name] + (1 - MOMENTUM) * d[name] for name in hidden])
        scale = RATE * STEP_SCALE * mixed.shape[1] ** 0.5
        steps |= {name: scale * X for name, X in zip(hidden, orthogonalize(mixed), strict=True)}
    return {name: theta[name] - steps[name] for name in theta}, M, v, state, value


def characters_per_second(options: argparse.Namespace) -> float:
    """Train for some seconds, after compilation."""
    m, B, T, K = (int(n) for n in (options.m, options.B, options.T, options.K))
    muon = options.optimizer == "muon"
    theta = initial(m, options.layers, K)
    M, v = ({name: jnp.zeros_like(array) for name, array in theta.items()} for _ in range(2))
    v = {name: array for name, array in v.items() if not (muon and name[0] in "UW" and name != "U0")}
    state, random = jnp.zeros((options.layers, B, m), jnp.float32), np.random.default_rng(1)
    text = random.integers(0, K, (100 * T + 1, B), dtype=np.int32)
    updates, began = -3, time.perf_counter()
    while updates <= 0 or time.perf_counter() - began < options.seconds:
        if updates == 0:
            began = time.perf_counter()
        first = updates % 100 * T
        x, y = text[first : first + T], text[first + 1 : first + T + 1]
        theta, M, v, state, value = update(muon, theta, M, v, state, jnp.float32(max(updates, 0) + 1), x, y)
        value.block_until_ready()
        updates += 1
    return updates * B * T / (time.perf_counter() - began)


def main() -> None:
    """Measure and print the speed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("m", 256), ("layers", 1), ("B", 32), ("T", 64), ("K", 65)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--optimizer", choices=("adam", "muon"), default="adam")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(json.dumps({"chars_per_second": characters_per_second(options), "version": jax.__version__}))


if __name__ == "__main__":
    main()
