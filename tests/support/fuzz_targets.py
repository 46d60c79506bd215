"""Fuzz targets: every loader of untrusted files, with its seeds and its mutations."""

import asyncio
import codecs
import json
import math
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from elman.cli.frame import INSTALLED
from elman.errors import ElmanError
from elman.formats import FORMATS, export, import_
from elman.ngram.model import PREFIX
from elman.storage.files import read_toml
from elman.storage.tensors import read_tensors, serialize_tensors
from elman.text import Corpus
from elman.text.corpus import encode_chunks
from elman.text.formats import ByteStream
from elman.text.reading import decode
from elman.text.unknown import replace_rare
from support.cells import EXPORTED_CELLS, IMPORTED_FORMATS
from support.codec_models import TEXT as CODEC_TEXT
from support.codec_models import make_model as make_codec_model
from support.corrupt_files import corrupt_bytes, corrupt_value, error_message, good_files, use_file
from support.random_model import normal_model

MAX_SIZE = 4096
"""Maximum size of a generated array; larger ones find nothing more."""
DTYPES = ("float32", "float64", "float16", "int8", "uint8", "uint16", "uint32", "int64", "bool")
ENCODINGS = ("utf-8", "latin-1", "utf-16", "utf-32", "utf-7", "cp1252", "shift_jis", "gb18030")


@dataclass(frozen=True)
class Target:
    """A loader, with valid inputs to start from.

    `build` makes the file from the fuzzer's bytes; `mutate` is used in addition to the fuzzer's mutator, and may raise
    ValueError.
    """

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[Path], Iterable[bytes]]
    build: Callable[[bytes], bytes] = bytes
    mutate: Callable[[bytes, random.Random], bytes] | None = None


def mutate(target: Target, data: bytes, rng: random.Random) -> bytes:
    """Return an input that is changed in its bytes or in its meaning."""
    if target.mutate is not None and rng.random() < 0.5:
        with suppress(ValueError):
            return target.mutate(data, rng)
    return corrupt_bytes(data, rng)


def feed(target: Target, data: bytes, folder: Path) -> str:
    path = folder / target.file
    path.write_bytes(target.build(data))
    with np.errstate(all="ignore"):
        return error_message(lambda: target.read(path))


# --- Checkpoints ---


def _valid_files(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [path.read_bytes() for path in good_files(folder) if path.name == name]


# A file with a digest is built from three sections, so that the digest matches whatever the fuzzer changes: a line
# with the description, a line with types and shapes of the arrays, and bytes that are repeated to fill the arrays.


def _valid_sections(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [_to_sections(path) for path in good_files(folder) if path.name == name]


def _to_sections(path: Path) -> bytes:
    text, tensors = read_tensors(path)
    description = json.loads(text)
    arrays = {name: [str(array.dtype), array.shape] for name, array in tensors.items()}
    # 0.1, but 0 where the table of an n-gram prior, and the last characters read, are among the numbers.
    raw = b"\0" if any(name.startswith(PREFIX) for name in tensors) else b"\x3d\xcc\xcc\xbd"
    return b"\n".join([json.dumps(description).encode(), json.dumps(arrays).encode(), raw])


def _from_sections(data: bytes) -> bytes:
    description, _, rest = data.partition(b"\n")
    arrays, _, raw = rest.partition(b"\n")
    try:
        return b"".join(
            serialize_tensors(
                description.decode(), {name: _fill(raw, *kind) for name, kind in json.loads(arrays).items()}
            )
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return data  # cannot be represented in a file


def _fill(raw: bytes, name: str, shape: list[int]) -> Any:
    if name not in DTYPES or any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) > MAX_SIZE:
        raise ValueError(name, shape)
    dtype = np.dtype(name)
    data = np.resize(np.frombuffer(raw or b"\0", np.uint8), math.prod(shape) * dtype.itemsize)
    return data.view(dtype).reshape(shape)


def corrupt_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    n = rng.randrange(len(lines))
    try:
        lines[n] = json.dumps(corrupt_value(json.loads(lines[n]), rng)).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return b"\n".join(lines)


# --- The other files of a run ---


def _single_lines(folder: Path) -> list[bytes]:
    return [json.dumps(json.loads(data)).encode() for data in _valid_files("run.json")(folder)]


# --- Texts: a byte for the encoding and the minimum count, then the text, read a few bytes at a time ---


class _Slow(BytesIO):
    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(3)


def _use_text(path: Path) -> None:
    first, *_ = data = path.read_bytes() or b"\0"
    encoding, min_count = ENCODINGS[first % len(ENCODINGS)], first // len(ENCODINGS) % 4
    alphabet, indices = encode_chunks(decode(ByteStream(_Slow(data[1:]), "text"), encoding), "text")
    corpus = Corpus("text", alphabet, indices, "0" * 64, encoding)
    text = data[1:].decode(encoding)
    # Of two byte order marks the second is text if the decoder removes the first.
    assert corpus.text in (text, text.removeprefix("\ufeff"))
    assert len(replace_rare(corpus, min_count).indices) == len(indices)


def _use_space(path: Path) -> object:
    from elman.apps.sweep.space import parse_space

    return parse_space(read_toml(path), "quick", {})


@cache
def _request_types() -> Any:
    from elman.apps.serve.requests import create_request_types
    from elman.apps.serve.settings import Settings

    return create_request_types({"a": make_codec_model(order=2)}, Settings())


def _use_request(path: Path) -> None:
    """Read a request body as each endpoint does; raise the error of the first if all refuse it."""
    from starlette.requests import Request

    from elman.apps.serve.requests import read_json, validate
    from elman.apps.serve.responses import APIError
    from elman.apps.serve.settings import Settings

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": path.read_bytes()}

    types = _request_types()
    errors = []
    for kind in types.values():
        try:
            request = Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)
            validate(asyncio.run(read_json(request, Settings())), kind)
        except APIError as error:
            errors.append(error)
    assert all((error.status, error.message.isprintable()) == (400, True) for error in errors)
    if len(errors) == len(types):
        raise ElmanError(errors[0].message)


def _requests(folder: Path) -> Iterable[bytes]:
    completion: dict[str, Any] = {
        "prompt": ["a", [1, 2]], "max_tokens": 3, "n": 2, "stream": True, "stream_options": {"include_usage": True},
        "echo": True, "logprobs": 2, "stop": ["a"], "user": "x", "best_of": 1, "logit_bias": {}, "suffix": "",
        "temperature": 0.5, "top_k": 3, "seed": 3, "adapt": "counts",
    }  # fmt: skip
    bodies = (
        completion,
        {"text": "a", "units": [0]},
        {"tokens": [1]},
        {"\ud800": 1},
        {"suffix": "\ud800", "max_tokens": 1},
    )
    return (json.dumps(body).encode() for body in bodies)


def _spaces(folder: Path) -> Iterable[bytes]:
    yield b'cell = ["gru", "lstm"]\nlearning_rate = {low = 1e-3, high = 1, log = true}'
    yield b"layers = {low = 1, high = 3}\ndropout = {low = 0, high = 0.5, step = 0.1}"


def _texts(folder: Path) -> list[bytes]:
    text = "\ufeffaé\r\n\0\u202e漢字😀\N{COMBINING ACUTE ACCENT}"
    encodings = [(n, encoding) for n, encoding in enumerate(ENCODINGS) if codecs.lookup(encoding)]
    return [bytes([n]) + text.encode(encoding, "ignore") for n, encoding in encodings]


# --- Files of other programs ---


def _exported(suffix: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        for n, cell in enumerate(EXPORTED_CELLS):
            export(normal_model("ab \né", cell, layers=1 + n % 2, m=2, std=1.0), folder / f"{cell}{suffix}")
        return [path.read_bytes() for path in sorted(folder.glob(f"*{suffix}"))]

    return seeds


def _import(path: Path) -> None:
    import_(path, engine="numpy").sample(3, seed=1)


# --- Compressed files ---


def _decompress(path: Path) -> None:
    from elman import decompress

    decompress(path.read_bytes(), make_codec_model(order=2))


def _compressed(folder: Path) -> Iterable[bytes]:
    from elman import compress
    from elman.apps.compress.container import MODES

    model = make_codec_model(order=2)
    yield from (compress(CODEC_TEXT[:60], model, mode=mode) for mode in MODES)
    yield compress(bytes(range(100, 140)), model)


TARGETS = {
    "checkpoint": Target("checkpoint.safetensors", use_file, _valid_files("checkpoint.safetensors")),
    "checkpoint-sealed": Target(
        "checkpoint.safetensors", use_file, _valid_sections("checkpoint.safetensors"), _from_sections, corrupt_line
    ),
    "best": Target("best.safetensors", use_file, _valid_files("best.safetensors")),
    "best-sealed": Target(
        "best.safetensors", use_file, _valid_sections("best.safetensors"), _from_sections, corrupt_line
    ),
    "run": Target("run.json", use_file, _single_lines, mutate=corrupt_line),
    "metrics": Target("metrics.csv", use_file, _valid_files("metrics.csv")),
    "samples": Target("samples.jsonl", use_file, _valid_files("samples.jsonl"), mutate=corrupt_line),
    "text": Target("text", _use_text, _texts),
    **{
        name: Target(f"network{FORMATS[name].suffix}", _import, _exported(FORMATS[name].suffix))
        for name in IMPORTED_FORMATS
    },
}
OF_APPLICATIONS = {
    "elm": ("compress", Target("text.elm", _decompress, _compressed)),
    "space": ("sweep", Target("space.toml", _use_space, _spaces)),
    "request": ("serve", Target("request.json", _use_request, _requests, mutate=corrupt_line)),
}
TARGETS |= {name: target for name, (command, target) in OF_APPLICATIONS.items() if command in INSTALLED}
