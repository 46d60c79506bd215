"""The protocol of a language model in a search, and the states of the prefixes that it has read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.apps.decode.beam import FREE, NONE, SLOT, UNKNOWN, UNREAD
from elman.errors import ElmanError, quote
from elman.network import Array
from elman.text import unknown_nats

Ints = NDArray[np.int64]

SPECIAL = re.compile(r"[<\[].+[>\]]")
MAX_UNKNOWN = 1 / 3
"""The fraction of the symbols that may be unknown to a model without a warning."""


class LanguageModel(Protocol):
    """The protocol of a language model: an `elman.Model`, or any other object with these attributes.

    `alphabet` has `characters` and `start_char`, like `elman.text.Alphabet`, and may have `has_unknown`. If
    `is_of_lines`, which may be missing, is true, the model predicts a line feed at the end of a text. The states of n
    sequences have `select`, which returns the states of a list of rows, and `set_rows`, which replaces the states of a
    list of rows in place.
    """

    @property
    def alphabet(self) -> Any:
        """Its characters."""

    def start(self) -> Any:
        """Return the state of one sequence that has read nothing."""

    def step(self, state: Any, characters: Any) -> tuple[Any, Array]:
        """Read the character of an index in each of n sequences; return the states and log p of the next, (n, K)."""


class LmState(NamedTuple):
    """A language model that has read a text."""

    state: Any
    """The state of the model, for one sequence."""
    log_p: Array
    """The log-probability of every next character, (K,), in nats."""


class Unread(NamedTuple):
    """A request of a search to a `Reader`: read the last symbols of prefixes in its beam."""

    place: int  # place of the search among the searches of the reader
    links: NDArray[np.int32]  # columns of all nodes
    nodes: Ints  # the beam
    is_needed: NDArray[np.bool_]  # of each of them


class Reader:
    """A model and its states after the prefixes of the searches in a batch, each in a slot of its search.

    Rows of the beam refer to the slots. A search uses a slot for each prefix that is in its beam or is read in a step.
    """

    def __init__(self, model: LanguageModel | None, texts: Sequence[str], width: int, start: LmState | None) -> None:
        self.model, self.end, self.slots = model, NONE, 2 * width
        self.index: Ints = np.full(len(texts), FREE, np.int64)
        """The model's index of each symbol."""
        self.unknown = 0.0
        """log p of a symbol that the model does not know."""
        self.log_p = np.zeros((1, 1, 1))
        """The log-probability of every next character in each slot, (searches, slots, K)."""
        if start is not None and not isinstance(start, LmState):
            raise ElmanError(f"state must be the state of a hypothesis (got {quote(start)})")
        if model is None:
            if start is not None:
                raise ElmanError("state requires a language model")
            return
        check_is_language_model(model)
        alphabet = model.alphabet
        index_of = {character: k for k, character in enumerate(alphabet.characters)}
        others = len(index_of) - 1 if getattr(alphabet, "has_unknown", False) else UNKNOWN
        self.index[:] = [index_of.get(text, others) for text in texts]
        self.unknown = -unknown_nats(len(index_of))
        if getattr(model, "is_of_lines", False):
            self.end = index_of["\n"]
        if start is None:
            state, log_p = model.step(model.start(), np.array([index_of[alphabet.start_char]]))
            start = LmState(state, log_p[0])
        self.start = start
        self.reserve(1)

    def reserve(self, searches: int) -> None:
        """Make slots for a number of searches, all in the initial state."""
        if self.model is not None:
            self.states = self.start.state.select([0] * searches * self.slots)
            self.log_p = np.tile(np.asarray(self.start.log_p, np.float64), (searches, self.slots, 1))
        else:
            self.log_p = np.zeros((searches, 1, 1))

    def read(self, unread: Sequence[Unread]) -> None:
        """Read the last symbols of prefixes, in one step of the model."""
        before, symbols, after = list[Ints](), list[Ints](), list[Ints]()
        for place, links, nodes, is_needed in unread:
            reading = nodes[is_needed & (links[nodes, UNREAD] != NONE)]
            is_free, first = np.ones(self.slots, np.bool_), place * self.slots
            is_free[links[nodes, SLOT]] = False
            slots = np.flatnonzero(is_free)[: len(reading)]
            before.append(links[reading, SLOT] + first)
            symbols.append(links[reading, UNREAD])
            after.append(slots + first)
            links[reading, SLOT], links[reading, UNREAD] = slots, NONE
        rows = np.concatenate(after)
        if self.model is not None and len(rows):
            states, log_p = self.model.step(self.states.select(np.concatenate(before)), np.concatenate(symbols))
            self.states.set_rows(rows, states)
            self.log_p.reshape(-1, self.log_p.shape[-1])[rows] = log_p

    def state(self, place: int, slot: int) -> LmState | None:
        """Return the contents of a slot of a search."""
        if self.model is None:
            return None
        return LmState(self.states.select([place * self.slots + slot]), self.log_p[place, slot].copy())


def check_is_language_model(model: Any) -> None:
    """Check an argument that must be a language model."""
    try:
        attrgetter("start", "step", "alphabet.characters", "alphabet.start_char")(model)
    except AttributeError as error:
        remedy = "pass elman.load(path), the model of a run, or any object that has it"
        given = f"a language model must have {error.name} (got {type(model).__name__})"
        raise ElmanError(f"{given}: {remedy}") from None


def warn_of_unknown(model: LanguageModel, texts: Sequence[str]) -> None:
    """Warn if the model does not know many of the symbols; special symbols such as ``<s>`` are not counted."""
    characters, counted = {*model.alphabet.characters}, [each for each in texts if each and not SPECIAL.fullmatch(each)]
    unknown = [text for text in counted if text not in characters]
    if len(unknown) > MAX_UNKNOWN * len(counted):
        remedy = "leave out their columns, and pass from_logits=True"
        if any(text.swapcase() in characters for text in unknown):
            remedy = "pass them in the letter case of the model"
        elif any(len(text) > 1 for text in unknown):
            remedy = "a model of characters does not know symbols of several characters"
        given = f"{len(unknown)} of the {len(counted)} symbols, such as {quote(unknown[0])}"
        warnings.warn(f"the language model does not know {given}: {remedy}", UserWarning, stacklevel=5)


def read_texts(lm: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Return log p_lm of each text."""
    characters = sorted({*"".join(texts)})
    index_of, n = {character: k for k, character in enumerate(characters)}, len(texts)
    reader = Reader(lm, characters, 1, None)
    states, log_p, total = reader.states.select([0] * n), np.repeat(reader.log_p[0, :1], n, axis=0), np.zeros(n)
    for t in range(max(map(len, texts), default=0)):
        rows = np.array([row for row, text in enumerate(texts) if t < len(text)])
        x = reader.index[[index_of[texts[row][t]] for row in rows.tolist()]]
        total[rows] += np.where(x >= 0, log_p[rows, x], reader.unknown)
        rows, x = rows[x >= 0], x[x >= 0]
        if len(rows):
            after, log_p[rows] = lm.step(states.select(rows), x)
            states.set_rows(rows, after)
    if reader.end != NONE:
        total += log_p[:, reader.end]
    return [*map(float, total)]
