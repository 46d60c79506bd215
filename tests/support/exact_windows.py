"""Windows of the codec's network, filled by its forward kernel."""

import numpy as np
from numpy.typing import NDArray

from elman.compression import exact_kernels
from elman.compression.adaptive import make_window
from elman.compression.exact_gradients import Window, output_gradient
from elman.compression.exact_kernels import Floats
from elman.compression.exact_network import ExactNetwork
from elman.compression.exact_prior import ExactPrior, read_prior
from elman.network.output import Prior


def symbol_freqs(o: Floats) -> Floats:
    """Return the frequencies minus one (R, K + 1) of logits (R, K), without an escape."""
    R, K = o.shape
    freqs = np.empty((R, K + 1), np.float32)
    exact_kernels.compute_symbol_freqs(o, np.zeros((R, 2), np.int64), np.zeros(R, np.int64), False, freqs)
    return freqs


def current_prior(prior: ExactPrior) -> Prior:
    """Return a copy of the prior of the next characters."""
    return Prior(prior.arrays.log_q.copy(), prior.arrays.matched.copy())


def read_row(prior: ExactPrior, x: NDArray[np.int64], unread: int | None = None) -> Prior:
    """Read characters x (R,), except in the row `unread`; return the prior of the next ones."""
    reads = np.arange(len(x)) != (-1 if unread is None else unread)
    prior.reserve()
    read_prior(prior.arrays, x, reads)
    return current_prior(prior)


def fill_window(
    network: ExactNetwork, x: NDArray[np.int64], h: Floats | None = None, prior: ExactPrior | None = None
) -> Window:
    """Return a window of one row that reads all characters x but the last, from a state h, and predicts the next ones.

    The n-gram prior has read the first character.
    """
    window = make_window(network, len(x) - 1, 1)
    if h is not None:
        window.states[0] = h.reshape(window.states[0].shape)
    for t in range(len(x) - 1):
        window.x[t] = x[t]
        exact_kernels.forward_step(
            network.theta, network.cell, network.G, network.K, window.x[t], window.states[t], window.states[t + 1],
            window.gates[t], window.logits, 0, 1,
        )  # fmt: skip
        if prior is not None:
            window.log_q[t], window.matched[t] = current_prior(prior) if t == 0 else read_row(prior, x[t : t + 1])
            exact_kernels.add_prior(network.arrays["alpha"], window.log_q[t], window.matched[t], window.logits)
        output_gradient(symbol_freqs(window.logits)[0], x[t + 1], window.g[t, 0])
    return window
