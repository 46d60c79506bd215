"""Every loader of files that a stranger may have made: what the fuzzer feeds it, and how it begins. A row each."""

import codecs
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import get_engine
from elman.inference import Model
from elman.interop import export, import_
from elman.network.parameters import Architecture, shapes
from elman.runs.checkpoint import load_checkpoint
from elman.runs.records import RunDirectory
from elman.runs.run import load
from elman.storage.tensors import read_tensors, sealed
from elman.text import Alphabet, Corpus
from elman.text.corpus import gathered
from elman.text.decoding import Reading
from elman.text.unknown import fold
from support.corrupt_files import good_files, refusal, spoilt

LONGEST = 4096
"""Numbers in an array that a file is made of, at most: larger ones find nothing more."""
DTYPES = ("float32", "float64", "float16", "int8", "uint16", "int64", "bool")
ENCODINGS = ("utf-8", "latin-1", "utf-16", "utf-32", "utf-7", "cp1252", "shift_jis", "gb18030")


@dataclass(frozen=True)
class Target:
    """A loader.

    Parameters
    ----------
    file : str
        The name of the file that it reads.
    read : callable
        Reads the file, and uses what it holds.
    seeds : callable
        Returns good bytes to begin from; it may write to the folder it is given.
    made : callable
        Makes the file of the fuzzer's bytes, where these are not the file itself.
    altered : callable, optional
        Alters bytes, beside what the fuzzer does by itself; may raise ValueError.
    """

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[Path], Iterable[bytes]]
    made: Callable[[bytes], bytes] = bytes
    altered: Callable[[bytes, random.Random], bytes] | None = None


def feed(target: Target, data: bytes, folder: Path) -> str:
    """Have a target read what is made of these bytes; return the one line it is refused with, or nothing."""
    path = folder / target.file
    path.write_bytes(target.made(data))
    with np.errstate(all="ignore"):
        return refusal(lambda: target.read(path))


# --- Files of weights ---


def _use_checkpoint(path: Path) -> None:
    load_checkpoint(path)
    _use_network(path)


def _use_network(path: Path) -> None:
    load(path, engine="numpy").sample(3, seed=1)


def _good(name: str) -> Callable[[Path], list[bytes]]:
    """The bytes of the good files of a name."""
    return lambda folder: [path.read_bytes() for path in good_files(folder) if path.name == name]


# A file with a digest is made of three parts, so that what the fuzzer alters has the right one: the description on a
# line, types and shapes of the arrays on another, and bytes that fill the arrays, again and again.

_KEY = json.dumps([*range(624)]).encode()
"""What stands in a description for the state of the first generator, which is long and no fuzzer's business."""


def _loose(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [_in_parts(path) for path in good_files(folder) if path.name == name]


def _in_parts(path: Path) -> bytes:
    text, tensors = read_tensors(path)
    description = json.loads(text)
    if "initial_generator" in description:
        description["initial_generator"]["state"]["key"] = "@"
    arrays = {name: [str(array.dtype), array.shape] for name, array in tensors.items()}
    return b"\n".join([json.dumps(description).encode(), json.dumps(arrays).encode(), b"\x3d\xcc\xcc\xbd"])


def _of_parts(data: bytes) -> bytes:
    description, _, rest = data.replace(b'"@"', _KEY).partition(b"\n")
    arrays, _, raw = rest.partition(b"\n")
    try:
        return sealed(description.decode(), {name: _filled(raw, *kind) for name, kind in json.loads(arrays).items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return data  # no file can say that


def _filled(raw: bytes, name: str, shape: list[int]) -> Any:
    """Return an array of this type and shape."""
    if name not in DTYPES or any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) > LONGEST:
        raise ValueError(name, shape)
    dtype = np.dtype(name)
    data = np.resize(np.frombuffer(raw or b"\0", np.uint8), math.prod(shape) * dtype.itemsize)
    return data.view(dtype).reshape(shape)


def spoil_a_line(data: bytes, chance: random.Random) -> bytes:
    """Alter what one of the lines of JSON says."""
    lines = data.split(b"\n")
    n = chance.randrange(len(lines))
    try:
        lines[n] = json.dumps(spoilt(json.loads(lines[n]), chance)).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return b"\n".join(lines)


# --- The other files of a run ---


def _use_run(path: Path) -> None:
    RunDirectory(path.parent).beginning()


def _use_metrics(path: Path) -> None:
    RunDirectory(path.parent).metrics()


def _use_samples(path: Path) -> None:
    RunDirectory(path.parent).samples()


def _on_one_line(folder: Path) -> list[bytes]:
    return [json.dumps(json.loads(data)).encode() for data in _good("run.json")(folder)]


# --- Texts: a byte that says the encoding, and what is folded; then the text, read a few bytes at a time ---


class _Slow(BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(3)


def _use_text(path: Path) -> None:
    first, *_ = data = path.read_bytes() or b"\0"
    encoding, rare = ENCODINGS[first % len(ENCODINGS)], first // len(ENCODINGS) % 4
    alphabet, indices = gathered(reading := Reading(_Slow(data[1:]), encoding, "text"), "text")
    corpus = Corpus("text", alphabet, indices, reading.sha256, encoding)
    text = data[1:].decode(encoding)
    # Of two byte-order marks the second is text where the decoder takes the first away.
    assert corpus.text in (text, text.removeprefix("\ufeff"))
    assert len(fold(corpus, rare).indices) == len(indices)


def _texts(folder: Path) -> list[bytes]:
    text = "\ufeffaé\r\n\0\u202e漢字😀\N{COMBINING ACUTE ACCENT}"
    known = [(n, encoding) for n, encoding in enumerate(ENCODINGS) if codecs.lookup(encoding)]
    return [bytes([n]) + text.encode(encoding, "ignore") for n, encoding in known]


# --- The files of other programs ---


def _exported(suffix: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        for cell, layers in (("rnn", 1), ("gru", 2), ("lstm", 1)):
            export(_network(cell, layers), folder / f"{cell}{suffix}")
        return [path.read_bytes() for path in sorted(folder.glob(f"*{suffix}"))]

    return seeds


def _network(cell: str, layers: int) -> Model:
    K, m, chance = 5, 2, np.random.default_rng(1)
    parameters = {
        name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes(K, m, cell, layers).items()
    }
    h = np.zeros(Architecture(cell, layers, K, m).state_size, np.float32)
    return Model(Alphabet("ab \né"), parameters, h, get_engine("numpy"))


def _import(path: Path) -> None:
    import_(path, engine="numpy").sample(3, seed=1)


TARGETS = {
    "checkpoint": Target("checkpoint.safetensors", _use_checkpoint, _good("checkpoint.safetensors")),
    "checkpoint-sealed": Target(
        "checkpoint.safetensors", _use_checkpoint, _loose("checkpoint.safetensors"), _of_parts, spoil_a_line
    ),
    "best": Target("best.safetensors", _use_network, _good("best.safetensors")),
    "best-sealed": Target("best.safetensors", _use_network, _loose("best.safetensors"), _of_parts, spoil_a_line),
    "run": Target("run.json", _use_run, _on_one_line, altered=spoil_a_line),
    "metrics": Target("metrics.csv", _use_metrics, _good("metrics.csv")),
    "samples": Target("samples.jsonl", _use_samples, _good("samples.jsonl"), altered=spoil_a_line),
    "text": Target("text", _use_text, _texts),
    "npz": Target("network.npz", _import, _exported(".npz")),
    "torch": Target("network.safetensors", _import, _exported(".safetensors")),
    "onnx": Target("network.onnx", _import, _exported(".onnx")),
}
