"""Files that a stranger might send: good ones, spoilt byte by byte or in what they say, each from a seed."""

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
from elman.storage.tensors import read_tensors, save_tensors
from elman.text import Corpus
from elman.training.train import train
from support.state import TEXT, T

RECIPES: tuple[dict[str, Any], ...] = (
    {"hidden_size": 3},
    {"hidden_size": 3, "cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam", "averaging": 0.9},
    {"hidden_size": 2, "cell": "gru", "optimizer": "sgd", "validation": 0.2, "validate_every": 4, "dropout": 0.2},
)
FILES = ("checkpoint.safetensors", "best.safetensors", "run.json", "metrics.csv", "samples.jsonl")
BYTES = (
    b"\0",
    b"\xff",
    b"{",
    b"]",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 5000,
    b"\\ud800",
    b"null",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**9,
    2**63,
    2**64,
    10**400,
    -(10**30),
    0.5,
    -0.0,
    1e308,
    math.nan,
    math.inf,
    "",
    "x",
    "\ud800",
    "lstm",
    "a" * 3000,
    [],
    {},
    [[]],
    [0] * 700,
    {"state": {"state": 0, "inc": 2}},
)
"""What is put in the place of something that a description says."""


def good_files(folder: Path) -> list[Path]:
    """Train a network of each kind; return the files it left."""
    corpus = Corpus.from_text(TEXT)
    for n, recipe in enumerate(RECIPES):
        options = recipe | {"seq_length": T, "engine": "numpy", "learning_rate": 0.01, "metrics_every": 2}
        train(corpus, **options, sample_every=5, sample_length=9, max_updates=11, out=folder / str(n))
    return sorted(path for path in folder.glob("*/*") if path.name in FILES)


def spoil(path: Path, data: bytes, chance: random.Random, out: Path) -> None:
    """Write to `out` a file made of the good one at `path`, whose bytes are `data`."""
    if path.suffix == ".safetensors" and chance.random() < 0.6:
        _spoil_meaning(path, chance, out)
    elif path.suffix == ".json" and chance.random() < 0.6:
        out.write_text(json.dumps(spoilt(json.loads(data), chance)), encoding="utf-8")
    else:
        out.write_bytes(spoilt_bytes(data, chance))


def spoilt_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return a file's bytes with a few changed, cut out, doubled or put in."""
    altered = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, length = chance.randrange(len(altered) + 1), chance.choice((1, 1, 4, 60))
        match chance.randrange(5):
            case 0 if at < len(altered):
                altered[at] ^= 1 << chance.randrange(8)
            case 1:
                altered[at : at + length] = b""
            case 2:
                altered[at:at] = altered[at : at + length]
            case 3:
                altered[at:at] = chance.choice(BYTES)
            case _:
                altered[at : at + length] = chance.randbytes(length)
    return bytes(altered)


def _spoil_meaning(path: Path, chance: random.Random, out: Path) -> None:
    """Alter what the file says it holds, or its arrays, and give it the digest that it should then have."""
    text, tensors = read_tensors(path)
    description = json.loads(text)
    if chance.random() < 0.7:
        description = spoilt(description, chance)
    else:
        name = chance.choice(list(tensors))
        _ARRAYS[chance.randrange(len(_ARRAYS))](tensors, name)
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


def spoilt(value: Any, chance: random.Random) -> Any:
    """Return a JSON value with a change somewhere in it: another value, another key, one less."""
    value = copy.copy(value)
    if not value or not isinstance(value, dict | list) or chance.random() < 0.02:
        return chance.choice(VALUES)
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value, dict) and chance.random() < 0.1:
        value["new"] = value.pop(key)
    elif chance.random() < 0.1:
        del value[key]
    else:
        value[key] = spoilt(value[key], chance)
    return value


def refusal(read: Callable[[], object]) -> str:
    """Read something; return the one line it is refused with, or nothing."""
    try:
        read()
    except ElmanError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 600
        return message
    return ""


def peak(read: Callable[[], object]) -> int:
    """Return the most memory that reading something took, in bytes."""
    read()  # once before, so that what is imported and cached does not count
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
