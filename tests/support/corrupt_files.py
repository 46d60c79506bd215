"""Untrusted files: valid ones, corrupted in their bytes or in their meaning, reproducibly from a seed."""

import copy
import json
import math
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import ElmanError
from elman.model.loading import load
from elman.runs.checkpoint import load_checkpoint, load_network
from elman.runs.directory import CHECKPOINT, RunDirectory
from elman.storage.tensors import read_tensors
from elman.text import Corpus
from support.state import TEXT, T
from support.tensors import save_tensors
from support.training import train

MULTIPLE, CONSTANT = 60, 2_000_000
"""Peak memory of reading a file is limited to this multiple of its size plus this constant."""
RECIPES: tuple[dict[str, Any], ...] = (
    {"hidden_size": 3},
    {"hidden_size": 3, "cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam", "ema_decay": 0.9},
    {"hidden_size": 2, "cell": "gru", "ngram_order": 4, "ngram_folds": 4, "validation": 0.2, "validate_every": 4},
    {"hidden_size": 2, "cell": "gru", "optimizer": "sgd", "validation": 0.2, "validate_every": 4, "dropout": 0.2},
)
FILES = ("checkpoint.safetensors", "best.safetensors", "run.json", "metrics.csv", "samples.jsonl")
BYTES = (
    b"\0", b"\xff", b"{", b"]", b'"', b",", b"\n", b"\r", b"-1", b"1e999", b"NaN", b"9" * 5000, b"\\ud800", b"null"
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**9, 2**63, 2**64, 10**400, -(10**30), 0.5, -0.0, 1e308, math.nan, math.inf, "", "x",
    "\ud800", "lstm", "a" * 3000, [], {}, [[]], [0] * 700, {"state": {"state": 0, "inc": 2}},
)  # fmt: skip
"""Replacements for values in a description."""


def good_files(folder: Path) -> list[Path]:
    """Train a model with each recipe; return the files of the runs."""
    corpus = Corpus.from_text(TEXT)
    for n, recipe in enumerate(RECIPES):
        options = recipe | {"seq_length": T, "engine": "numpy", "learning_rate": 0.01, "metrics_every": 2}
        train(corpus, **options, sample_every=5, sample_length=9, max_updates=11, out=folder / str(n))
    return sorted(path for path in folder.glob("*/*") if path.name in FILES)


def corrupt_file(path: Path, data: bytes, rng: random.Random, out: Path) -> None:
    if path.suffix == ".safetensors" and rng.random() < 0.6:
        _corrupt_meaning(path, rng, out)
    elif path.suffix == ".json" and rng.random() < 0.6:
        out.write_text(json.dumps(corrupt_value(json.loads(data), rng)), encoding="utf-8")
    else:
        out.write_bytes(corrupt_bytes(data, rng))


def corrupt_bytes(data: bytes, rng: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, length = rng.randrange(len(result) + 1), rng.choice((1, 1, 4, 60))
        match rng.randrange(5):
            case 0 if at < len(result):
                result[at] ^= 1 << rng.randrange(8)
            case 1:
                result[at : at + length] = b""
            case 2:
                result[at:at] = result[at : at + length]
            case 3:
                result[at:at] = rng.choice(BYTES)
            case _:
                result[at : at + length] = rng.randbytes(length)
    return bytes(result)


def _corrupt_meaning(path: Path, rng: random.Random, out: Path) -> None:
    """Change the description or the arrays of a file, with a matching digest."""
    text, tensors = read_tensors(path)
    description = json.loads(text)
    if rng.random() < 0.7:
        description = corrupt_value(description, rng)
    else:
        name = rng.choice(list(tensors))
        _ARRAYS[rng.randrange(len(_ARRAYS))](tensors, name)
    save_tensors(out, description, tensors)


def _set(change: Callable[[Any], Any]) -> Callable[[dict[str, Any], str], None]:
    def apply(tensors: dict[str, Any], name: str) -> None:
        tensors[name] = change(tensors[name])

    return apply


_ARRAYS: tuple[Callable[[dict[str, Any], str], None], ...] = (
    _set(lambda array: np.full_like(array, np.nan)),
    _set(lambda array: np.full_like(array, 3e38)),
    _set(lambda array: array.astype(np.float64)),
    _set(lambda array: array.astype(np.int8)),
    _set(lambda array: array.reshape(-1, 1)),
    _set(lambda array: array[..., :0]),
    lambda tensors, name: tensors.__delitem__(name),
    lambda tensors, name: tensors.update({name + "2": tensors.pop(name)}),
)


def corrupt_value(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one change in it: another value, another key, or one less."""
    value = copy.copy(value)
    if not value or not isinstance(value, dict | list) or rng.random() < 0.02:
        return rng.choice(VALUES)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value, dict) and rng.random() < 0.1:
        value["new"] = value.pop(key)
    elif rng.random() < 0.1:
        del value[key]
    else:
        value[key] = corrupt_value(value[key], rng)
    return value


def use_file(path: Path) -> None:
    """Read a file of a run by its name, and use a network."""
    directory = RunDirectory(path.parent)
    match path.name:
        case "metrics.csv":
            directory.metrics()
        case "samples.jsonl":
            directory.samples()
        case "run.json":
            directory.manifest()
        case _:
            load_network(path)
            load(path, engine="numpy").sample(5, seed=1)
            if path.name == CHECKPOINT:
                load_checkpoint(path)


def error_message(read: Callable[[], object]) -> str:
    """Call `read`; return the one-line error, or an empty string."""
    try:
        read()
    except ElmanError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 600
        return message
    return ""


def peak(read: Callable[[], object]) -> int:
    read()  # once before, so that imports and caches do not count
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
