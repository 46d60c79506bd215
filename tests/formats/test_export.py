"""Export and import: what other programs compute with exported models, and the round trip."""

import json
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.engine import get_engine
from elman.errors import ElmanError, quote
from elman.formats import FORMATS, export, format_help, import_, npz, torch
from elman.model import Model
from elman.model.loading import load
from elman.network.bptt import logits
from elman.network.parameters import Architecture, Array, Parameters
from elman.network.state import State
from elman.ngram.counting import count_ngrams
from elman.ngram.model import describe_ngrams, ngram_tensors
from elman.ngram.table import NgramSpec
from elman.recipe import DEFAULT_PRESET
from elman.text import Alphabet, Corpus
from support import tolerances as tolerances
from support.cells import EXPORTED_CELLS, IMPORTED_FORMATS
from support.cli import exit_code
from support.random_model import normal_model, random_prior_model
from support.state import ROOT, TEXT, T
from support.training import train

K, M, B, WINDOWS = 7, 4, 3, 4
CHARACTERS = "ab\n\0\ud800é\N{GRINNING FACE}"
"""Characters that other programs may not handle."""
PRIOR_TEXT = "".join(np.random.default_rng(4).choice(list(CHARACTERS), 150)) + TEXT + CHARACTERS
WIDE_TEXT = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
"""More than 256 characters."""
FORMATS_AND_DTYPES = pytest.mark.parametrize(
    ("to", "dtype"), [*((to, "float32") for to in IMPORTED_FORMATS), ("torch", "float64"), ("npz", "float64")]
)


def make_model(cell: str, layers: int, dtype: str = "float32") -> Model:
    return normal_model(CHARACTERS, cell, layers, dtype, M)


def export_as(to: str, model: Model, folder: Path) -> Path:
    if to == "onnx":
        pytest.importorskip("onnx")
    path = folder / f"network{FORMATS[to].suffix}"
    export(model, path)
    return path


def windows() -> list[Any]:
    return [*np.random.default_rng(2).integers(0, K, (WINDOWS, T, B))]


def expected_logits(model: Model, windows: list[Any]) -> tuple[list[Array], State]:
    """Return Elman's logits of every window, with the state carried through, and the final state."""
    state, result = model.state.tile(windows[0].shape[1]), []
    for x in windows:
        o, state = logits(model.parameters, state, x.astype(model.alphabet.dtype))
        result.append(o)
    return result, state


def assert_near(actual: list[Array], expected: list[Array], tolerance: float) -> None:
    assert len(actual) == len(expected)
    for array, expected_array in zip(actual, expected, strict=True):
        assert tolerances.largest_relative_error(array, expected_array) < tolerance


def flat(state: list[Array]) -> Array:
    """Return the recurrent part of a state, (B, S), from its vectors (layers, B, m)."""
    return np.stack(state, axis=1).transpose(2, 0, 1, 3).reshape(state[0].shape[1], -1)


def assert_same_model(actual: Model, expected: Model) -> None:
    """Two models are bit-identical, except for the folds of a prior, which are those of training."""
    assert actual.alphabet == expected.alphabet
    assert actual.parameters.keys() == expected.parameters.keys()
    prior, expected_prior = actual.parameters.ngrams, expected.parameters.ngrams
    assert (prior is None) == (expected_prior is None)
    if prior is not None and expected_prior is not None:
        assert prior.table.spec == expected_prior.table.spec
        assert describe_ngrams(prior) == describe_ngrams(expected_prior)
        table, expected_table = ngram_tensors(prior), ngram_tensors(expected_prior)
        assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in table.items()} == {
            name: (a.dtype, a.shape, a.tobytes()) for name, a in expected_table.items()
        }
    np.testing.assert_array_equal(actual.state.history, expected.state.history)
    for name, array in {**actual.parameters, "h": actual.state.recurrent}.items():
        other = {**expected.parameters, "h": expected.state.recurrent}[name]
        assert (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert array.flags.c_contiguous
        assert array.flags.writeable


def read_metadata(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        result: dict[str, Any] = json.loads(file.metadata()["elman"])
    return result


def rejection(path: Path, **options: Any) -> str:
    with pytest.raises(ElmanError) as raised:
        import_(path, **options)
    message = str(raised.value)
    prefix = f"{quote(path)} cannot be imported: "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


@pytest.mark.parametrize("order", [0, 3])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", EXPORTED_CELLS)
def test_onnxruntime_computes_the_same(tmp_path: Path, cell: str, layers: int, order: int) -> None:
    model = random_prior_model(PRIOR_TEXT, cell, layers, order) if order else make_model(cell, layers)
    assert_same_in_onnxruntime(model, windows(), tmp_path)


@pytest.mark.parametrize("of_lines", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_onnxruntime_reads_the_counts_of_every_alphabet(tmp_path: Path, size: int, of_lines: bool) -> None:
    text = skewed_text(size)
    spec = NgramSpec(size, 4, reset_at=0 if of_lines else None)
    net = Architecture(size, M, "rnn", 1, *spec[1:])
    arrays = {name: np.zeros(shape, np.float32) for name, shape in net.shapes().items()}
    arrays |= {"alpha": np.linspace(0.3, 0.9, 5, dtype=np.float32), "b": np.ones(M, np.float32)}
    arrays["c"] = np.ones(size, np.float32)  # no logit is 0
    parameters = Parameters(net, arrays, count_ngrams(text, spec))
    alphabet = Alphabet("\n" + "".join(map(chr, range(0x4E00, 0x4E00 + size - 1))))
    model = Model(alphabet, parameters, net.zero_state(np.float32), get_engine("numpy"))
    assert_same_in_onnxruntime(model, [text[:40].reshape(-1, 1), text[40:100].reshape(-1, 1)], tmp_path)


def assert_same_in_onnxruntime(model: Model, windows: list[Any], folder: Path) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    B, path = windows[0].shape[1], export_as("onnx", model, folder)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.ir_version, [(opset.domain, opset.version) for opset in proto.opset_import]) == (6, [("", 11)])

    session = onnxruntime.InferenceSession(path)
    entries = session.get_modelmeta().custom_metadata_map
    metadata = json.loads(entries["elman"])
    assert metadata["alphabet"] == model.alphabet.characters
    state = {name: np.tile(np.array(rows, np.float32)[:, None], (1, B, 1)) for name, rows in metadata["state"].items()}
    if "ngram" in metadata:
        state["history0"] = np.zeros((metadata["ngram"]["order"] - 1, B), np.int64)
    found: list[Array] = []
    for x in windows:
        o, *after = session.run(None, {"x": x.astype(np.int64), **state})
        found.append(o)
        state = dict(zip(state, after, strict=True))
    expected, final = expected_logits(model, windows)
    if "ngram" in metadata:
        history = state.pop("history0").T
        # Counts of lines have no string that crosses a line feed, so the graph need not forget what is before it.
        is_known = final.history > 0 if model.is_of_lines else np.ones_like(history, bool)
        np.testing.assert_array_equal(history[is_known], final.history[is_known])
    assert_near([*found, flat([*state.values()])], [*expected, final.recurrent], tolerances.ONNX)


def skewed_text(size: int) -> Any:
    generator = np.random.default_rng(5)
    return (generator.integers(0, size, 4_000) * generator.random(4_000)).astype(np.uint16)


@pytest.mark.parametrize("text", ["", PRIOR_TEXT, WIDE_TEXT], ids=["no prior", "bytes", "wide"])
@pytest.mark.parametrize("cell", EXPORTED_CELLS)
@FORMATS_AND_DTYPES
def test_an_imported_model_is_the_exported_one(tmp_path: Path, to: str, cell: str, text: str, dtype: str) -> None:
    if text:
        model = random_prior_model(text, cell, layers=2, dtype=dtype)
    else:
        model = replace(make_model(cell, 3, dtype), alphabet=Alphabet(CHARACTERS, has_unknown=True))
    path = export_as(to, model, tmp_path)
    imported = import_(path, engine="numpy", out=tmp_path / "run")
    assert_same_model(imported, model)
    assert_same_model(load(tmp_path / "run"), model)
    before = path.read_bytes()
    export(imported, path)
    assert path.read_bytes() == before


def test_onnx_rounds_to_float32(tmp_path: Path) -> None:
    model, text = make_model("gru", 2, "float64"), CHARACTERS * 9
    found = import_(export_as("onnx", model, tmp_path), engine="numpy")
    assert found.state.recurrent.dtype == found.parameters["W"].dtype == np.float32
    assert found.score(text).nats == pytest.approx(model.score(text).nats, rel=tolerances.SINGLE)


def test_an_npz_is_read_by_numpy_and_may_be_written_by_columns(tmp_path: Path) -> None:
    model = make_model("gru", 2)
    path = export_as("npz", model, tmp_path)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    assert {*arrays} == {*model.parameters, "h", "elman"}
    assert json.loads(bytes(arrays["elman"]))["alphabet"] == CHARACTERS
    for name, array in model.parameters.items():
        np.testing.assert_array_equal(arrays[name], array)
    by_columns: dict[str, Any] = {name: np.asfortranarray(array) for name, array in arrays.items()}
    np.savez(path, **by_columns)
    assert_same_model(import_(path, engine="numpy"), model)


def foreign_state_dict(
    cell: str, layers: int, recurrent: str = "cell.", linear: str = "net.out."
) -> tuple[dict[str, Array], Model]:
    """Return a state dict with two non-zero biases and other prefixes, and the equivalent model."""
    model = make_model(cell, layers)
    arrays = torch.state_dict(model.parameters)
    generator = np.random.default_rng(3)
    for n in range(layers):
        first, second = f"rnn.bias_ih_l{n}", f"rnn.bias_hh_l{n}"
        shift = generator.integers(-8, 8, len(arrays[first])).astype(np.float32) / 2**10
        if cell == "gru":
            shift[2 * M :] = 0  # the last third of the second is another parameter
        arrays |= {first: arrays[first] - shift, second: arrays[second] + shift}
    names = {name: name.replace("rnn.", recurrent).replace("linear.", linear) for name in arrays}
    return {names[name]: np.ascontiguousarray(array) for name, array in arrays.items()}, model


def save(arrays: dict[str, Any], path: Path, metadata: Any = None) -> Path:
    from safetensors.numpy import save_file

    save_file(arrays, path, None if metadata is None else {"elman": json.dumps(metadata)})
    return path


@pytest.mark.parametrize("names", [("cell.", "net.out."), ("", "linear."), ("rnn.", "")])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", EXPORTED_CELLS)
def test_a_network_of_torch_with_two_biases(tmp_path: Path, cell: str, layers: int, names: tuple[str, str]) -> None:
    arrays, model = foreign_state_dict(cell, layers, *names)
    path = save(arrays, tmp_path / "theirs.safetensors", {"alphabet": CHARACTERS})
    imported = import_(path, engine="numpy")
    assert not imported.state.recurrent.any()
    for name, array in model.parameters.items():
        np.testing.assert_allclose(imported.parameters[name], array, tolerances.SINGLE, tolerances.SINGLE)


def test_the_alphabet_from_elsewhere(tmp_path: Path) -> None:
    arrays, _ = foreign_state_dict("rnn", 1)
    path = save(arrays, tmp_path / "theirs.safetensors")
    assert rejection(path) == "it does not contain its 7 characters: pass them with alphabet"
    assert import_(path, alphabet="abcdefg").alphabet == Alphabet("abcdefg")
    assert rejection(path, alphabet="abc") == "the alphabet has 3 characters, but the network has 7"
    with pytest.raises(ElmanError, match=r"^an alphabet must contain each character once"):
        import_(path, alphabet="abcdefa")
    (tmp_path / "characters").write_bytes("é\r\nabc\t".encode())
    run = tmp_path / "run"
    assert exit_code("import", path, "--out", run, "--alphabet", tmp_path / "characters") == 0
    assert load(run).alphabet.characters == "é\r\nabc\t"
    save(arrays, path, {"alphabet": CHARACTERS})
    assert import_(path, alphabet="abcdefg").alphabet == Alphabet("abcdefg")


def without(arrays: dict[str, Array], name: str) -> dict[str, Array]:
    return {other: array for other, array in arrays.items() if other != name}


OUT, BIAS, IH, HH = "net.out.weight", "net.out.bias", "cell.bias_ih_l1", "cell.bias_hh_l1"
ONE_MODULE = "exactly one {} module with arrays such as {} is needed (got 2)"
NO_NETWORK = "no network has hidden-to-hidden weights of shape {} and hidden-to-output weights of shape {}"
MIXED = "its arrays must be all float32 or all float64 (got float32 and float64)"
LARGE_BIASES = "the sum of the two biases of layer 2 exceeds the range of float32"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: without(a, HH), f"the array {HH} is missing"),
        (lambda a: without(a, OUT), f"the array {OUT} is missing"),
        (lambda a: {**a, "other.weight": a[OUT]}, ONE_MODULE.format("linear", "weight")),
        (lambda a: {**a, "other.weight_ih_l0": a[OUT]}, ONE_MODULE.format("recurrent", "weight_hh_l0")),
        (lambda a: {**a, "a\x1b[2J": a[OUT]}, r"unexpected array a\x1b[2J"),
        (lambda a: {**a, HH: a[HH][:1]}, f"{HH} has shape (1,), but (12,) is needed to match the other arrays"),
        (lambda a: a | {"cell.weight_hh_l0": a["cell.weight_hh_l0"][:7]}, NO_NETWORK.format((7, 4), (7, 4))),
        (lambda a: {**a, OUT: a[OUT][:, :0]}, NO_NETWORK.format((12, 4), (7, 0))),
        (lambda a: {**a, BIAS: a[BIAS].astype(np.float64)}, MIXED),
        (lambda a: {**a, BIAS: np.full(K, np.nan, np.float32)}, f"{BIAS} contains NaN or infinity"),
        (lambda a: {**a, IH: np.full(12, 3e38, "f"), HH: np.full(12, 3e38, "f")}, LARGE_BIASES),
    ],
)
def test_a_state_dict_that_does_not_fit(tmp_path: Path, change: Any, reason: str) -> None:
    arrays, _ = foreign_state_dict("gru", 2)
    assert rejection(save(change(arrays), tmp_path / "theirs.safetensors", {"alphabet": CHARACTERS})) == reason


STATE = {"h0": [[0.0] * M] * 2, "s0": [[0.0] * M] * 2}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ([], "its metadata is not a JSON object"),
        ({"format": 2}, "it has format 2; this version of Elman reads 1"),
        ({"config": {}}, "it is a checkpoint written by elman train, which every command reads without import"),
        ({"cell": "gru"}, "its metadata says cell = gru, but its arrays say lstm"),
        ({"hidden_size": 5}, "its metadata says hidden_size = 5, but its arrays say 4"),
        ({"alphabet": "abcdefa"}, "an alphabet must contain each character once: 'a' (U+0061) occurs 2 times"),
        ({"alphabet": [*"abcdefg"]}, "alphabet must be a string"),
        ({"folds": 1}, "folds must be true or false"),
        ({"state": {"h0": STATE["h0"]}}, "its state must have h0 and s0, each with 2 rows of 4 numbers"),
        ({"state": STATE | {"h0": [[0.0] * M]}}, "its state must have h0 and s0, each with 2 rows of 4 numbers"),
        ({"state": STATE | {"h0": [[0.0] * M, [0.0]]}}, ""),
        ({"state": STATE | {"h0": [[1e300] * M] * 2}}, "its state exceeds the range of float32"),
        ({"state": STATE | {"h0": [["0"] * M] * 2}}, "h0 must be a finite number"),
        ({"state": 1}, ""),
    ],
)
def test_metadata_that_does_not_fit(tmp_path: Path, change: Any, reason: str) -> None:
    path = export_as("torch", make_model("lstm", 2), tmp_path)
    arrays = torch.state_dict(make_model("lstm", 2).parameters)
    metadata = change if isinstance(change, list) else read_metadata(path) | change
    assert rejection(save({name: array.copy() for name, array in arrays.items()}, path, metadata)).startswith(reason)


# --- ONNX in particular ---


def rejection_after(tmp_path: Path, change: Any) -> str:
    path = export_as("onnx", make_model("gru", 2), tmp_path)
    proto = import_module("onnx").load(path)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return rejection(path)


def array_of(proto: Any, name: str) -> Any:
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def set_raw(name: str, place: int, value: float) -> Any:
    def change(proto: Any) -> None:
        tensor = array_of(proto, name)
        numbers = np.frombuffer(tensor.raw_data, "<f4").copy()
        numbers[place] = value
        tensor.raw_data = numbers.tobytes()

    return change


def node_of(proto: Any, kind: str) -> Any:
    return next(node for node in proto.graph.node if node.op_type == kind)


def set_attribute(proto: Any) -> None:
    next(a for a in node_of(proto, "GRU").attribute if a.name == "linear_before_reset").i = 0


@pytest.mark.parametrize(
    "change",
    [
        set_attribute,
        set_raw("B1", 3 * M, 0.5),  # where Elman has no bias
        lambda proto: node_of(proto, "Add").input.reverse(),
        lambda proto: proto.graph.initializer.append(array_of(proto, "c")),
        lambda proto: setattr(proto.opset_import[0], "version", 14),
        lambda proto: proto.functions.add(name="GRU", domain=""),
        lambda proto: proto.graph.node.pop(),
        lambda proto: setattr(array_of(proto, "K"), "raw_data", (9).to_bytes(8, "little")),
    ],
)
def test_a_graph_that_computes_something_else(tmp_path: Path, change: Any) -> None:
    assert rejection_after(tmp_path, change) == "its graph differs from the one that Elman writes for these weights"


def elsewhere(proto: Any) -> None:
    tensor = array_of(proto, "c")
    tensor.data_location = 1  # EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda proto: proto.ClearField("metadata_props"), "it has no metadata: only files written by elman export"),
        (set_raw("R2", 0, np.inf), "R2 contains NaN or infinity"),
        (lambda proto: setattr(array_of(proto, "V"), "name", ""), "the array V is missing"),
        (
            lambda proto: setattr(array_of(proto, "c"), "data_type", 11),
            "buffer size must be a multiple of element size",
        ),
        (lambda proto: array_of(proto, "c").dims.append(1), "c has shape (7, 1), but (7,) is needed to match the "),
        (lambda proto: array_of(proto, "c").dims.append(10**9), "cannot reshape array of size 7"),
        (elsewhere, ""),
    ],
)
def test_an_onnx_file_that_does_not_fit(tmp_path: Path, change: Any, reason: str) -> None:
    assert rejection_after(tmp_path, change).startswith(reason)


def test_models_that_a_format_cannot_contain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    model = make_model("rnn", 1, "float64")
    model.parameters["b"][0] = 1e300
    with pytest.raises(ElmanError, match=r"^a weight exceeds the range of float32, .*: export to torch or npz$"):
        export(model, tmp_path / "network.onnx")
    monkeypatch.setattr("elman.formats.onnx.MAX_WEIGHT_BYTES", 100)
    message = r"^its weights \(332 bytes\) exceed the limit of an ONNX file: export to torch or npz$"
    with pytest.raises(ElmanError, match=message):
        export(make_model("rnn", 1), tmp_path / "network.onnx")
    assert not any(tmp_path.iterdir())


def test_onnx_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    expected = "this requires onnx, which is not installed: pip install 'elman[export]'"
    with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
        export(make_model("rnn", 1), tmp_path / "network.onnx")
    (tmp_path / "network.onnx").write_bytes(b"")
    with pytest.raises(ElmanError, match=re.escape(expected)):
        import_(tmp_path / "network.onnx")
    for to in ("torch", "npz"):
        import_(export_as(to, make_model("rnn", 1), tmp_path))


def members(path: Path) -> dict[str, bytes]:
    export(make_model("rnn", 1), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


INVALID_ARRAY = "an entry is not a float32 or float64 array as written by numpy.savez"


def header(says: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(says).to_bytes(2, "little") + says.encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"), "cannot reshape array"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }\n") + b"\0" * 27, "buffer size must be"),
        (header("{'descr': '<f2', 'fortran_order': False, 'shape': (7,), }\n") + b"\0" * 14, INVALID_ARRAY),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (7,), }\n") + b"\x80\x04K\x01.", INVALID_ARRAY),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }\n"), INVALID_ARRAY),
        (header("[" * 5000), INVALID_ARRAY),
        (b"", INVALID_ARRAY),
    ],
)
def test_an_array_that_is_none(tmp_path: Path, data: bytes, reason: str) -> None:
    entries = members(tmp_path / "network.npz") | {"c.npy": data}
    message = rejection(zipped(tmp_path / "network.npz", [*entries.items()]))
    assert message.startswith(reason)
    assert message.isprintable()


def test_entries_that_are_compressed_twice_there_or_strange(tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    entries = [*members(path).items()]
    assert rejection(zipped(path, entries, zipfile.ZIP_DEFLATED)) == (
        "its arrays are compressed or encrypted: write it with numpy.savez"
    )
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(path, [*entries, entries[0]])
    assert rejection(path) == "it contains a duplicate array"
    assert rejection(zipped(path, [e for e in entries if e[0] != "V.npy"])) == "the array V is missing"
    assert rejection(zipped(path, [*entries, ("X.npy", dict(entries)["c.npy"])])) == "unexpected array X"


def test_entries_that_share_their_bytes(tmp_path: Path) -> None:
    """A directory may point many names at one place, so that a small file claims to be a large one."""
    path = tmp_path / "network.npz"
    zipped(path, [("W.npy", b"\0" * 1000)])
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02")
    entry = data[at : data.index(b"PK\x05\x06")]
    copies = b"".join(entry.replace(b"W.npy", f"{n:05}".encode()) for n in range(50))
    end = bytearray(data[data.index(b"PK\x05\x06") :])
    end[8:12] = (50).to_bytes(2, "little") * 2
    end[12:16] = len(copies).to_bytes(4, "little")
    path.write_bytes(data[:at] + copies + bytes(end))
    assert rejection(path) == "its arrays are declared larger than the file"


# --- The programs of docs/how_to/export_and_import.md ---


PAGE = (ROOT / "docs/how_to/export_and_import.md").read_text("utf-8")


PROGRAMS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
EXAMPLES = {"onnx": "onnx_model.py", "torch": "torch_module.py"}
PROGRAMS |= {name: (ROOT / "examples" / file).read_text("utf-8") for name, file in EXAMPLES.items()}


@pytest.fixture
def export_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Model]:
    """Train a network, with the settings of a preset but its size, and export it by the commands of the page."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, name: str, preset: str, **options: Any) -> Model:
        small: dict[str, Any] = {"hidden_size": 8, "layers": 2, "seq_length": T, "batch_size": 1, "sample_every": 0}
        run = train(Corpus.from_text(text), preset=preset, **small | options, engine="numpy", out="runs/novel")
        (commands,) = re.findall(r"```sh\n(.*?)```", PAGE.split("\n## ")[0], re.DOTALL)
        for line in (line.partition("  #")[0].split() for line in commands.splitlines()):
            if line[0] == "elman" and (name != "torch" or "network.onnx" not in line):
                assert exit_code(*line[1:]) == 0
        return run.model

    return run


@pytest.mark.parametrize(("name", "library"), [("onnx", "onnxruntime"), ("torch", "torch"), ("python", "numpy")])
@pytest.mark.parametrize(
    ("text", "options"),
    [
        # PyTorch's modules are in float32.
        *(
            (TEXT, {"preset": "reference", "cell": cell, "max_updates": 60, "dtype": "float32"})
            for cell in EXPORTED_CELLS
        ),
        *((TEXT * 9, {"preset": preset, "max_updates": 60}) for preset in ("quick", DEFAULT_PRESET)),
        (TEXT.replace("\n", " ") * 9 + "ÄÖ", {"preset": DEFAULT_PRESET, "max_updates": 60, "min_count": 2}),
    ],
)  # fmt: skip
def test_the_programs_of_the_page_run(
    export_example: Callable[..., Model], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    name: str, library: str, text: str, options: dict[str, Any],
) -> None:  # fmt: skip
    """Without torch, what `elman sample` writes is written; with it, a text is scored, and a model comes back."""
    pytest.importorskip(library)
    model = export_example(text, name, **options)
    capsys.readouterr()
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "model", raising=False)
    exec(PROGRAMS[name], {})
    printed = capsys.readouterr().out
    if name == "onnx":
        assert printed == model.sample(200, seed=1, temperature=1)
    elif name == "python":
        assert printed.startswith(model.sample(200, seed=1) + "\n")
        expected = model.score("It was a night").nats_per_char
        assert float(printed.split()[-1]) == pytest.approx(expected, rel=tolerances.TORCH_FLOAT32)
    else:
        known = [character for character in "It was a dark and stormy night" if character in model.alphabet.characters]
        expected = model.score("".join(known)).nats_per_char
        assert float(printed.split()[0]) == pytest.approx(expected, rel=tolerances.TORCH_FLOAT32)
        assert_same_model(import_("mine.safetensors", engine="numpy"), replace(model, state=model.state.reset()))


def test_a_format_is_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    toy = replace(npz.FORMAT, suffix=".toy", help="NumPy arrays again", cells=("rnn",), lacks=("layers", "prior"))
    monkeypatch.setitem(FORMATS.core, "toy", toy)
    train(Corpus.from_text(TEXT), hidden_size=M, seq_length=T, engine="numpy", max_updates=1, out="run")
    assert exit_code("export", "run", "run.toy") == 0
    assert exit_code("import", "run.toy", "again") == 0
    assert capsys.readouterr().out == "run.toy\nagain\n"
    assert_same_model(load("again", engine="numpy"), load("run", engine="numpy"))
    assert exit_code("export", "run", "run.zip", "--format", "zip") == 2
    assert capsys.readouterr().err == f"error: --format must be one of {', '.join(FORMATS)} (got 'zip')\n"
    assert "Format: toy (NumPy arrays again), " in format_help()
    for refused, reason in (
        (make_model("gru", 1), "with cell 'gru'"),
        (make_model("rnn", 2), "with several layers"),
        (random_prior_model(TEXT), "with an n-gram prior"),
    ):
        with pytest.raises(ElmanError, match=f"^a model {reason} cannot be exported to toy; export to npz$"):
            export(refused, "model.toy")
    assert not Path("model.toy").exists()


def with_metadata(change: Any) -> Any:
    def apply(arrays: dict[str, Any]) -> None:
        metadata = json.loads(bytes(arrays["elman"]))
        change(metadata)
        arrays["elman"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("alpha"), "the array alpha is missing"),
        (lambda a: a.update(alpha=a["alpha"][:2]), "alpha has shape (2,), but (4,) is needed to match the other"),
        (lambda a: a.pop("ngrams.strings"), "the arrays of its n-gram counts are invalid"),
        (lambda a: a.update({"ngrams.large": a["alpha"]}), "the arrays of its n-gram counts are invalid"),
        (lambda a: a.update({"ngrams.strings": a["ngrams.strings"] * 1.0}), "the arrays of its n-gram counts are"),
        (lambda a: a.update({"ngrams.strings": a["ngrams.strings"][None]}), "the arrays of its n-gram counts do not"),
        (lambda a: a.update({"ngrams.histogram": a["ngrams.histogram"][:-1]}), "the histogram of its n-gram counts"),
        (lambda a: a.pop("ngrams.histogram"), "the arrays of its n-gram counts are invalid"),
        (lambda a: a["ngrams.histogram"].__imul__(-1), "the histogram of its n-gram counts is invalid"),
        (lambda a: a.update({"ngrams.rests": a["ngrams.rests"][1:]}), "the arrays of its n-gram counts do not fit"),
        (lambda a: a["ngrams.strings"].__ior__(-1), "its n-gram counts are not a trie"),
        (lambda a: a["ngrams.strings"].__imul__(0), "its n-gram counts are not a trie"),
        (lambda a: a.update({"ngrams.large": a["ngrams.large"][:-1]}), "the arrays of its n-gram counts do not fit"),
        (lambda a: a["ngrams.children"].__iand__(-3), ""),
        (lambda a: a["ngrams.children"].__imul__(0), ""),
        (lambda a: a["ngrams.children"].__ior__(-1), ""),
        (with_metadata(lambda m: m.pop("ngram")), "unexpected array alpha"),
        (with_metadata(lambda m: m["ngram"].update(order=21)), "the order must be an integer from 2 to 20"),
        (with_metadata(lambda m: m["ngram"].update(min_count=0)), "min_count must be an integer from 1"),
        (with_metadata(lambda m: m["ngram"].update(nodes=2**53)), "the arrays of its n-gram counts do not fit"),
        (with_metadata(lambda m: m.update(ngram=3)), "'int' object is not subscriptable"),
    ],
)
def test_a_prior_that_does_not_fit(tmp_path: Path, change: Any, reason: str) -> None:
    path = export_as("npz", random_prior_model(PRIOR_TEXT), tmp_path)
    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    assert rejection(path).startswith(reason)
