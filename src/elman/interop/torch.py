"""A PyTorch state dict in safetensors, for a module with a recurrent and a linear submodule; written without PyTorch.

The recurrent submodule is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose gates have the same order as Elman's. It has two
biases where Elman has one, so the recurrent bias is zero except for the third block of a GRU, which is d. An n-gram
prior is a third submodule, ``ngram``, with the parameter ``alpha`` and the counted text as the buffer ``text``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.interop.metadata import (
    METADATA_KEY,
    NGRAM_ALPHA,
    NGRAM_TEXT,
    build_model,
    check_arrays,
    export_metadata,
    infer_architecture,
    infer_order,
    parameter_shapes,
    parse_metadata,
    portable_indices,
    recurrent_bias,
)
from elman.network.parameters import Architecture, Array, Arrays, Parameters, architecture, layer, suffix
from elman.text import Alphabet

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


def read(path: Path, alphabet: Alphabet | None, engine: Engine) -> Model:
    """Return the model in an untrusted file.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError, AttributeError, SafetensorError
        If the file is invalid.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = parse_metadata((file.metadata() or {}).get(METADATA_KEY, ""))
        arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recurrent, linear = _find_prefixes(arrays.keys() - ({NGRAM_ALPHA, NGRAM_TEXT} if infer_order(metadata) else set()))
    layers = sum(name.startswith(recurrent + "weight_hh_l") for name in arrays)
    W, V = (arrays[name].shape for name in (recurrent + "weight_hh_l0", linear + "weight"))
    net = infer_architecture(W, V, layers, metadata, lambda spec: spec.torch)
    text = arrays.pop(NGRAM_TEXT, None) if net.order else None
    check_arrays(arrays, _expected_shapes(net, recurrent, linear))
    return build_model(metadata, net, _parameters(arrays, net, recurrent, linear), alphabet, engine, text)


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
