"""ONNX with its RNN, GRU and LSTM operators, in float32; the state is an input and an output.

T  sequence length     B  batch size     K  alphabet size     L  layers     m  hidden units per layer

Inputs are ``x`` (T, B), character indices, int64; ``h0`` and, for lstm, ``s0``, both (L, B, m). Outputs are ``logits``
(T, B, K) and the state after the last character, ``h`` and ``s``.

An n-gram prior is part of the graph, see `elman.formats.onnx_prior`: its state, the last characters read, is the input
``history0`` and the output ``history``. The histogram, from which its discounts follow, is an entry of the metadata:
base64 of the numbers, little-endian.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman._version import __version__
from elman.errors import ElmanError, require_extra
from elman.formats.contents import (
    METADATA_KEY,
    check_arrays,
    export_metadata,
    initial_state_names,
    parse_metadata,
    read_architecture,
    recurrent_bias,
    restore_snapshot,
)
from elman.formats.format import Format, ModelInfo
from elman.formats.onnx_prior import HISTORY, TABLE, PriorOperators, pack_table, unpack_table
from elman.model import Model
from elman.network.parameters import Architecture, Array, Arrays, Parameters, layer, suffix
from elman.ngram.model import PREFIX, NgramModel, ngram_tensors
from elman.runs.snapshot import Snapshot
from elman.text import Alphabet

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


class _Operator(NamedTuple):
    """The ONNX operator that computes a cell."""

    name: str
    gates: tuple[str, ...]  # the cell's gates in the operator's order; ONNX calls n of a GRU h, and g of an LSTM c
    attributes: tuple[tuple[str, int], ...] = ()


_OPERATORS = {
    "rnn": _Operator("RNN", ("n",)),
    "gru": _Operator("GRU", ("z", "r", "n"), (("linear_before_reset", 1),)),
    "lstm": _Operator("LSTM", ("i", "o", "f", "g")),
}

OPSET, IR_VERSION = 11, 6
"""The versions of ONNX 1.6 (2019): new runtimes read old versions, but old runtimes do not read new ones."""

HISTOGRAM = f"{PREFIX}histogram"

MAX_WEIGHT_BYTES = 2**31 - 2**24
"""Maximum bytes of weights and counts: a protobuf message is limited to 2**31 bytes, and other content needs some."""

_DOC_STRING = """A character-level language model exported by Elman. x (T, B) contains character indices, h0 and s0
(L, B, m) the state before them, h and s the state after them, and logits (T, B, K) the scores of the next character at
every step. The metadata entry "elman" is JSON: the alphabet, and the state at the end of training."""
_PRIOR_DOC_STRING = """history0 and history contain the last characters read, (n, B), each as its index + 1, the latest
last, 0 where there is none; n is "order" in the metadata minus 1."""


def write(model: Model, _: ModelInfo) -> bytes:
    """Return the bytes of a file."""
    ngrams, helper = model.parameters.ngrams, _library().helper
    table = {} if ngrams is None else unpack_table(ngrams.table)
    size = np.dtype(np.float32).itemsize * sum(array.size for array in model.parameters.values())
    size += sum(array.nbytes for array in table.values())
    if size > MAX_WEIGHT_BYTES:
        raise ElmanError(f"its weights ({size:,} bytes) exceed the limit of an ONNX file: export to torch or npz")
    props = {} if ngrams is None else {HISTOGRAM: base64.b64encode(ngrams.histogram.tobytes()).decode()}
    description = f"{_DOC_STRING} {_PRIOR_DOC_STRING}" if ngrams else _DOC_STRING
    proto: ModelProto = helper.make_model(
        _build_graph(model.parameters.architecture, model.parameters.arrays, ngrams),
        ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="elman",
        producer_version=__version__, doc_string=" ".join(description.split()),
    )  # fmt: skip
    helper.set_model_props(proto, {METADATA_KEY: json.dumps(export_metadata(model))} | props)
    return bytes(proto.SerializeToString(deterministic=True))


def read(path: Path, alphabet: Alphabet | None) -> Snapshot:
    """Return the network in an untrusted file; its graph must be the one that `write` makes for its weights."""
    proto = _parse(path.read_bytes())
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    metadata, initializers = parse_metadata(entries.get(METADATA_KEY, "")), _read_initializers(proto.graph)
    table = {name: initializers.pop(name) for name in TABLE if name in initializers}
    arrays = {name: array for name, array in initializers.items() if array.dtype == np.float32 and name != "off_on"}
    net = read_architecture(metadata, arrays, axis=-1)
    if net.cell not in _OPERATORS:
        raise ElmanError(f"ONNX has no operator of its cell {net.cell!r}")
    check_arrays(arrays, _expected_shapes(net))
    ngrams: Arrays = {}
    if net.context_length:  # validated by `restore_snapshot`
        histogram = np.frombuffer(base64.b64decode(entries[HISTOGRAM], validate=True), "<i8").reshape(-1, 4)
        ngrams = ngram_tensors(NgramModel(pack_table(table, net.ngram_spec), histogram))
    snapshot = restore_snapshot(metadata, net, _parameters(arrays, net), ngrams, alphabet)
    graph = _build_graph(net, snapshot.parameters.arrays, snapshot.parameters.ngrams)
    opset_imports = [(opset.domain, opset.version) for opset in proto.opset_import]
    if proto.graph != graph or opset_imports != [("", OPSET)] or proto.functions:
        raise ElmanError("its graph differs from the one that Elman writes for these weights")
    return snapshot


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


def _build_graph(net: Architecture, parameters: Arrays, ngrams: NgramModel | None) -> GraphProto:
    onnx = _library()
    number, index, shape = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, [net.layers, "B", net.m]

    def value(name: str, kind: int, of_shape: list[Any]) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind, of_shape)

    inputs = [value("x", index, ["T", "B"]), *(value(name, number, shape) for name in initial_state_names(net))]
    after = [value(vector.symbol, number, shape) for vector in net.spec.state]
    arrays = _make_initializers(net, parameters) | {"K": np.array([net.K]), "off_on": np.array([0, 1], np.float32)}
    if ngrams is not None:
        inputs.append(value(f"{HISTORY}0", index, [net.context_length, "B"]))
        after.append(value(HISTORY, index, [net.context_length, "B"]))
        arrays |= unpack_table(ngrams.table)
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    outputs = [value("logits", number, ["T", "B", net.K]), *after]
    graph: GraphProto = onnx.helper.make_graph(_build_nodes(net, ngrams), "elman", inputs, outputs, initializers)
    return graph


def _build_nodes(net: Architecture, ngrams: NgramModel | None) -> list[NodeProto]:
    """Return the operators: one-hot encoding, recurrent layers, output layer, prior, and the concatenated states."""
    make, operator = _library().helper.make_node, _OPERATORS[net.cell]
    state, after = initial_state_names(net), [vector.symbol for vector in net.spec.state]
    options: dict[str, Any] = {"hidden_size": net.m, **dict(operator.attributes)}
    numbers = range(1, net.layers + 1)
    nodes = [make("OneHot", ["x", "K", "off_on"], ["x1"], axis=-1)]
    nodes += [make("Split", [name], [f"{name}_{n}" for n in numbers], axis=0) for name in state]
    for n in numbers:
        inputs = [f"x{n}", f"W{n}", f"R{n}", f"B{n}", "", *(f"{name}_{n}" for name in state)]
        nodes.append(make(operator.name, inputs, [f"Y{n}", *(f"{name}_{n}" for name in after)], **options))
        nodes.append(make("Squeeze", [f"Y{n}"], [f"x{n + 1}"], axes=[1]))  # the axis of directions has size 1
    nodes.append(make("MatMul", [f"x{net.layers + 1}", "V"], ["Vh"]))
    nodes.append(make("Add", ["Vh", "c"], ["o" if ngrams else "logits"]))
    if ngrams is not None:
        prior = PriorOperators(_library(), ngrams)
        nodes += prior.nodes
        nodes.append(make("Gather", ["alpha", prior.matched], ["alpha_j"]))
        nodes.append(make("Unsqueeze", ["alpha_j"], ["alpha_j_1"], axes=[2]))
        nodes.append(make("Mul", ["alpha_j_1", prior.log_q], ["alpha_log_q"]))
        nodes.append(make("Add", ["o", "alpha_log_q"], ["logits"]))
    return nodes + [make("Concat", [f"{name}_{n}" for n in numbers], [name], axis=0) for name in after]


def _make_initializers(net: Architecture, parameters: Arrays) -> dict[str, Array]:
    """Return the weights in ONNX's names and shapes, in float32: W is Elman's U, R its W, B all biases."""
    gates, onnx_gates = net.spec.gates, _OPERATORS[net.cell].gates
    arrays: dict[str, Array] = {}
    for n in range(1, net.layers + 1):
        of_layer = layer(Parameters(net, parameters), n)
        ordered = (of_layer["U"], of_layer["W"], of_layer["b"], recurrent_bias(net, of_layer))
        U, W, b, b_recurrent = (_reorder_gates(array, gates, onnx_gates) for array in ordered)
        arrays |= {f"W{n}": U[None], f"R{n}": W[None], f"B{n}": np.concatenate([b, b_recurrent])[None]}
    arrays |= {"V": parameters["V"].T} | {name: parameters[name] for name in ("c", "alpha") if name in parameters}
    with np.errstate(over="ignore"):
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        remedy = "export to torch or npz"
        raise ElmanError(f"a weight exceeds the range of float32, the precision of the ONNX export: {remedy}")
    return arrays


def _expected_shapes(net: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array from `_make_initializers`."""
    shapes, rows = net.shapes(), net.gates * net.m
    expected = {name: shapes[name] for name in ("c", "alpha") if name in shapes} | {"V": shapes["V"][::-1]}
    for n in range(1, net.layers + 1):
        expected |= {f"W{n}": (1, rows, net.K if n == 1 else net.m), f"R{n}": (1, rows, net.m), f"B{n}": (1, 2 * rows)}
    return expected


def _parameters(arrays: dict[str, Array], net: Architecture) -> Arrays:
    """Return Elman's parameters, with a d for every layer, which only gru uses."""
    parameters = {"V": arrays["V"].T} | {name: arrays[name] for name in ("c", "alpha") if name in arrays}
    gates, onnx_gates = net.spec.gates, _OPERATORS[net.cell].gates
    for n in range(1, net.layers + 1):
        first, second = np.split(arrays[f"B{n}"][0], 2)
        of_layer = {"U": arrays[f"W{n}"][0], "W": arrays[f"R{n}"][0], "b": first, "d": second}
        parameters |= {name + suffix(n): _reorder_gates(a, onnx_gates, gates) for name, a in of_layer.items()}
        parameters["d" + suffix(n)] = parameters["d" + suffix(n)][-net.m :]
    return parameters


def _read_initializers(graph: GraphProto) -> dict[str, Array]:
    """Return the arrays in a graph. A reference to external data in another file is not followed."""
    onnx = _library()
    tensors = (tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.DEFAULT)
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}


def _reorder_gates(array: Array, order: Sequence[str], new_order: Sequence[str]) -> Array:
    """Return rows with their blocks of gates in another order."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([blocks[gate] for gate in new_order])


FORMAT = Format(".onnx", "recurrent operators", write, read, cells=_OPERATORS)
