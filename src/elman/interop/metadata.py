"""What every exported file says of its network in JSON, and how that is held against the arrays beside it.

K  size of the alphabet         L  layers
m  hidden units of a layer      D  numbers in the state, see `elman.network.parameters`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.network.parameters import Architecture, Array, Parameters, architecture, shapes
from elman.storage.untrusted import count, figure, strict_json, text
from elman.text import Alphabet

FORMAT = 1

ABOUT = "elman"
"""The name under which each format keeps the description."""

STATE = ("h0", "s0")
"""What the two parts of a state are called by ONNX's inputs and in the description."""


def describe(model: Model) -> dict[str, Any]:
    """Return what an exported file says of a network: which it is, its characters, and the state it begins with."""
    net = architecture(model.parameters)
    return {
        "format": FORMAT,
        "cell": net.cell,
        "layers": net.layers,
        "hidden_size": net.m,
        "alphabet": model.alphabet.characters,
        "folds": model.alphabet.folds,
        "state": {name: rows.tolist() for name, rows in stacked(net, model.h).items()},
    }


def stacked(net: Architecture, h: Array) -> dict[str, Array]:
    """Return the state (D,) as others keep it: of every layer h, and for lstm of every layer s, each (L, m)."""
    parts = h.reshape(net.layers, net.state_vectors, net.m)
    return {name: parts[:, n] for n, name in enumerate(STATE[: net.state_vectors])}


def read_description(json_text: str) -> dict[str, Any]:
    """Return what a file says of itself; nothing, where it says nothing.

    Raises
    ------
    ElmanError, ValueError
        If that is no description, or one of another format.
    """
    about = strict_json(json_text) if json_text else {}
    if type(about) is not dict:
        raise ElmanError("its description is no object of JSON")
    if "config" in about:
        raise ElmanError("it is a checkpoint of elman train, which every command takes as it is")
    if count(about.get("format", FORMAT), "format") != FORMAT:
        raise ElmanError(f"it is of format {about['format']}, and this Elman reads {FORMAT}")
    return about


def model_of(
    about: Mapping[str, Any], net: Architecture, parameters: Parameters, given: Alphabet | None, engine: Engine
) -> Model:
    """Return the network of arrays that were checked and of the description beside them.

    Raises
    ------
    ElmanError, ValueError, TypeError, AttributeError
        If the description is of another network.
    """
    _check_claims(about, net)
    # Copies: what was read may be of another order in memory, or not to be written to.
    parameters = {name: np.array(parameters[name], order="C") for name in shapes(net.K, net.m, net.cell, net.layers)}
    return Model(_alphabet(about, given, net), parameters, _state(about, net, parameters["W"].dtype), engine)


def _check_claims(about: Mapping[str, Any], net: Architecture) -> None:
    for claim, value in {"cell": net.cell, "layers": net.layers, "hidden_size": net.m}.items():
        if claim in about and about[claim] != value:
            raise ElmanError(f"its {claim} is said to be {about[claim]}, and its arrays have {value}")


def _alphabet(about: Mapping[str, Any], given: Alphabet | None, net: Architecture) -> Alphabet:
    """Return the alphabet: the one that was given, or else the file's own."""
    if given is None and "alphabet" not in about:
        raise ElmanError(f"it does not say its {net.K} characters: give them by --alphabet")
    alphabet = given or Alphabet(text(about["alphabet"], "alphabet"), folds=_flag(about.get("folds", False), "folds"))
    if len(alphabet) != net.K:
        raise ElmanError(f"the alphabet has {len(alphabet)} characters, and the network reads {net.K}")
    return alphabet


def _state(about: Mapping[str, Any], net: Architecture, dtype: np.dtype[Any]) -> Array:
    """Return the state (D,) to begin with: zero, where the file says none."""
    if "state" not in about:
        return np.zeros(net.state_size, dtype)
    names = STATE[: net.state_vectors]
    state = {name: np.array([[figure(x, name) for x in row] for row in rows]) for name, rows in about["state"].items()}
    if {name: array.shape for name, array in state.items()} != dict.fromkeys(names, (net.layers, net.m)):
        raise ElmanError(f"its state is not {' and '.join(names)}, each of {net.layers} rows of {net.m} numbers")
    with np.errstate(over="ignore"):
        h = np.stack([state[name] for name in names], axis=1).reshape(-1).astype(dtype)
    if not np.isfinite(h).all():
        raise ElmanError(f"its state is beyond {dtype}")
    return np.asarray(h)


def _flag(value: Any, what: str) -> bool:
    if type(value) is not bool:
        raise ElmanError(f"{what} is neither true nor false")
    return value
