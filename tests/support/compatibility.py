"""Files that an earlier version wrote, and what it computed from them: see tests/data/compatibility/README.md."""

import json
import random
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

import elman
from support.tolerances import COMPILED, COMPILED_FLOAT32, COMPILED_TRAJECTORY, COMPILED_TRAJECTORY_FLOAT32

DATA = Path(__file__).parents[1] / "data" / "compatibility"
RUNS = DATA / "runs"

FORWARD = {"float32": COMPILED_FLOAT32, "float64": COMPILED}
"""Relative error of a loss or a probability, by dtype."""
LEARNING = {"float32": COMPILED_TRAJECTORY_FLOAT32, "float64": COMPILED_TRAJECTORY}
"""Relative error of what a few updates leave, by dtype."""


CURRENT_NAMES = {
    "prime": "prompt",
    "random_state": "seed",
    "--prime": "--prompt",
    "--random-state": "--seed",
    "--context": "--carry-state",
}
"""Name of an argument at the time of the recording -> its current name."""


def current(options: dict[str, Any]) -> dict[str, Any]:
    """Return recorded arguments of a method under their current names."""
    return {CURRENT_NAMES.get(name, name): value for name, value in options.items()}


def current_words(arguments: list[str]) -> list[str]:
    """Return the recorded words of a command line with the current names of its options."""
    return [CURRENT_NAMES.get(word, word) for word in arguments]


def recorded(name: str) -> Any:
    """Return the results that were recorded under a name."""
    return json.loads((DATA / "expected" / f"{name}.json").read_text("utf-8"))


def read_text(name: str) -> str:
    """Return a text as it is, line ends included; what is no file of the data is a text itself."""
    path = DATA / name
    return path.read_bytes().decode("utf-8") if path.suffix == ".txt" and path.exists() else name


def input_bytes(source: dict[str, Any]) -> bytes:
    """Return the bytes that were compressed: a file, a text or noise, as often as said."""
    data: bytes
    if "file" in source:
        data = (DATA / source["file"]).read_bytes()
    elif "text" in source:
        data = source["text"].encode()
    else:
        data = random.Random(source["seed"]).randbytes(source["random"])
    return data * int(source.get("times", 1))


@cache
def load(run: str, engine: str | None = None) -> elman.Model:
    """Return the model of a run; it is loaded once."""
    return elman.load(RUNS / run, engine=engine)


def copy_run(run: str, folder: Path) -> Path:
    """Copy a run directory, to write in it."""
    return Path(shutil.copytree(RUNS / run, folder / run, copy_function=shutil.copyfile))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file, read without Elman."""
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the description in a checkpoint, read without Elman."""
    with safe_open(path, "numpy") as file:
        metadata: dict[str, Any] = json.loads(file.metadata()["elman"])
    return metadata


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def assert_same_arrays(actual: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    """The arrays have the same names, types, shapes and bits."""
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert np.ascontiguousarray(actual[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name


def assert_agrees(actual: Any, expected: Any, relative: float, absolute: float = 0.0, where: str = "") -> None:
    """JSON values are equal, numbers with a fraction up to an error; objects may have gained keys."""
    if isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=relative, abs=absolute), where
    elif isinstance(expected, dict):
        assert expected.keys() <= actual.keys(), where
        for name, value in expected.items():
            assert_agrees(actual[name], value, relative, absolute, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), where
        for n, value in enumerate(expected):
            assert_agrees(actual[n], value, relative, absolute, f"{where}[{n}]")
    else:
        assert (actual, type(actual)) == (expected, type(expected)), where
