"""ONNX, with its own operators RNN, GRU and LSTM, in float32: the state goes in and comes out.

T  characters read     B  texts read side by side     K  alphabet     L  layers     m  hidden units of a layer

Inputs are ``x`` (T, B), indices of characters, int64; ``h0`` and, for lstm, ``s0``, both (L, B, m). Outputs are
``logits`` (T, B, K) and the states behind the last character, ``h`` and ``s``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman._version import __version__
from elman.engine import Engine
from elman.errors import ElmanError, require_extra
from elman.inference import Model
from elman.interop.metadata import (
    ABOUT,
    STATE,
    describe,
    model_of,
    read_description,
)
from elman.interop.validation import architecture_of, check_arrays, second_bias
from elman.network.parameters import Architecture, Array, Parameters, architecture, layer, suffix
from elman.text import Alphabet

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

OPSET, IR_VERSION = 11, 6
"""Those of ONNX 1.6, of 2019. Runtimes go on reading old ones, and an old runtime reads no new one."""

LARGEST = 2**31 - 2**24
"""Bytes of weights at most: a file of protobuf has less than 2**31, and some are for what else it says."""

_OURS = {"rnn": "n", "gru": "rzn", "lstm": "ifgo"}
_THEIRS = {"rnn": "n", "gru": "zrn", "lstm": "iofg"}
"""The orders of the gates. What is n here is h in ONNX's GRU, and g here is c in its LSTM."""

_SAYS = """A character-level network of Elman. x (T, B) are indices of characters, h0 and s0 (L, B, m) the state before
them, h and s that behind them, and logits (T, B, K) say after each which comes next. The metadata under "elman" is
JSON: the alphabet, and the state in which training ended."""


def write(model: Model) -> bytes:
    """Return the file's bytes; its metadata holds the description.

    Raises
    ------
    ElmanError
        If the library is missing, a weight is beyond float32, or all of them are beyond what a file holds.
    """
    size = np.dtype(np.float32).itemsize * sum(array.size for array in model.parameters.values())
    if size > LARGEST:
        raise ElmanError(f"its {size:,} bytes of weights are more than a file of ONNX holds: export it to torch or npz")
    data: bytes = _model(model).SerializeToString(deterministic=True)
    return data


def read(path: Path, alphabet: Alphabet | None, engine: Engine) -> Model:
    """Return the network of a file that `write` made, which a stranger may have altered.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError
        If it holds none, or computes anything else than Elman's network does.
    """
    found = _parsed(path.read_bytes())
    about = read_description(next((entry.value for entry in found.metadata_props if entry.key == ABOUT), ""))
    if not about:
        raise ElmanError("Elman did not write it, and of ONNX only files of elman export are read")
    arrays = _arrays(found.graph)
    layers = sum(name.startswith("R") for name in arrays)
    if missing := {"R1", "V"} - arrays.keys():
        raise ElmanError(f"the array {min(missing)} is missing")
    net = architecture_of(arrays["R1"].shape[1:], arrays["V"].shape[::-1], layers)
    check_arrays(arrays, _shapes(net))
    model = model_of(about, net, _parameters(arrays, net), alphabet, engine)
    again = _model(model)
    if found.graph != again.graph or [*found.opset_import] != [*again.opset_import] or len(found.functions):
        raise ElmanError("it computes something else than a network of Elman's does")
    return model


def _library() -> Any:
    with require_extra("export"):
        import onnx
    return onnx


def _parsed(data: bytes) -> ModelProto:
    onnx = _library()
    try:
        return onnx.ModelProto.FromString(data)  # type: ignore[no-any-return]
    except Exception:  # protobuf's own, and protobuf is no dependency of Elman's
        raise ElmanError("it is no whole file of ONNX") from None


def _model(model: Model) -> ModelProto:
    helper = _library().helper
    built: ModelProto = helper.make_model(
        _graph(model),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="elman",
        producer_version=__version__,
        doc_string=" ".join(_SAYS.split()),
    )
    helper.set_model_props(built, {ABOUT: json.dumps(describe(model))})
    return built


def _graph(model: Model) -> GraphProto:
    onnx = _library()
    net = architecture(model.parameters)
    state, after = STATE[: net.state_vectors], ("h", "s")[: net.state_vectors]
    shape: list[int | str] = [net.layers, "B", net.m]

    def value(name: str, kind: int, of_shape: list[int | str]) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind, of_shape)

    number, index = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    arrays = _initializers(model.parameters) | {"K": np.array([net.K]), "off_on": np.array([0, 1], np.float32)}
    return onnx.helper.make_graph(  # type: ignore[no-any-return]
        _nodes(net, state, after),
        "elman",
        [value("x", index, ["T", "B"]), *(value(name, number, shape) for name in state)],
        [value("logits", number, ["T", "B", net.K]), *(value(name, number, shape) for name in after)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )


def _nodes(net: Architecture, state: tuple[str, ...], after: tuple[str, ...]) -> list[NodeProto]:
    """Return the operators: characters to vectors, layer upon layer, the output layer, and the states put together."""
    make = _library().helper.make_node
    options: dict[str, Any] = {"hidden_size": net.m} | ({"linear_before_reset": 1} if net.cell == "gru" else {})
    numbers = range(1, net.layers + 1)
    nodes = [make("OneHot", ["x", "K", "off_on"], ["x1"], axis=-1)]
    nodes += [make("Split", [name], [f"{name}_{n}" for n in numbers], axis=0) for name in state]
    for n in numbers:
        inputs = [f"x{n}", f"W{n}", f"R{n}", f"B{n}", "", *(f"{name}_{n}" for name in state)]
        nodes.append(make(net.cell.upper(), inputs, [f"Y{n}", *(f"{name}_{n}" for name in after)], **options))
        nodes.append(make("Squeeze", [f"Y{n}"], [f"x{n + 1}"], axes=[1]))  # of both directions there is one
    nodes.append(make("MatMul", [f"x{net.layers + 1}", "V"], ["Vh"]))
    nodes.append(make("Add", ["Vh", "c"], ["logits"]))
    return nodes + [make("Concat", [f"{name}_{n}" for n in numbers], [name], axis=0) for name in after]


def _initializers(parameters: Parameters) -> dict[str, Array]:
    """Return the weights under ONNX's names and in its shapes: W is our U, R our W, B all biases."""
    net = architecture(parameters)
    found: dict[str, Array] = {}
    for n in range(1, net.layers + 1):
        of_layer = layer(parameters, n)
        second = second_bias(net, of_layer)
        ours, theirs = _OURS[net.cell], _THEIRS[net.cell]
        U, W, b, second = (
            _reordered(array, ours, theirs) for array in (of_layer["U"], of_layer["W"], of_layer["b"], second)
        )
        found |= {f"W{n}": U[None], f"R{n}": W[None], f"B{n}": np.concatenate([b, second])[None]}
    found |= {"V": parameters["V"].T, "c": parameters["c"]}
    return {name: _single(array) for name, array in found.items()}


def _shapes(net: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array that `_initializers` gives."""
    wanted: dict[str, tuple[int, ...]] = {"V": (net.m, net.K), "c": (net.K,)}
    rows = net.gates * net.m
    for n in range(1, net.layers + 1):
        wanted |= {f"W{n}": (1, rows, net.K if n == 1 else net.m), f"R{n}": (1, rows, net.m), f"B{n}": (1, 2 * rows)}
    return wanted


def _parameters(arrays: dict[str, Array], net: Architecture) -> Parameters:
    """Return Elman's parameters, of every layer d as well; only gru's is used."""
    found: dict[str, Array] = {"V": arrays["V"].T, "c": arrays["c"]}
    ours, theirs = _OURS[net.cell], _THEIRS[net.cell]
    for n in range(1, net.layers + 1):
        first, second = np.split(arrays[f"B{n}"][0], 2)
        of_layer = {"U": arrays[f"W{n}"][0], "W": arrays[f"R{n}"][0], "b": first, "d": second}
        of_layer = {name: _reordered(array, theirs, ours) for name, array in of_layer.items()}
        found |= {name + suffix(n): array for name, array in of_layer.items()}
        found["d" + suffix(n)] = of_layer["d"][-net.m :]
    return found


def _arrays(graph: GraphProto) -> dict[str, Array]:
    """Return the weights in a graph. Where one says that it stands in another file, nothing is read there."""
    float32 = _library().TensorProto.FLOAT
    found = {}
    for tensor in graph.initializer:
        if tensor.data_type == float32 and tensor.name != "off_on":
            array: NDArray[Any] = np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
            found[tensor.name] = array.astype(np.float32)
    return found


def _reordered(array: Array, order: str, wanted: str) -> Array:
    """Return rows whose gates stand in one order in another."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])


def _single(array: Array) -> Array:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        raise ElmanError("a weight is beyond float32, in which ONNX computes here: export to torch or npz")
    return single
