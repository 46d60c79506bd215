"""NumPy's npz: the parameters under their own names, the state ``h``, and the description as UTF-8 bytes ``elman``."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine
from elman.errors import ElmanError
from elman.inference import Model
from elman.interop.metadata import (
    ABOUT,
    describe,
    model_of,
    read_description,
)
from elman.interop.validation import architecture_of, check_arrays
from elman.network.parameters import architecture, shapes
from elman.text import Alphabet

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype><f4|<f8|\|u1)', 'fortran_order': (?P<by_columns>False|True), "
    rb"'shape': \((?P<shape>(?:\d{1,18}(?:, \d{1,18})*,?)?)\), \} *\n",
    re.DOTALL,
)
"""Magic, version, length, and in words the dtype, the order and the shape."""


def write(model: Model) -> bytes:
    """Return the file's bytes; the description's state is left out, as ``h`` is an array."""
    about = {name: value for name, value in describe(model).items() if name != "state"}
    net = architecture(model.parameters)
    arrays: dict[str, Any] = {name: model.parameters[name] for name in shapes(net.K, net.m, net.cell, net.layers)}
    arrays |= {"h": model.h, ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read(path: Path, alphabet: Alphabet | None, engine: Engine) -> Model:
    """Return the network of a file, which may be a stranger's.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError
        If it holds none.
    """
    arrays = _arrays(path)
    about = read_description(bytes(arrays.pop(ABOUT, np.empty(0, np.uint8))).decode())
    if missing := {"W", "V"} - arrays.keys():
        raise ElmanError(f"the array {min(missing)} is missing")
    net = architecture_of(arrays["W"].shape, arrays["V"].shape, sum(name.startswith("W") for name in arrays))
    wanted = shapes(net.K, net.m, net.cell, net.layers)
    check_arrays(arrays, wanted | {"h": (net.state_size,)})
    return replace(model_of(about, net, arrays, alphabet, engine), h=arrays["h"].copy())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file. Unlike `numpy.load`, this allocates nothing on the word of a header."""
    try:
        entries = _entries(path)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, struct.error) as error:
        raise ElmanError("it is no whole file of numpy.savez") from error
    return {name.removesuffix(".npy"): _array(data) for name, data in entries.items()}


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise ElmanError("its arrays are compressed or encrypted: write it by numpy.savez")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ElmanError("an array stands in it twice")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ElmanError("its arrays claim to be larger than the file")
        return {entry.filename: archive.read(entry) for entry in entries}


def _array(data: bytes) -> NDArray[Any]:
    """Return the array of an entry in NumPy's format 1.0, whose header `numpy.lib.format` would evaluate."""
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[:start])
    if header is None:
        raise ElmanError("an entry is no array of float32 or float64 as numpy.savez writes it")
    shape = tuple(int(n) for n in header["shape"].split(b",") if n.strip())
    order: Literal["F", "C"] = "F" if header["by_columns"] == b"True" else "C"
    return np.frombuffer(data[start:], header["dtype"].decode()).reshape(shape, order=order)
