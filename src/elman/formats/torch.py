"""A PyTorch state dict in safetensors, for a module with a recurrent and a linear submodule; written without PyTorch.

The recurrent submodule is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose gates have the same order as Elman's. It has two
biases where Elman has one, so the recurrent bias is zero except for the third block of a GRU, which is d. An n-gram
prior is a third submodule, ``ngram``, with the parameter ``alpha`` and the arrays of its table as the buffers
``table_strings``, …, see `elman.ngram.model`; a module cannot have a buffer ``children``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import ElmanError
from elman.formats.contents import (
    METADATA_KEY,
    check_arrays,
    export_metadata,
    parse_metadata,
    read_context_length,
    recurrent_bias,
    restore_snapshot,
)
from elman.formats.format import Format, ModelInfo
from elman.model import Model
from elman.network.cells import CELLS
from elman.network.parameters import Architecture, Array, Parameters, layer, suffix
from elman.ngram.model import PREFIX, ngram_tensors, pop_ngram_tensors
from elman.runs.snapshot import Snapshot
from elman.text import Alphabet

_CELLS = ("rnn", "gru", "lstm")
"""Cells for which PyTorch has a module with the same equations and order of gates; d is in its recurrent bias."""
RECURRENT, LINEAR = "rnn.", "linear."
"""Prefixes of the two submodules in exported files; files of other programs may have other prefixes."""
ALPHA, TABLE = "ngram.alpha", "ngram.table_"
"""The name of the prior's weights, and the prefix of the arrays of its table."""

_NAME = re.compile(r"(.*\.|)(?:weight|bias)(_(?:ih|hh)_l[0-9]+)?")


def write(model: Model, _: ModelInfo) -> bytes:
    """Return the bytes of a file."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict(model.parameters).items()}
    return save(arrays, {METADATA_KEY: json.dumps(export_metadata(model))})


def state_dict(parameters: Parameters) -> dict[str, Array]:
    """Return the arrays of the PyTorch module's state dict."""
    net = parameters.architecture
    result = {name: parameters[parameter] for name, parameter in _parameter_names(net, RECURRENT, LINEAR).items()}
    result |= {f"{RECURRENT}bias_hh_l{n}": recurrent_bias(net, layer(parameters, n + 1)) for n in range(net.layers)}
    return result | ngram_tensors(parameters.ngrams, TABLE)


def read(path: Path, alphabet: Alphabet | None) -> Snapshot:
    """Return the network in an untrusted file."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = parse_metadata((file.metadata() or {}).get(METADATA_KEY, ""))
        arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    table = pop_ngram_tensors(arrays, TABLE) if read_context_length(metadata) else {}
    recurrent, linear = _find_prefixes(arrays.keys() - ({ALPHA} if read_context_length(metadata) else set()))
    layers = sum(name.startswith(recurrent + "weight_hh_l") for name in arrays)
    W, V = (arrays[name].shape for name in (recurrent + "weight_hh_l0", linear + "weight"))
    net = _infer_architecture(W, V, layers, metadata)
    names, shapes = _parameter_names(net, recurrent, linear), net.shapes()
    second_biases = {f"{recurrent}bias_hh_l{n}": "b" + suffix(n + 1) for n in range(net.layers)}
    check_arrays(arrays, {name: shapes[parameter] for name, parameter in (names | second_biases).items()})
    parameters = {parameter: arrays[name] for name, parameter in names.items()}
    for name, b in second_biases.items():
        _add_recurrent_bias(net, parameters, b, arrays[name])
    ngrams = {PREFIX + name.removeprefix(TABLE): array for name, array in table.items()}
    return restore_snapshot(metadata, net, parameters, ngrams, alphabet)


def _add_recurrent_bias(net: Architecture, parameters: dict[str, Array], b: str, bias: Array) -> None:
    """Add the recurrent bias of a layer to the bias b of its parameters, because only the sum matters, except for d."""
    number = b[1:]
    if "d" in net.spec.extra_biases:
        parameters["d" + number] = bias[-net.m :]
        bias = np.concatenate([bias[: -net.m], np.zeros(net.m, bias.dtype)])
    with np.errstate(over="ignore"):
        parameters[b] = parameters[b] + bias
    if not np.isfinite(parameters[b]).all():
        raise ElmanError(f"the sum of the two biases of layer {number or 1} exceeds the range of {bias.dtype}")


def _parameter_names(net: Architecture, recurrent: str, linear: str) -> dict[str, str]:
    """Return Elman's name of every array, except for the recurrent bias, given the prefixes of the submodules."""
    names = {linear + "weight": "V", linear + "bias": "c"} | ({ALPHA: "alpha"} if net.context_length else {})
    for n in range(net.layers):
        of_layer = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b"}
        names |= {f"{recurrent}{name}_l{n}": parameter + suffix(n + 1) for name, parameter in of_layer.items()}
    return names


def _infer_architecture(
    W: tuple[int, ...], V: tuple[int, ...], layers: int, metadata: Mapping[str, Any]
) -> Architecture:
    """Return the architecture of a network with hidden-to-hidden and hidden-to-output weights of these shapes."""
    # A file of another program has no metadata: its cell follows from the number of gates.
    match = len(W) == len(V) == 2 and W[1] == V[1] > 0
    cells = [cell for cell in _CELLS if match and W[0] == len(CELLS[cell].gates) * W[1]]
    if not cells:
        given = f"hidden-to-hidden weights of shape {W} and hidden-to-output weights of shape {V}"
        raise ElmanError(f"no network has {given}")
    claimed = [cell for cell in cells if cell == metadata.get("cell")] or cells
    if len(claimed) > 1:
        raise ElmanError(f"its arrays fit the cells {', '.join(claimed)}, and no metadata says which it has")
    net = Architecture(V[0], V[1], claimed[0], layers, read_context_length(metadata))
    for claim, value in {"cell": net.cell, "layers": net.layers, "hidden_size": net.m}.items():
        if metadata.get(claim, value) != value:
            raise ElmanError(f"its metadata says {claim} = {metadata[claim]}, but its arrays say {value}")
    return net


def _find_prefixes(names: Collection[str]) -> tuple[str, str]:
    matches = {name: _NAME.fullmatch(name) for name in names}
    if unexpected := [name for name, match in matches.items() if match is None]:
        raise ElmanError(f"unexpected array {unexpected[0]}")
    found = list[str]()
    for kind, example in (("recurrent", "weight_hh_l0"), ("linear", "weight")):
        prefixes = {match[1] for match in matches.values() if match and bool(match[2]) == (kind == "recurrent")}
        if len(prefixes) != 1:
            raise ElmanError(f"exactly one {kind} module with arrays such as {example} is needed (got {len(prefixes)})")
        found += prefixes
        if (name := found[-1] + example) not in names:
            raise ElmanError(f"the array {name} is missing")
    return found[0], found[1]


FORMAT = Format(".safetensors", "PyTorch state dict in safetensors", write, read, cells=_CELLS, lacks=("counts",))
