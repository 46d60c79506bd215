"""The door that every engine fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.engine.callbacks import Look, unwatched
from elman.engine.state import State
from elman.network.model import LossAndGradients
from elman.network.optimizer import Rule
from elman.network.parameters import Array, Parameters
from elman.network.sampling import Draw
from elman.text import Windows

Indices = NDArray[np.unsignedinteger[Any]]


class Engine(Protocol):
    """Carries out the mathematics of `elman.network`; keeps nothing between calls.

    T  characters in one window, B  streams, D  numbers in the state of a stream, m for the vanilla network
    """

    name: str

    def advance(
        self, state: State, windows: Windows, updates: int, rule: Rule, look: Look = unwatched
    ) -> NDArray[np.float64]:
        """Do many updates and return the loss of each, in nats a window, the mean over the streams.

        `state` is changed in place: parameters, sums, hidden state, position, update and epoch. The first window
        of an epoch begins at the start of every stream with a hidden state of zero; until then the state stays
        what the last window left. Any division into calls gives the same bits.

        After each update whose number is a multiple of `LOOK_EVERY`, `look` is asked whether to end there, so that
        there may be fewer losses than were asked for. It may keep nothing of what it is shown.
        """
        ...

    def loss(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> tuple[Any, Array]:
        """Return the loss of x, y (T,) in nats, summed, and the last state (D,); or those of every stream.

        For streams, x and y are (T, B) and h0 (B, D); the losses are an array (B,).
        """
        ...

    def loss_and_gradients(self, parameters: Parameters, h0: Array, x: Indices, y: Indices) -> LossAndGradients:
        """Return what one window gives, as `elman.network.loss_and_gradients` does without dropout."""
        ...

    def generate(
        self,
        parameters: Parameters,
        h: Array,
        x: int,
        uniforms: NDArray[np.float64],
        draw: Draw,
    ) -> tuple[NDArray[np.intp], Array]:
        """Read x in state h (D,), draw the character that follows, read that, and so on.

        Returns one character for each of `uniforms` (n,), numbers in [0, 1), and the state before the last of
        them is read.
        """
        ...

    def reader(self, parameters: Parameters) -> Reader:
        """Return what reads with these parameters, which are not to be changed while it is used."""
        ...


class Passages(NamedTuple):
    """What passages of a text cost, in nats.

    Parameters
    ----------
    nats : ndarray of float64, shape (n,)
        -sum log p of all that each predicts; 0 where that is nothing.
    worst : ndarray of int, shape (n,)
        The place, counted from 0, of what costs most; of several the first.
    worst_nats : ndarray of float64, shape (n,)
        What that costs.
    """

    nats: NDArray[np.float64]
    worst: NDArray[np.intp]
    worst_nats: NDArray[np.float64]

    @classmethod
    def none(cls, n: int) -> Passages:
        """Return room for n passages, of which nothing has been read."""
        return cls(np.zeros(n), np.zeros(n, np.intp), np.zeros(n))


class Reader(Protocol):
    """A network made ready once, to be read by many calls. Not for two threads at a time.

    Arrays have an axis for the streams even where there is one, and nothing that a stream gives depends on the
    others. Kernels let go of the interpreter's lock.

    T  characters read, B  streams, D  numbers in the state of a stream, K  size of the alphabet
    """

    def losses(self, h: Array, x: Indices, y: Indices) -> tuple[NDArray[np.float64], Array]:
        """Read x (T, B) from the states h (B, D): -log p of every y (T, B) in nats, (T, B), and the last states."""
        ...

    def logits(self, h: Array, x: Indices) -> tuple[Array, Array]:
        """Read x (T, B) from the states h (B, D): the logits (T, B, K) and all states (T, B, D) that follow."""
        ...

    def passages(self, h: Array, text: Indices, begins: NDArray[np.intp], chars: NDArray[np.intp]) -> Passages:
        """Read passages of a text (N,), each from the state h (D,): `chars` (n,) characters behind that at `begins`."""
        ...

    def generate(
        self, h: Array, x: NDArray[np.integer], uniforms: NDArray[np.float64], draws: Sequence[Draw]
    ) -> tuple[NDArray[np.intp], Array]:
        """Read x (B,) in the states h (B, D), draw the characters that follow, read those, and so on.

        Returns one character for each of `uniforms` (n, B), numbers in [0, 1), drawn as the stream's own of `draws`
        says; and the states before the last of them are read.
        """
        ...
