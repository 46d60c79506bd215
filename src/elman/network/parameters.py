"""The parameters of a network, their shapes and initialization.

K  size of the alphabet        G  gates of the cell: 1 for rnn, 3 for gru, 4 for lstm; see `elman.network.cells`
m  hidden units of a layer     l  1 … layers

==========  =============================================  ================================
name        meaning                                        shape
==========  =============================================  ================================
U           input-to-hidden weights                        (G m, K), and (G m, m) for l > 1
W           hidden-to-hidden weights, if the cell has any  (G m, m)
b           hidden bias                                    (G m,)
d           gru only: the bias that the reset multiplies   (m,)
V           hidden-to-output weights                       (K, m)
c           output bias                                    (K,)
alpha       weight of the n-gram prior, by matched length   (n + 1,), if there is a prior
==========  =============================================  ================================

U, W, b and d of layer l > 1 have l appended to their name: U2, W2, …. The m rows of each gate are contiguous; gates are
in PyTorch's order: r, z, n for gru, and i, f, g, o for lstm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.network.cells import CELLS, CellSpec
from elman.network.ops import Array as Array
from elman.network.ops import Arrays as Arrays
from elman.network.state import Prior, State
from elman.ngram.model import NgramModel
from elman.ngram.table import NgramSpec
from elman.text import Alphabet
from elman.text.lines import find_line_feed

Resets = NDArray[np.bool_]
"""Whether the state is reset before each step, (T,) or (T, B)."""

NAMES = ("U", "W", "V", "b", "c")
"""The parameters of the vanilla network."""

INITIAL_ALPHA = 0.5
"""Initial weight of an n-gram prior that takes part from the start, near the values that training finds."""


class Architecture(NamedTuple):
    """Cell and sizes of a network, and the properties of its text."""

    K: int
    m: int
    cell: str = "rnn"
    layers: int = 1
    context_length: int = 0
    """n, the length of the longest context of the n-gram prior; 0 if there is none."""
    reset_at: int | None = None
    """The character before which the state is set to zeros: the line feed, if the text consists of independent lines.
    See `elman.network.bptt`."""

    @property
    def spec(self) -> CellSpec:
        """The registry's entry of the cell."""
        return CELLS[self.cell]

    @property
    def gates(self) -> int:
        """G, the number of blocks of m rows in U, W and b."""
        return len(self.spec.gates)

    @property
    def state_vectors(self) -> int:
        """Number of vectors (m,) in the state of one layer: h, and for lstm s."""
        return len(self.spec.state)

    @property
    def state_size(self) -> int:
        """S, the size of the recurrent part of the state of one sequence."""
        return self.layers * self.state_vectors * self.m

    @property
    def is_of_lines(self) -> bool:
        """Whether its text consists of independent lines."""
        return self.reset_at is not None

    @property
    def ngram_spec(self) -> NgramSpec:
        """The strings that its prior counts."""
        return NgramSpec(self.K, self.context_length, self.reset_at)

    def for_lines(self, alphabet: Alphabet) -> Architecture:
        """Return the same network for a text of independent lines."""
        return self._replace(reset_at=find_line_feed(alphabet))

    def resets(self, x: NDArray[Any]) -> Resets | None:
        """Return whether the state is reset before each of the characters x; None if it never is."""
        return None if self.reset_at is None else x == self.reset_at

    def zero_state(self, dtype: np.typing.DTypeLike, *batch: int) -> State:
        """Return the state of a network that has read nothing, for one sequence or with the axes `batch`."""
        return State(np.zeros((*batch, self.state_size), dtype), np.zeros((*batch, self.context_length), np.int32))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter: by layer, then V, c and alpha; vanilla: in the order of `NAMES`."""
        K, m, G = self.K, self.m, self.gates
        prior: dict[str, tuple[int, ...]] = {"alpha": (self.context_length + 1,)} if self.context_length else {}
        if (self.cell, self.layers) == ("rnn", 1):
            return {"U": (m, K), "W": (m, m), "V": (K, m), "b": (m,), "c": (K,)} | prior
        shapes = dict[str, tuple[int, ...]]()
        for number in range(1, self.layers + 1):
            of_letter = {"U": (G * m, K if number == 1 else m), "W": (G * m, m), "b": (G * m,)}
            shapes |= {name + suffix(number): of_letter.get(name, (m,)) for name in layer_names(self.cell)}
        return shapes | {"V": (K, m), "c": (K,)} | prior


class LossAndGradients(NamedTuple):
    """Loss, gradients and final state of one window."""

    loss: float
    """L in nats: summed over the window, averaged over the batch."""
    gradients: Arrays
    """dL/d of every parameter, by name."""
    dh0: Array
    """dL/d of the recurrent part of the initial state, shape (S,) or (B, S)."""
    state: State
    """The final state: the initial state of the next window."""


@dataclass(frozen=True, eq=False)
class Parameters(Mapping[str, Array]):
    """The parameters of a network: its arrays by name, its architecture, and its n-gram model.

    Gradients, the optimizer's moments and the average are plain dictionaries with the same names and shapes, `Arrays`.
    """

    architecture: Architecture
    arrays: Arrays
    ngrams: NgramModel | None = None
    """The n-gram model of the prior."""

    def __getitem__(self, name: str) -> Array:
        """Return an array."""
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the names."""
        return iter(self.arrays)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.arrays)

    def map(self, function: Callable[[Array], Array]) -> Parameters:
        """Return the same network with `function` applied to every array."""
        return self.with_arrays({name: function(array) for name, array in self.arrays.items()})

    def with_arrays(self, arrays: Arrays) -> Parameters:
        """Return the same network with different arrays."""
        return replace(self, arrays=arrays)

    def switch_on_prior(self, alpha: float, scale: float) -> Parameters:
        """Return the same network with its prior switched on with weights `alpha`, and its logits times `scale`."""
        scaled = {name: self[name] * self[name].dtype.type(scale) for name in ("V", "c")}
        return self.with_arrays({**self, **scaled, "alpha": np.full_like(self["alpha"], alpha)})

    @property
    def prior(self) -> Prior:
        """The n-gram prior, or its absence."""
        return Prior() if self.ngrams is None else Prior(self.ngrams, self.arrays["alpha"])


def suffix(number: int) -> str:
    """Return the suffix of the parameter names of layer 1, 2, …."""
    return "" if number == 1 else str(number)


def layer_names(cell: str) -> tuple[str, ...]:
    """Return the names of the parameters of the first layer: U, W if the cell has one, b and, for gru, d."""
    spec = CELLS[cell]
    return ("U", *(("W",) if spec.has_W else ()), "b", *spec.extra_biases)


def layer(parameters: Parameters, number: int) -> Arrays:
    """Return the arrays of layer 1, 2, … under the names of the first."""
    return {name: parameters[name + suffix(number)] for name in layer_names(parameters.architecture.cell)}


def initial_parameters(
    net: Architecture, std: float, generator: np.random.RandomState, dtype: np.typing.DTypeLike, *,
    orthogonal: bool = False, ngrams: NgramModel | None = None, alpha: float = INITIAL_ALPHA,
) -> Parameters:  # fmt: skip
    """Return initial parameters: U and W of every layer, then V, are drawn from a normal distribution, biases are zero.

    The bias of lstm's forget gate is 1, so that the cell state is remembered at first (Gers, Schmidhuber and Cummins,
    2000; Jozefowicz, Zaremba and Sutskever, 2015).

    Parameters
    ----------
    net : Architecture
        Its context length is the context length of `ngrams`.
    std : float
        Standard deviation of the weights.
    generator : RandomState
        Source of randomness, advanced by this call. It is NumPy's legacy generator because the reference experiment
        used it: its weights are reproduced bit for bit.
    dtype : dtype
        float32 or float64. Numbers are drawn in float64 and then rounded, so that both start from the same weights.
    orthogonal : bool
        Whether every (m, m) block of W is a random orthogonal matrix, which preserves the norm of a state (Saxe,
        McClelland and Ganguli, 2014). The standard deviation of V, and of U above the first layer, is then 1/sqrt(m),
        because they read m units.
    ngrams : NgramModel, optional
        The n-gram model of the prior.
    alpha : float
        The prior's initial weight at every matched length; 0 for a prior that is off at first.
    """
    net = net._replace(context_length=0 if ngrams is None else ngrams.context_length)
    m, keep_gate, parameters = net.m, net.spec.keep_gate, Arrays()
    for name, shape in net.shapes().items():
        if name == "alpha":
            parameters[name] = np.full(shape, alpha)
        elif name[0] not in "UWV":
            parameters[name] = np.zeros(shape)
        elif not orthogonal or name == "U" or not m:
            parameters[name] = generator.randn(*shape) * std
        else:
            normal = generator.randn(*shape)
            parameters[name] = _orthogonal(normal) if name[0] == "W" else normal / np.sqrt(m)
        if keep_gate is not None and name[0] == "b":
            parameters[name][keep_gate * m : (keep_gate + 1) * m] = 1
    with np.errstate(over="ignore"):  # a weight too large for float32 becomes infinite, which training detects
        return Parameters(net, parameters, ngrams).map(lambda array: array.astype(dtype))


def _orthogonal(normal: Array) -> Array:
    """Return the orthogonal QR factor of every (m, m) block of a matrix (G m, m) of normal numbers.

    QR leaves the sign of every column open. With a positive diagonal of R, the factor is distributed uniformly over all
    orthogonal matrices (Mezzadri, 2007).
    """
    m = normal.shape[1]
    Q, R = np.linalg.qr(normal.reshape(-1, m, m))
    signs = np.sign(np.diagonal(R, axis1=1, axis2=2))
    return np.asarray((Q * signs[:, None, :]).reshape(normal.shape))


def zeros_like(parameters: Mapping[str, Array]) -> Arrays:
    """Return zeros with the names, shapes and dtypes of `parameters`."""
    return {name: np.zeros_like(array) for name, array in parameters.items()}


def summarize(parameters: Parameters) -> dict[str, object]:
    """Return a description of a network, for a table."""
    network, ngrams = parameters.architecture, parameters.ngrams
    return {
        "cell": network.cell,
        "hidden size": network.m,
        "layers": network.layers,
        "n-gram prior": None if ngrams is None else f"order {ngrams.order}, {ngrams.describe()}",
        "weights": sum(array.size for array in parameters.values()),
        "characters": network.K,
        "precision": parameters["V"].dtype,
    }
