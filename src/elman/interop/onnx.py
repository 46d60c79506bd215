"""ONNX with its RNN, GRU and LSTM operators, in float32; the state is an input and an output.

T  sequence length     B  batch size     K  alphabet size     L  layers     m  hidden units per layer

Inputs are ``x`` (T, B), character indices, int64; ``h0`` and, for lstm, ``s0``, both (L, B, m). Outputs are ``logits``
(T, B, K) and the state after the last character, ``h`` and ``s``.

The counts of an n-gram prior are no part of the graph, which has two more inputs instead: ``log_q`` (T, B, K), log q
after each character, and ``matched`` (T, B), the matched orders, int64. The counted text is among the metadata, under
``ngram.text``: base64 of the indices, uint8, or int32 for more than 256 characters.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman._version import __version__
from elman.errors import ElmanError, require_extra
from elman.inference import Model
from elman.interop.contents import (
    METADATA_KEY,
    NGRAM_TEXT,
    Contents,
    check_arrays,
    export_metadata,
    initial_state_names,
    parse_metadata,
    portable_indices,
    read_architecture,
    recurrent_bias,
)
from elman.network.cells.spec import OnnxOperator
from elman.network.ngram import NgramModel
from elman.network.parameters import Architecture, Array, Arrays, Parameters, architecture, layer, suffix

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

SUFFIX = ".onnx"
HELP = "with its recurrent operators"

OPSET, IR_VERSION = 11, 6
"""Those of ONNX 1.6 (2019): new runtimes read old versions, but old runtimes do not read new ones."""

MAX_WEIGHT_BYTES = 2**31 - 2**24
"""Maximum bytes of weights: a protobuf message is limited to 2**31, and needs some for everything else."""

_DOC_STRING = """A character-level language model exported by Elman. x (T, B) contains character indices, h0 and s0
(L, B, m) the state before them, h and s the state after them, and logits (T, B, K) the scores of the next character at
every step. The metadata entry "elman" is JSON: the alphabet, and the state at the end of training."""
_PRIOR_DOC_STRING = """log_q (T, B, K) contains the log-probabilities that the n-gram model of the metadata entry
"ngram.text" gives to the next character at every step, and matched (T, B) the lengths of the longest contexts known."""


def write(model: Model) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ElmanError
        If ONNX has no operator for the cell, the library onnx is not installed, a weight exceeds float32, or the model
        exceeds the limit of the format.
    """
    architecture(model.parameters).spec.require_export("onnx")
    size = np.dtype(np.float32).itemsize * sum(array.size for array in model.parameters.values())
    if size > MAX_WEIGHT_BYTES:
        raise ElmanError(f"its weights ({size:,} bytes) exceed the limit of an ONNX file: export to torch or npz")
    helper, ngrams = _library().helper, model.parameters.ngrams
    description = _DOC_STRING if ngrams is None else f"{_DOC_STRING} {_PRIOR_DOC_STRING}"
    proto: ModelProto = helper.make_model(
        _build_graph(architecture(model.parameters), model.parameters.arrays),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="elman",
        producer_version=__version__,
        doc_string=" ".join(description.split()),
    )
    text = {} if ngrams is None else {NGRAM_TEXT: _encode_text(ngrams)}
    helper.set_model_props(proto, {METADATA_KEY: json.dumps(export_metadata(model)), **text})
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def read(path: Path) -> Contents:
    """Return what an untrusted file contains that claims to be written by `write`.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError, AttributeError
        If the file is invalid, or its graph differs from the one that `write` makes for its weights.
    """
    proto = _parse(path.read_bytes())
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    metadata, arrays = parse_metadata(entries.get(METADATA_KEY, "")), _read_initializers(proto.graph)
    if "V" not in arrays:
        raise ElmanError("the array V is missing")
    net = read_architecture(metadata, arrays["V"].shape[-1], len(arrays))
    check_arrays(arrays, _expected_shapes(net))
    text = _decode_text(entries[NGRAM_TEXT], net.K) if NGRAM_TEXT in entries else None
    parameters = _parameters(arrays, net)
    opset_imports = [(opset.domain, opset.version) for opset in proto.opset_import]
    is_same = proto.graph == _build_graph(net, parameters) and opset_imports == [("", OPSET)] and not proto.functions
    if not is_same:
        raise ElmanError("its graph differs from the one that Elman writes for these weights")
    return Contents(metadata, net, parameters, text)


def _encode_text(ngrams: NgramModel) -> str:
    """Return the counted text as a metadata entry."""
    indices = portable_indices(ngrams)
    return base64.b64encode(indices.astype(indices.dtype.newbyteorder("<")).tobytes()).decode()


def _decode_text(text: str, K: int) -> NDArray[Any]:
    """Return the counted text of a metadata entry."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.uint8 if K <= 256 else "<i4")


def _operator(net: Architecture) -> OnnxOperator:
    net.spec.require_export("onnx")
    assert net.spec.onnx is not None
    return net.spec.onnx


def _library() -> Any:
    with require_extra("export"):
        import onnx
    return onnx


def _parse(data: bytes) -> ModelProto:
    onnx = _library()
    try:
        return onnx.ModelProto.FromString(data)  # type: ignore[no-any-return]
    except Exception:  # an exception class of protobuf, which Elman does not depend on
        raise ElmanError("it is not a complete ONNX file") from None


def _build_graph(net: Architecture, parameters: Arrays) -> GraphProto:
    onnx = _library()
    state, after = initial_state_names(net), tuple(vector.symbol for vector in net.spec.state)
    shape: list[int | str] = [net.layers, "B", net.m]

    def value(name: str, kind: int, of_shape: list[int | str]) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind, of_shape)

    number, index = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    inputs = [value("x", index, ["T", "B"]), *(value(name, number, shape) for name in state)]
    if net.order:
        inputs += [value("log_q", number, ["T", "B", net.K]), value("matched", index, ["T", "B"])]
    arrays = _make_initializers(net, parameters) | {"K": np.array([net.K]), "off_on": np.array([0, 1], np.float32)}
    return onnx.helper.make_graph(  # type: ignore[no-any-return]
        _build_nodes(net, state, after),
        "elman",
        inputs,
        [value("logits", number, ["T", "B", net.K]), *(value(name, number, shape) for name in after)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )


def _build_nodes(net: Architecture, state: tuple[str, ...], after: tuple[str, ...]) -> list[NodeProto]:
    """Return the operators: one-hot encoding, recurrent layers, output layer, prior, and the concatenated states."""
    make = _library().helper.make_node
    operator = _operator(net)
    options: dict[str, Any] = {"hidden_size": net.m, **dict(operator.attributes)}
    numbers = range(1, net.layers + 1)
    nodes = [make("OneHot", ["x", "K", "off_on"], ["x1"], axis=-1)]
    nodes += [make("Split", [name], [f"{name}_{n}" for n in numbers], axis=0) for name in state]
    for n in numbers:
        inputs = [f"x{n}", f"W{n}", f"R{n}", f"B{n}", "", *(f"{name}_{n}" for name in state)]
        nodes.append(make(operator.name, inputs, [f"Y{n}", *(f"{name}_{n}" for name in after)], **options))
        nodes.append(make("Squeeze", [f"Y{n}"], [f"x{n + 1}"], axes=[1]))  # the axis of directions has size 1
    nodes.append(make("MatMul", [f"x{net.layers + 1}", "V"], ["Vh"]))
    nodes.append(make("Add", ["Vh", "c"], ["o" if net.order else "logits"]))
    if net.order:
        nodes.append(make("Gather", ["alpha", "matched"], ["alpha_j"]))
        nodes.append(make("Unsqueeze", ["alpha_j"], ["alpha_j_1"], axes=[2]))
        nodes.append(make("Mul", ["alpha_j_1", "log_q"], ["alpha_log_q"]))
        nodes.append(make("Add", ["o", "alpha_log_q"], ["logits"]))
    return nodes + [make("Concat", [f"{name}_{n}" for n in numbers], [name], axis=0) for name in after]


def _make_initializers(net: Architecture, parameters: Arrays) -> dict[str, Array]:
    """Return the weights in ONNX's names and shapes: W is Elman's U, R its W, B all biases."""
    gates, onnx_gates = net.spec.gates, _operator(net).gates
    arrays: dict[str, Array] = {}
    for n in range(1, net.layers + 1):
        of_layer = layer(Parameters(net.cell, parameters), n)
        ordered = (of_layer["U"], of_layer["W"], of_layer["b"], recurrent_bias(net, of_layer))
        U, W, b, b_recurrent = (_reorder_gates(array, gates, onnx_gates) for array in ordered)
        arrays |= {f"W{n}": U[None], f"R{n}": W[None], f"B{n}": np.concatenate([b, b_recurrent])[None]}
    arrays |= {"V": parameters["V"].T, "c": parameters["c"]}
    if net.order:
        arrays["alpha"] = parameters["alpha"]
    return {name: _to_float32(array) for name, array in arrays.items()}


def _expected_shapes(net: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array from `_make_initializers`."""
    expected: dict[str, tuple[int, ...]] = {"V": (net.m, net.K), "c": (net.K,)}
    if net.order:
        expected["alpha"] = (net.order + 1,)
    rows = net.gates * net.m
    for n in range(1, net.layers + 1):
        expected |= {f"W{n}": (1, rows, net.K if n == 1 else net.m), f"R{n}": (1, rows, net.m), f"B{n}": (1, 2 * rows)}
    return expected


def _parameters(arrays: dict[str, Array], net: Architecture) -> Arrays:
    """Return Elman's parameters, with a d for every layer, which only gru uses."""
    parameters: dict[str, Array] = {"V": arrays["V"].T, "c": arrays["c"]}
    if net.order:
        parameters["alpha"] = arrays["alpha"]
    gates, onnx_gates = net.spec.gates, _operator(net).gates
    for n in range(1, net.layers + 1):
        first, second = np.split(arrays[f"B{n}"][0], 2)
        of_layer = {"U": arrays[f"W{n}"][0], "W": arrays[f"R{n}"][0], "b": first, "d": second}
        of_layer = {name: _reorder_gates(array, onnx_gates, gates) for name, array in of_layer.items()}
        parameters |= {name + suffix(n): array for name, array in of_layer.items()}
        parameters["d" + suffix(n)] = of_layer["d"][-net.m :]
    return parameters


def _read_initializers(graph: GraphProto) -> dict[str, Array]:
    """Return the weights in a graph. A reference to external data in another file is not followed."""
    float32 = _library().TensorProto.FLOAT
    arrays = {}
    for tensor in graph.initializer:
        if tensor.data_type == float32 and tensor.name != "off_on":
            array: NDArray[Any] = np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
            arrays[tensor.name] = array.astype(np.float32)
    return arrays


def _reorder_gates(array: Array, order: Sequence[str], new_order: Sequence[str]) -> Array:
    """Return rows with their blocks of gates in another order."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in new_order])


def _to_float32(array: Array) -> Array:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        raise ElmanError(
            "a weight exceeds the range of float32, the precision of the ONNX export: export to torch or npz"
        )
    return single
