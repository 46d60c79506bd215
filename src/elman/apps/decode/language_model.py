"""What a search asks of a language model: its protocol, and the states of the prefixes that it has read."""

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
"""The part of the symbols that a model may not know without a warning."""


class LanguageModel(Protocol):
    """What is used as a language model: an `elman.Model`, or any other object of this form.

    `alphabet` has `characters` and `start_char`, as `elman.text.Alphabet` has them, and may have `has_unknown`. A true
    `is_of_lines`, which may be missing, says that the model predicts a line feed at the end of a text. The states of n
    sequences have `select`, a method of a list of rows, and `replace_rows`, of a list of rows and their new states.
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
    """Its state, of one sequence."""
    log_p: Array
    """The log-probability of every next character, (K,), in nats."""


class Reader:
    """A model, and its states after the prefixes that it has read; each is in a slot that rows of the beam refer to."""

    def __init__(self, model: LanguageModel | None, texts: Sequence[str], width: int, start: LmState | None) -> None:
        self.model, self.end = model, NONE
        self.index: Ints = np.full(len(texts), FREE, np.int64)
        """The model's index of each symbol."""
        self.unknown = 0.0
        """log p of a symbol that the model does not know."""
        self.log_p = np.zeros((1, 1))
        """The log-probability of every next character in each slot, (slots, K)."""
        if model is None:
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
        self.states = start.state.select([0] * 2 * width)  # as many are in use as are read in a step
        self.log_p = np.tile(np.asarray(start.log_p, np.float64), (2 * width, 1))

    def read(self, links: NDArray[np.int32], nodes: Ints, is_needed: NDArray[np.bool_]) -> None:
        """Read the last symbols of some of the nodes in the beam, of which `links` are the columns."""
        reading = nodes[is_needed & (links[nodes, UNREAD] != NONE)]
        if self.model is not None and len(reading):
            is_free = np.ones(len(self.log_p), np.bool_)
            is_free[links[nodes, SLOT]] = False
            slots = np.flatnonzero(is_free)[: len(reading)]
            states, log_p = self.model.step(self.states.select(links[reading, SLOT]), links[reading, UNREAD])
            self.states, self.log_p[slots] = self.states.replace_rows(slots, states), log_p
            links[reading, SLOT], links[reading, UNREAD] = slots, NONE

    def state(self, slot: int) -> LmState | None:
        """Return what is in a slot."""
        return None if self.model is None else LmState(self.states.select([slot]), self.log_p[slot].copy())


def check_is_language_model(model: Any) -> None:
    """Check an argument that must be a language model."""
    try:
        attrgetter("start", "step", "alphabet.characters", "alphabet.start_char")(model)
    except AttributeError as error:
        remedy = "pass elman.load(path), the model of a run, or any object that has it"
        given = f"a language model must have {error.name} (got {type(model).__name__})"
        raise ElmanError(f"{given}: {remedy}") from None


def warn_of_unknown(model: LanguageModel, texts: Sequence[str]) -> None:
    """Warn if the model does not know many of the symbols, of which special ones such as ``<s>`` are not counted."""
    characters, counted = {*model.alphabet.characters}, [each for each in texts if each and not SPECIAL.fullmatch(each)]
    unknown = [text for text in counted if text not in characters]
    if len(unknown) > MAX_UNKNOWN * len(counted):
        remedy = "leave out their columns, and pass from_logits=True"
        if any(text.swapcase() in characters for text in unknown):
            remedy = "pass them in the letter case of the model"
        elif any(len(text) > 1 for text in unknown):
            remedy = "a model of characters takes a symbol of several for one that it does not know"
        given = f"{len(unknown)} of the {len(counted)} symbols, such as {quote(unknown[0])}"
        warnings.warn(f"the language model does not know {given}: {remedy}", UserWarning, stacklevel=4)


def read_texts(lm: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Return log p_lm of each text."""
    characters = sorted({*"".join(texts)})
    index_of, n = {character: k for k, character in enumerate(characters)}, len(texts)
    reader = Reader(lm, characters, 1, None)
    states, log_p, total = reader.states.select([0] * n), np.repeat(reader.log_p[:1], n, axis=0), np.zeros(n)
    for t in range(max(map(len, texts), default=0)):
        rows = np.array([row for row, text in enumerate(texts) if t < len(text)])
        x = reader.index[[index_of[texts[row][t]] for row in rows.tolist()]]
        total[rows] += np.where(x >= 0, log_p[rows, x], reader.unknown)
        rows, x = rows[x >= 0], x[x >= 0]
        if len(rows):
            after, log_p[rows] = lm.step(states.select(rows), x)
            states = states.replace_rows(rows, after)
    if reader.end != NONE:
        total += log_p[:, reader.end]
    return [*map(float, total)]
