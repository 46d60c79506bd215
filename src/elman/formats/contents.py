"""The contents of every exported file, and their validation: arrays, JSON metadata, and an n-gram prior's table.

K  alphabet size                L  layers
m  hidden units per layer       S  size of the recurrent state, see `elman.network.state`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError, option
from elman.model import Model
from elman.network.cells import CELLS
from elman.network.parameters import Architecture, Array, Arrays, Parameters
from elman.ngram.model import NgramModel, describe_ngrams, restore_ngrams
from elman.ngram.table import MAX_ORDER
from elman.runs.snapshot import METADATA_KEY as METADATA_KEY
from elman.runs.snapshot import Snapshot, infer_config
from elman.storage.files import parse_strict_json, require_finite, require_int, require_str
from elman.text import Alphabet
from elman.text.masks import Masker

FORMAT = 1

NGRAM_KEY = "ngram"  # the key of the description of the n-gram prior in the metadata
_LINES_KEY = "lines"
"""The key in the metadata of a model of independent lines, whose state is set to zeros before every line feed."""
_MASK_KEYS = ("mask", "mask_regex")  # the keys of its masks, see `elman.text.masks`
_DTYPES = ("float32", "float64")


def require_pruned(ngrams: NgramModel | None, include_text: bool) -> None:
    """Check that the training text cannot be read from an n-gram table, unless the caller allows it."""
    if ngrams is not None and ngrams.min_count < 2 and not include_text:
        ngrams.require_counts()
        table = "the n-gram table of this model is not pruned, so that its training text can be read from it"
        remedy = f"pass {option.include_text:True}, or train with {option.ngram_min_count:2}"
        raise ElmanError(f"{table} ({option.ngram_min_count:{ngrams.min_count}}): {remedy}")


def restore_snapshot(
    metadata: Mapping[str, Any],
    net: Architecture,
    arrays: Mapping[str, Array],
    ngrams: Mapping[str, NDArray[Any]],
    given_alphabet: Alphabet | None,
) -> Snapshot:
    """Return the network in a file whose `metadata` and `ngrams` were not validated.

    The initial state is the array ``h`` or in the metadata. A given alphabet overrides the alphabet of the metadata.
    """
    # The arrays are copied because they may be read-only or have another memory order.
    copies = {name: np.array(arrays[name], order="C") for name in net.shapes()}
    if given_alphabet is None and "alphabet" not in metadata:
        raise ElmanError(f"it does not contain its {net.K} characters: pass them with {option.alphabet}")
    alphabet = given_alphabet or Alphabet(
        require_str(metadata["alphabet"], "alphabet"), has_unknown=_require_bool(metadata, "folds")
    )
    if len(alphabet) != net.K:
        raise ElmanError(f"the alphabet has {len(alphabet)} characters, but the network has {net.K}")
    if _require_bool(metadata, _LINES_KEY):
        net = net.for_lines(alphabet)
    model = restore_ngrams(metadata[NGRAM_KEY], ngrams, net.ngram_spec) if net.context_length else None
    h = arrays["h"].copy() if "h" in arrays else _read_state(metadata, net, copies["V"].dtype)
    masks = [require_str(metadata.get(key, ""), key) for key in _MASK_KEYS]
    parameters, masker = Parameters(net, copies, model), Masker(*masks) if any(masks) else None
    return Snapshot(infer_config(alphabet, parameters, masker), alphabet, parameters, h)


def _read_state(metadata: Mapping[str, Any], net: Architecture, dtype: np.dtype[Any]) -> Array:
    """Return the initial state (S,) in the metadata; zeros if the file contains none."""
    if "state" not in metadata:
        return np.zeros(net.state_size, dtype)
    names = initial_state_names(net)
    given = metadata["state"].items()
    state = {name: np.array([[require_finite(x, name) for x in row] for row in rows]) for name, rows in given}
    if {name: array.shape for name, array in state.items()} != dict.fromkeys(names, (net.layers, net.m)):
        raise ElmanError(f"its state must have {' and '.join(names)}, each with {net.layers} rows of {net.m} numbers")
    with np.errstate(over="ignore"):
        h = np.stack([state[name] for name in names], axis=1).reshape(-1).astype(dtype)
    if not np.isfinite(h).all():
        raise ElmanError(f"its state exceeds the range of {dtype}")
    return h


def _require_bool(metadata: Mapping[str, Any], name: str) -> bool:
    value = metadata.get(name, False)
    if type(value) is not bool:
        raise ElmanError(f"{name} must be true or false")
    return value


def initial_state_names(net: Architecture) -> tuple[str, ...]:
    """Return the names of the state vectors among the ONNX inputs and in the metadata: h0 and, for lstm, s0."""
    return tuple(f"{vector.symbol}0" for vector in net.spec.state)


def export_metadata(model: Model) -> dict[str, Any]:
    """Return the metadata of a model: its architecture, its characters, its initial state, and its n-gram prior."""
    net, ngrams, masker = model.parameters.architecture, model.parameters.ngrams, model.masker
    vectors = model.state.recurrent.reshape(net.layers, net.state_vectors, net.m)
    metadata: dict[str, Any] = {"format": FORMAT, "cell": net.cell, "layers": net.layers, "hidden_size": net.m}
    metadata |= {"alphabet": model.alphabet.characters, "folds": model.alphabet.has_unknown}
    if model.is_of_lines:
        metadata[_LINES_KEY] = True
    if masker:
        metadata |= zip(_MASK_KEYS, (masker.names, masker.regex), strict=True)
    metadata["state"] = {name: vectors[:, n].tolist() for n, name in enumerate(initial_state_names(net))}
    return metadata | ({NGRAM_KEY: describe_prior(ngrams)} if ngrams else {})


def describe_prior(ngrams: NgramModel) -> dict[str, Any]:
    """Return the description of an n-gram prior."""
    return {"order": ngrams.order, **describe_ngrams(ngrams)}


# --- Reading; the functions raise ElmanError, ValueError, LookupError or TypeError if a file is invalid ---


def parse_metadata(json_text: str) -> dict[str, Any]:
    """Parse the metadata of a file, a JSON object; an empty text gives an empty dictionary."""
    metadata = parse_strict_json(json_text) if json_text else {}
    if type(metadata) is not dict:
        raise ElmanError("its metadata is not a JSON object")
    if "config" in metadata:
        raise ElmanError("it is a checkpoint written by elman train, which every command reads without import")
    if require_int(metadata.get("format", FORMAT), "format") != FORMAT:
        raise ElmanError(f"it has format {metadata['format']}; this version of Elman reads {FORMAT}")
    return metadata


def read_architecture(metadata: Mapping[str, Any], arrays: Arrays, axis: int = 0) -> Architecture:
    """Return the architecture of a file that Elman wrote: its metadata, and K from the array V, along an axis."""
    if "V" not in arrays:
        raise ElmanError("the array V is missing")
    if "cell" not in metadata:
        raise ElmanError("it has no metadata: only files written by elman export, and PyTorch state dicts, are read")
    cell = require_str(metadata["cell"], "cell")
    if cell not in CELLS:
        raise ElmanError(f"its cell {cell!r} is unknown")
    layers = require_int(metadata["layers"], "layers", minimum=1, maximum=len(arrays))
    m = require_int(metadata["hidden_size"], "hidden_size", minimum=0)
    return Architecture(arrays["V"].shape[axis], m, cell, layers, read_context_length(metadata))


def read_context_length(metadata: Mapping[str, Any]) -> int:
    """Return the length of the longest context of the n-gram prior in the metadata; 0 if there is no prior."""
    if NGRAM_KEY not in metadata:
        return 0
    return require_int(metadata[NGRAM_KEY]["order"], "the order", minimum=2, maximum=MAX_ORDER) - 1


def check_arrays(arrays: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays have the expected names and shapes, a common dtype, and finite values."""
    for name, shape in expected.items():
        if name not in arrays:
            raise ElmanError(f"the array {name} is missing")
        if arrays[name].shape != shape:
            raise ElmanError(f"{name} has shape {arrays[name].shape}, but {shape} is needed to match the other arrays")
    if arrays.keys() != expected.keys():
        raise ElmanError(f"unexpected array {min(arrays.keys() - expected.keys())}")
    dtypes = {str(array.dtype) for array in arrays.values()}
    if len(dtypes) > 1 or dtypes.isdisjoint(_DTYPES):
        raise ElmanError(f"its arrays must be all {' or all '.join(_DTYPES)} (got {' and '.join(sorted(dtypes))})")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ElmanError(f"{name} contains NaN or infinity")


def recurrent_bias(net: Architecture, layer: Arrays) -> Array:
    """Return the bias that other frameworks add to W h: zeros, except for d in the last block of gru."""
    bias = np.zeros_like(layer["b"])
    if "d" in layer:
        bias[-net.m :] = layer["d"]
    return bias
