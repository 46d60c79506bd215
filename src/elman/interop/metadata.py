"""The JSON metadata in every exported file, and the validation of metadata and arrays of untrusted files.

K  alphabet size                L  layers
m  hidden units per layer       D  size of the state, see `elman.network.parameters`
N  characters that an n-gram prior counted, whose text each format stores under the name `NGRAM_TEXT`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.network.cells import CELLS
from elman.network.cells.spec import CellSpec
from elman.network.ngram import MAX_ORDER, Indices, NgramModel
from elman.network.parameters import Architecture, Array, Arrays, Parameters, architecture, shapes
from elman.storage.untrusted import parse_strict_json, require_finite, require_int, require_str
from elman.text import Alphabet
from elman.text.lines import find_line_feed

FORMAT = 1

METADATA_KEY = "elman"
"""The key under which each format stores the metadata."""

NGRAM_KEY = "ngram"
"""The key of the n-gram prior's settings in the metadata."""
LINES_KEY = "lines"
"""The key in the metadata of a model of independent lines, whose state is set to zeros before every line feed."""
NGRAM_ALPHA, NGRAM_TEXT = "ngram.alpha", "ngram.text"
"""Names of the prior's weights, where a format does not have Elman's own names, and of the counted text."""


def initial_state_names(net: Architecture) -> tuple[str, ...]:
    """Return the names of the state vectors among the ONNX inputs and in the metadata: h0 and, for lstm, s0."""
    return tuple(f"{vector.symbol}0" for vector in net.spec.state)


def export_metadata(model: Model) -> dict[str, Any]:
    """Return the metadata of a model: its architecture, its characters, its initial state, and its n-gram prior."""
    net, ngrams = architecture(model.parameters), model.parameters.ngrams
    metadata = {
        "format": FORMAT,
        "cell": net.cell,
        "layers": net.layers,
        "hidden_size": net.m,
        "alphabet": model.alphabet.characters,
        "folds": model.alphabet.has_unknown,
        **({LINES_KEY: True} if model.is_of_lines else {}),
        "state": {name: rows.tolist() for name, rows in stack_state(net, model.h).items()},
    }
    if ngrams is None:
        return metadata
    history = np.rint(model.h[net.recurrent_size :]).astype(int).tolist()
    return metadata | {NGRAM_KEY: {"order": ngrams.order, "discount": ngrams.discount, "history": history}}


def stack_state(net: Architecture, h: Array) -> dict[str, Array]:
    """Return the recurrent part of the state (D,) stacked by layer: h and, for lstm, s, each (L, m)."""
    vectors = h[: net.recurrent_size].reshape(net.layers, net.state_vectors, net.m)
    return {name: vectors[:, n] for n, name in enumerate(initial_state_names(net))}


def parse_metadata(json_text: str) -> dict[str, Any]:
    """Parse the metadata of a file; an empty text gives an empty dictionary.

    Raises
    ------
    ElmanError, ValueError
        If it is not a JSON object, or has an unknown format.
    """
    metadata = parse_strict_json(json_text) if json_text else {}
    if type(metadata) is not dict:
        raise ElmanError("its metadata is not a JSON object")
    if "config" in metadata:
        raise ElmanError("it is a checkpoint written by elman train, which every command reads without import")
    if require_int(metadata.get("format", FORMAT), "format") != FORMAT:
        raise ElmanError(f"it has format {metadata['format']}; this version of Elman reads {FORMAT}")
    return metadata


def build_model(
    metadata: Mapping[str, Any],
    net: Architecture,
    arrays: Mapping[str, Array],
    given: Alphabet | None,
    engine: Engine,
    ngram_text: NDArray[Any] | None = None,
) -> Model:
    """Return the model of validated arrays and the metadata in the same file.

    Parameters
    ----------
    metadata : dict
    net : Architecture
    arrays : Arrays
        Under Elman's names.
    given : Alphabet or None
        Overrides the alphabet of the metadata.
    engine : Engine
    ngram_text : ndarray, shape (N,), optional
        The counted text, not validated; needed for a network with an n-gram prior.

    Raises
    ------
    ElmanError, ValueError, TypeError, AttributeError
        If the metadata does not match the arrays.
    """
    _check_claims(metadata, net)
    # Copies: the arrays read may have another memory order, or be read-only.
    copies = {name: np.array(arrays[name], order="C") for name in parameter_shapes(net)}
    alphabet = _alphabet(metadata, given, net)
    has_lines = _require_bool(metadata.get(LINES_KEY, False), LINES_KEY)
    reset_at = find_line_feed(alphabet) if has_lines else None
    ngrams = replace(_ngram_model(metadata, net, ngram_text), reset_at=reset_at) if net.order else None
    parameters = Parameters(net.cell, copies, ngrams, reset_at)
    return Model(alphabet, parameters, _state(metadata, net, parameters["W"].dtype), engine)


def parameter_shapes(net: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of a network."""
    return shapes(net.K, net.m, net.cell, net.layers, net.order)


def _ngram_model(metadata: Mapping[str, Any], net: Architecture, text: NDArray[Any] | None) -> NgramModel:
    """Return the n-gram model of a file. It has no folds, which only training needs."""
    if text is None:
        raise ElmanError(f"the array {NGRAM_TEXT} is missing")
    discount = require_finite(metadata[NGRAM_KEY]["discount"], "the discount")
    if not 0 <= discount < 1:
        raise ElmanError(f"the discount must be from 0 to below 1 (got {discount})")
    if text.ndim != 1 or text.dtype.kind not in "iu" or not len(text) or text.min() < 0 or text.max() >= net.K:
        raise ElmanError(f"{NGRAM_TEXT} must be a list of indices below {net.K}")
    indices: Indices = text.astype(np.min_scalar_type(net.K - 1))
    return NgramModel(indices, net.K, net.order, discount, folds=0)


def portable_indices(ngrams: NgramModel) -> NDArray[Any]:
    """Return the counted text in a type that other programs have: uint8, or int32 for more than 256 characters."""
    return ngrams.text.astype(np.uint8 if ngrams.K <= 256 else np.int32)


def _check_claims(metadata: Mapping[str, Any], net: Architecture) -> None:
    for claim, value in {"cell": net.cell, "layers": net.layers, "hidden_size": net.m}.items():
        if claim in metadata and metadata[claim] != value:
            raise ElmanError(f"its metadata says {claim} = {metadata[claim]}, but its arrays have {value}")


def _alphabet(metadata: Mapping[str, Any], given: Alphabet | None, net: Architecture) -> Alphabet:
    """Return the alphabet: the given one, or else that of the file."""
    if given is None and "alphabet" not in metadata:
        raise ElmanError(f"it does not contain its {net.K} characters: pass them with --alphabet")
    alphabet = given or Alphabet(
        require_str(metadata["alphabet"], "alphabet"), has_unknown=_require_bool(metadata.get("folds", False), "folds")
    )
    if len(alphabet) != net.K:
        raise ElmanError(f"the alphabet has {len(alphabet)} characters, but the network has {net.K}")
    return alphabet


def _state(metadata: Mapping[str, Any], net: Architecture, dtype: np.dtype[Any]) -> Array:
    """Return the initial state (D,): zeros where the file contains none."""
    return np.concatenate([_recurrent_state(metadata, net, dtype), _history(metadata, net).astype(dtype)])


def _history(metadata: Mapping[str, Any], net: Architecture) -> NDArray[Any]:
    """Return the last characters (n,) of the initial state, each as its index + 1."""
    if not net.order or "history" not in metadata[NGRAM_KEY]:
        return np.zeros(net.order)
    history = [require_int(code, "history", maximum=net.K) for code in metadata[NGRAM_KEY]["history"]]
    if len(history) != net.order:
        raise ElmanError(f"its history has {len(history)} characters, but its order is {net.order}")
    return np.array(history)


def check_history(h: Array, net: Architecture) -> None:
    """Check the characters in a state (D,).

    Raises
    ------
    ElmanError
        If one of them is no index + 1.
    """
    history = h[net.recurrent_size :]
    if not ((history >= 0) & (history <= net.K) & (history == np.rint(history))).all():
        raise ElmanError(f"the last {net.order} numbers of h must be integers from 0 to {net.K}")


def _recurrent_state(metadata: Mapping[str, Any], net: Architecture, dtype: np.dtype[Any]) -> Array:
    """Return the recurrent part of the initial state: zeros if the file contains none."""
    if "state" not in metadata:
        return np.zeros(net.recurrent_size, dtype)
    names = initial_state_names(net)
    state = {
        name: np.array([[require_finite(x, name) for x in row] for row in rows])
        for name, rows in metadata["state"].items()
    }
    if {name: array.shape for name, array in state.items()} != dict.fromkeys(names, (net.layers, net.m)):
        raise ElmanError(f"its state must have {' and '.join(names)}, each with {net.layers} rows of {net.m} numbers")
    with np.errstate(over="ignore"):
        h = np.stack([state[name] for name in names], axis=1).reshape(-1).astype(dtype)
    if not np.isfinite(h).all():
        raise ElmanError(f"its state exceeds the range of {dtype}")
    return np.asarray(h)


def _require_bool(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise ElmanError(f"{name} must be true or false")
    return value


DTYPES = ("float32", "float64")


def infer_architecture(
    W: tuple[int, ...],
    V: tuple[int, ...],
    layers: int,
    metadata: Mapping[str, Any],
    has_format: Callable[[CellSpec], object] = lambda _: True,
) -> Architecture:
    """Return the architecture of a network with W and V of these shapes.

    The cell is that of the metadata; a file of another program has none, so its cell is the one whose number of gates
    fits. `has_format` says which cells the format has. The order of an n-gram prior is that of the metadata, too.

    Raises
    ------
    ElmanError
        If no network has these shapes, or networks with several cells do.
    """
    if len(W) == len(V) == 2 and W[1] == V[1] > 0:
        cells = [spec.name for spec in CELLS.values() if W[0] == len(spec.gates) * W[1] and has_format(spec)]
        claimed = [cell for cell in cells if cell == metadata.get("cell")] or cells
        if len(claimed) > 1:
            raise ElmanError(f"its arrays fit the cells {', '.join(claimed)}, and no metadata says which it has")
        if claimed:
            return Architecture(claimed[0], layers, V[0], V[1], infer_order(metadata))
    raise ElmanError(f"no network has hidden-to-hidden weights of shape {W} and hidden-to-output weights of shape {V}")


def infer_order(metadata: Mapping[str, Any]) -> int:
    """Return the order of the n-gram prior in the metadata; 0 if there is none.

    Raises
    ------
    ValueError, LookupError, TypeError
        If it is invalid.
    """
    if NGRAM_KEY not in metadata:
        return 0
    return require_int(metadata[NGRAM_KEY]["order"], "the order", minimum=1, maximum=MAX_ORDER)


def check_arrays(arrays: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays have the expected names and shapes, one common dtype, and finite values.

    Raises
    ------
    ElmanError
        If an array is missing or unexpected, has another shape or dtype, or contains NaN or infinity.
    """
    for name, shape in expected.items():
        if name not in arrays:
            raise ElmanError(f"the array {name} is missing")
        if arrays[name].shape != shape:
            raise ElmanError(f"{name} has shape {arrays[name].shape}, but {shape} is needed to match the other arrays")
    if arrays.keys() != expected.keys():
        raise ElmanError(f"unexpected array {min(arrays.keys() - expected.keys())}")
    dtypes = {str(array.dtype) for array in arrays.values()}
    if len(dtypes) > 1 or dtypes.isdisjoint(DTYPES):
        raise ElmanError(f"its arrays must be all {' or all '.join(DTYPES)} (got {' and '.join(sorted(dtypes))})")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ElmanError(f"{name} contains NaN or infinity")


def recurrent_bias(net: Architecture, layer: Arrays) -> Array:
    """Return the bias that other frameworks add to W h: zeros, but d in the last block of gru."""
    bias = np.zeros_like(layer["b"])
    if "d" in layer:
        bias[-net.m :] = layer["d"]
    return bias
