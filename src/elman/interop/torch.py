"""A PyTorch state dict in safetensors, for a module with a recurrent and a linear submodule; written without PyTorch.

The recurrent submodule is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose gates have the same order as Elman's. It has two
biases where Elman has one, so the recurrent bias is zero except for the third block of a GRU, which is d. An n-gram
prior is a third submodule, ``ngram``, with the parameter ``alpha`` and the counted text as the buffer ``text``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import ElmanError
from elman.inference import Model
from elman.interop.contents import (
    METADATA_KEY,
    NGRAM_ALPHA,
    NGRAM_TEXT,
    Contents,
    check_arrays,
    export_metadata,
    parameter_shapes,
    parse_metadata,
    portable_indices,
    read_order,
    recurrent_bias,
)
from elman.network.cells import CELLS
from elman.network.parameters import Architecture, Array, Arrays, Parameters, architecture, layer, suffix

SUFFIX = ".safetensors"
HELP = "a PyTorch state dict in safetensors"

RECURRENT, LINEAR = "rnn.", "linear."
"""Prefixes of the two submodules in exported files; files of other programs may have others."""

_RECURRENT_NAME = re.compile(r"(.*\.|)(?:weight|bias)_(?:ih|hh)_l[0-9]+")
_LINEAR_NAME = re.compile(r"(.*\.|)(?:weight|bias)")


def write(model: Model) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ElmanError
        If PyTorch has no module for the cell.
    """
    architecture(model.parameters).spec.require_export("torch")
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict(model.parameters).items()}
    return save(arrays, {METADATA_KEY: json.dumps(export_metadata(model))})


def state_dict(parameters: Parameters) -> dict[str, Array]:
    """Return the arrays of the PyTorch module's state dict."""
    net = architecture(parameters)
    result: dict[str, Array] = {}
    for n in range(net.layers):
        of_layer = layer(parameters, n + 1)
        bias = recurrent_bias(net, of_layer)
        arrays = {"weight_ih": of_layer["U"], "weight_hh": of_layer["W"], "bias_ih": of_layer["b"], "bias_hh": bias}
        result |= {f"{RECURRENT}{name}_l{n}": array for name, array in arrays.items()}
    result |= {LINEAR + "weight": parameters["V"], LINEAR + "bias": parameters["c"]}
    if parameters.ngrams is not None:
        result |= {NGRAM_ALPHA: parameters["alpha"], NGRAM_TEXT: portable_indices(parameters.ngrams)}
    return result


def read(path: Path) -> Contents:
    """Return what an untrusted file contains.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError, AttributeError, SafetensorError
        If the file is invalid.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = parse_metadata((file.metadata() or {}).get(METADATA_KEY, ""))
        arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recurrent, linear = _find_prefixes(arrays.keys() - ({NGRAM_ALPHA, NGRAM_TEXT} if read_order(metadata) else set()))
    layers = sum(name.startswith(recurrent + "weight_hh_l") for name in arrays)
    W, V = (arrays[name].shape for name in (recurrent + "weight_hh_l0", linear + "weight"))
    net = _infer_architecture(W, V, layers, metadata)
    text = arrays.pop(NGRAM_TEXT, None) if net.order else None
    check_arrays(arrays, _expected_shapes(net, recurrent, linear))
    return Contents(metadata, net, _parameters(arrays, net, recurrent, linear), text)


def _infer_architecture(
    W: tuple[int, ...], V: tuple[int, ...], layers: int, metadata: Mapping[str, Any]
) -> Architecture:
    """Return the architecture of a network with hidden-to-hidden and hidden-to-output weights of these shapes.

    A file of another program has no metadata: its cell is the one whose number of gates fits.
    """
    if not (len(W) == len(V) == 2 and W[1] == V[1] > 0):
        cells = []
    else:
        cells = [spec.name for spec in CELLS.values() if spec.torch and W[0] == len(spec.gates) * W[1]]
    if not cells:
        raise ElmanError(
            f"no network has hidden-to-hidden weights of shape {W} and hidden-to-output weights of shape {V}"
        )
    claimed = [cell for cell in cells if cell == metadata.get("cell")] or cells
    if len(claimed) > 1:
        raise ElmanError(f"its arrays fit the cells {', '.join(claimed)}, and no metadata says which it has")
    net = Architecture(claimed[0], layers, V[0], V[1], read_order(metadata))
    for claim, value in {"cell": net.cell, "layers": net.layers, "hidden_size": net.m}.items():
        if metadata.get(claim, value) != value:
            raise ElmanError(f"its metadata says {claim} = {metadata[claim]}, but its arrays have {value}")
    return net


def _find_prefixes(names: Collection[str]) -> tuple[str, str]:
    """Return the prefixes of the recurrent and of the linear submodule."""
    recurrent, linear = set[str](), set[str]()
    for name in names:
        if match := _RECURRENT_NAME.fullmatch(name):
            recurrent.add(match[1])
        elif match := _LINEAR_NAME.fullmatch(name):
            linear.add(match[1])
        else:
            raise ElmanError(f"unexpected array {name}")
    for kind, prefixes, example in (("recurrent", recurrent, "weight_hh_l0"), ("linear", linear, "weight")):
        if len(prefixes) != 1:
            raise ElmanError(f"exactly one {kind} module with arrays such as {example} is needed (got {len(prefixes)})")
    recurrent_prefix, linear_prefix = recurrent.pop(), linear.pop()
    for name in (recurrent_prefix + "weight_hh_l0", linear_prefix + "weight"):
        if name not in names:
            raise ElmanError(f"the array {name} is missing")
    return recurrent_prefix, linear_prefix


def _expected_shapes(net: Architecture, recurrent: str, linear: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array."""
    by_parameter = parameter_shapes(net)
    expected = {linear + "weight": by_parameter["V"], linear + "bias": by_parameter["c"]}
    if net.order:
        expected[NGRAM_ALPHA] = by_parameter["alpha"]
    parameter_of = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b", "bias_hh": "b"}
    for n in range(net.layers):
        expected |= {
            f"{recurrent}{name}_l{n}": by_parameter[parameter + suffix(n + 1)]
            for name, parameter in parameter_of.items()
        }
    return expected


def _parameters(arrays: dict[str, Array], net: Architecture, recurrent: str, linear: str) -> Arrays:
    """Return Elman's parameters. Where only the sum of the two biases matters, it becomes b."""
    parameters: Arrays = {"V": arrays[linear + "weight"], "c": arrays[linear + "bias"]}
    if net.order:
        parameters["alpha"] = arrays[NGRAM_ALPHA]
    for n in range(net.layers):
        U, W, b_input, b_recurrent = (
            arrays[f"{recurrent}{name}_l{n}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if "d" in net.spec.extra_biases:
            parameters["d" + suffix(n + 1)] = b_recurrent[-net.m :]
            b_recurrent = np.concatenate([b_recurrent[: -net.m], np.zeros(net.m, b_recurrent.dtype)])
        with np.errstate(over="ignore"):
            b = b_input + b_recurrent
        if not np.isfinite(b).all():
            raise ElmanError(f"the sum of the two biases of layer {n + 1} exceeds the range of {b.dtype}")
        parameters |= {"U" + suffix(n + 1): U, "W" + suffix(n + 1): W, "b" + suffix(n + 1): b}
    return parameters
