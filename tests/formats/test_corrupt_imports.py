"""Untrusted files to import are read without executing anything, and refused in one line."""

import base64
import json
import random
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.formats import FORMATS, export, import_
from elman.model import Model
from support.cells import EXPORTED_CELLS, IMPORTED_FORMATS
from support.corrupt_files import CONSTANT, MULTIPLE, VALUES, corrupt_bytes, corrupt_value, error_message, peak
from support.random_model import normal_model, random_prior_model


def make_model(cell: str, layers: int) -> Model:
    return normal_model("ab \né", cell, layers, m=3, std=1.0)


@pytest.fixture(scope="module", params=[*IMPORTED_FORMATS, "arpa"])
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bytes]]:
    if request.param == "onnx":
        pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("good")
    for cell, layers in (("rnn", 1), ("gru", 2), ("lstm", 2)) if request.param in IMPORTED_FORMATS else ():
        export(make_model(cell, layers), folder / f"{cell}{FORMATS[request.param].suffix}")
    prior = random_prior_model("ab \né" * 9, "gru")
    with pytest.warns(UserWarning, match="not its network") if request.param == "arpa" else nullcontext():
        export(prior, folder / f"prior{FORMATS[request.param].suffix}")
    return [(path, path.read_bytes()) for path in sorted(folder.iterdir())]


def outcome(path: Path) -> str:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of distributions that do not sum to 1
        return error_message(lambda: import_(path, engine="numpy").sample(5, seed=1))


def corrupt_metadata(data: bytes, rng: random.Random, out: Path) -> bool:
    """Write a well-formed file with other metadata or arrays; return whether that was possible."""
    match out.suffix:
        case ".onnx":
            return _corrupt_onnx(data, rng, out)
        case ".npz":
            return _corrupt_npz(data, rng, out)
        case ".arpa":
            return False
    return _corrupt_safetensors(data, rng, out)


def _description(metadata: Any, rng: random.Random) -> str:
    text = json.dumps(corrupt_value(metadata, rng))
    return text.replace("null", rng.choice(("null", "NaN", "[" * 5000, '{"a": 1, "a": 1}')), 1)


def _corrupt_safetensors(data: bytes, rng: random.Random, out: Path) -> bool:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if rng.random() < 0.5:
        header["__metadata__"]["elman"] = _description(json.loads(header["__metadata__"]["elman"]), rng)
    else:
        header = corrupt_value(header, rng)
    words = json.dumps(header).encode()
    out.write_bytes(len(words).to_bytes(8, "little") + words + data[8 + length :])
    return True


def _corrupt_npz(data: bytes, rng: random.Random, out: Path) -> bool:
    out.write_bytes(data)
    with np.load(out) as file:
        arrays: dict[str, Any] = dict(file)
    name = rng.choice([*arrays])
    match rng.randrange(5):
        case 0:
            arrays[name] = np.full_like(arrays[name], rng.choice((np.nan, np.inf, 3e38)), np.float32)
        case 1:
            arrays[name] = arrays[name].astype(rng.choice(("f2", "f8", "i1", ">f4", "c8", "U3")))
        case 2:
            arrays[name] = arrays[name][..., : rng.randrange(3)]
        case 3:
            arrays[name + rng.choice("2\x1b/")] = arrays.pop(name)
        case _:
            text = _description(json.loads(bytes(arrays["elman"])), rng)
            arrays["elman"] = np.frombuffer(text.encode(), np.uint8)
    np.savez(out, **arrays)
    return True


def _corrupt_onnx(data: bytes, rng: random.Random, out: Path) -> bool:
    import onnx

    proto = onnx.ModelProto.FromString(data)
    tensor = rng.choice(proto.graph.initializer)
    match rng.randrange(6):
        case 0:
            tensor.dims[0] = rng.choice((-1, 0, 1, 2**40, 2**62))
        case 1:
            tensor.data_type = rng.randrange(20)
        case 2:
            tensor.raw_data = corrupt_bytes(tensor.raw_data, rng)
        case 3:
            tensor.name = rng.choice(("", "W1", "R9", "V", "\x1b[2J"))
        case 4:
            node = rng.choice(proto.graph.node)
            node.op_type = rng.choice(("Identity", "GRU", "LSTM", "Loop"))
        case _:
            entry = rng.choice(proto.metadata_props)
            if entry.key == "elman":
                entry.value = _description(json.loads(entry.value), rng)
            else:
                entry.value = base64.b64encode(corrupt_bytes(base64.b64decode(entry.value), rng)).decode()
    out.write_bytes(proto.SerializeToString())
    return True


@pytest.mark.parametrize("number", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_corrupt_files_are_rejected_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path, number: int) -> None:
    refused = 0
    for seed in range(number):
        rng = random.Random(seed)
        path, data = rng.choice(good)
        other = tmp_path / path.name
        if rng.random() < 0.5 or not corrupt_metadata(data, rng, other):
            other.write_bytes(corrupt_bytes(data, rng))
        try:
            refused += bool(outcome(other))
        except BaseException as error:
            error.add_note(f"seed {seed}, {path}")
            raise
    assert refused > number / 3


def test_truncated_files_are_rejected_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(100):
        path, data = rng.choice(good)
        (tmp_path / path.name).write_bytes(data[: rng.randrange(len(data))])
        assert outcome(tmp_path / path.name)


def test_values_in_the_place_of_the_alphabet_and_the_state(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    export(make_model("lstm", 2), path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    for key in ("alphabet", "state", "folds", "cell", "layers", "format"):
        for value in VALUES:
            header = json.loads(data[8 : 8 + length])
            metadata = json.loads(header["__metadata__"]["elman"]) | {key: value}
            header["__metadata__"]["elman"] = json.dumps(metadata)
            words = json.dumps(header).encode()
            path.write_bytes(len(words).to_bytes(8, "little") + words + data[8 + length :])
            fits = (key, repr(value)) in {("folds", "True"), ("format", "1"), ("cell", "'lstm'")}
            assert bool(outcome(path)) == (not fits), (key, value)


def test_the_largest_weights_are_imported(tmp_path: Path) -> None:
    for cell in EXPORTED_CELLS:
        model = make_model(cell, 2)
        for array in model.parameters.values():
            array[...] = np.where(array > 0, 3e38, -3e38)
        for suffix in (".npz", ".safetensors"):
            export(model, tmp_path / f"{cell}{suffix}")
            assert not outcome(tmp_path / f"{cell}{suffix}")


def test_reading_takes_a_small_multiple_of_the_file(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    for path, data in good:
        for seed in range(30):
            other = tmp_path / path.name
            if not corrupt_metadata(data, random.Random(seed), other):
                other.write_bytes(corrupt_bytes(data, random.Random(seed)))
            assert peak(partial(outcome, other)) < MULTIPLE * other.stat().st_size + CONSTANT


def test_names_without_arrays_take_no_memory(tmp_path: Path) -> None:
    """Layers that exist only by name, each as wide as the one real array, are never allocated."""
    arrays: dict[str, Any] = {f"W{n}": np.empty(0, np.float32) for n in range(2, 3000)}
    wide = np.zeros((400, 400), np.float32)
    np.savez(tmp_path / "many.npz", W=wide, V=wide, **arrays)
    assert peak(partial(outcome, tmp_path / "many.npz")) < 4 * (tmp_path / "many.npz").stat().st_size + CONSTANT


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    for suffix in (FORMATS[name].suffix for name in IMPORTED_FORMATS):
        (tmp_path / f"a{suffix}").symlink_to("/dev/zero")
        assert "Not a regular file" in outcome(tmp_path / f"a{suffix}")
