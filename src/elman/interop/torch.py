"""A PyTorch state dict in safetensors, for a module of a recurrent part and a linear one; written without PyTorch.

The recurrent part is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, and PyTorch's order of the gates is Elman's. It has two
biases where Elman has one, so the second is zero but for the third block of GRU's, which is d.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.interop.metadata import (
    ABOUT,
    describe,
    model_of,
    read_description,
)
from elman.interop.validation import architecture_of, check_arrays, second_bias
from elman.network.parameters import Architecture, Array, Parameters, architecture, layer, shapes, suffix
from elman.text import Alphabet

RECURRENT, LINEAR = "rnn.", "linear."
"""What the names of the two parts begin with in a file of Elman's; in another's they may begin otherwise."""

_OF_RECURRENT = re.compile(r"(.*\.|)(?:weight|bias)_(?:ih|hh)_l[0-9]+")
_OF_LINEAR = re.compile(r"(.*\.|)(?:weight|bias)")


def write(model: Model) -> bytes:
    """Return the file's bytes; its metadata holds the description."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict(model.parameters).items()}
    return save(arrays, {ABOUT: json.dumps(describe(model))})


def state_dict(parameters: Parameters) -> dict[str, Array]:
    """Return the arrays that PyTorch's module loads."""
    net = architecture(parameters)
    found: dict[str, Array] = {}
    for n in range(net.layers):
        of_layer = layer(parameters, n + 1)
        second = second_bias(net, of_layer)
        arrays = {"weight_ih": of_layer["U"], "weight_hh": of_layer["W"], "bias_ih": of_layer["b"], "bias_hh": second}
        found |= {f"{RECURRENT}{name}_l{n}": array for name, array in arrays.items()}
    return found | {LINEAR + "weight": parameters["V"], LINEAR + "bias": parameters["c"]}


def read(path: Path, alphabet: Alphabet | None, engine: Engine) -> Model:
    """Return the network of a file, which may be a stranger's.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError, AttributeError, SafetensorError
        If it holds none.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = read_description((file.metadata() or {}).get(ABOUT, ""))
        arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    recurrent, linear = _parts(arrays)
    layers = sum(name.startswith(recurrent + "weight_hh_l") for name in arrays)
    W, V = (arrays[name].shape for name in (recurrent + "weight_hh_l0", linear + "weight"))
    net = architecture_of(W, V, layers)
    check_arrays(arrays, _wanted(net, recurrent, linear))
    return model_of(about, net, _parameters(arrays, net, recurrent, linear), alphabet, engine)


def _parts(names: Iterable[str]) -> tuple[str, str]:
    """Return what the names of the recurrent part begin with, and those of the linear one."""
    recurrent, linear = set[str](), set[str]()
    for name in names:
        if found := _OF_RECURRENT.fullmatch(name):
            recurrent.add(found[1])
        elif found := _OF_LINEAR.fullmatch(name):
            linear.add(found[1])
        else:
            raise ElmanError(f"there is no use for the array {name}")
    for part, found_as, example in (("recurrent", recurrent, "weight_hh_l0"), ("linear", linear, "weight")):
        if len(found_as) != 1:
            raise ElmanError(f"one {part} part with arrays such as {example} is needed, and {len(found_as)} are there")
    recurrent_name, linear_name = recurrent.pop(), linear.pop()
    for name in (recurrent_name + "weight_hh_l0", linear_name + "weight"):
        if name not in names:
            raise ElmanError(f"the array {name} is missing")
    return recurrent_name, linear_name


def _wanted(net: Architecture, recurrent: str, linear: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array."""
    ours = shapes(net.K, net.m, net.cell, net.layers)
    wanted = {linear + "weight": ours["V"], linear + "bias": ours["c"]}
    theirs = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b", "bias_hh": "b"}
    for n in range(net.layers):
        wanted |= {f"{recurrent}{name}_l{n}": ours[our + suffix(n + 1)] for name, our in theirs.items()}
    return wanted


def _parameters(arrays: dict[str, Array], net: Architecture, recurrent: str, linear: str) -> Parameters:
    """Return Elman's parameters. Where only the sum of the two biases counts, b is that sum."""
    found: Parameters = {"V": arrays[linear + "weight"], "c": arrays[linear + "bias"]}
    for n in range(net.layers):
        U, W, first, second = (
            arrays[f"{recurrent}{name}_l{n}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if net.cell == "gru":
            found["d" + suffix(n + 1)] = second[-net.m :]
            second = np.concatenate([second[: -net.m], np.zeros(net.m, second.dtype)])
        with np.errstate(over="ignore"):
            b = first + second
        if not np.isfinite(b).all():
            raise ElmanError(f"the two biases of layer {n + 1} add up to more than {b.dtype} holds")
        found |= {"U" + suffix(n + 1): U, "W" + suffix(n + 1): W, "b" + suffix(n + 1): b}
    return found
