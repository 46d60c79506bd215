"""Untrusted files of arrays that `numpy.savez` wrote."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ElmanError

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype><f4|<f8|<i4|<i8|\|u1)', 'fortran_order': (?P<fortran>False|True), "
    rb"'shape': \((?P<shape>(?:\d{1,18}(?:, \d{1,18})*,?)?)\), \} *\n",
    re.DOTALL,
)
"""Magic string, version, length, and the dtype, order and shape as text."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in an untrusted file. Unlike `numpy.load`, this allocates nothing based on a header alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise ElmanError("its arrays are compressed or encrypted: write it with numpy.savez")
            if len({entry.filename for entry in entries}) < len(entries):
                raise ElmanError("it contains a duplicate array")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ElmanError("its arrays are declared larger than the file")
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, struct.error) as error:
        raise ElmanError("it is not a complete file written by numpy.savez") from error
    return {name.removesuffix(".npy"): _parse_array(data) for name, data in contents.items()}


def _parse_array(data: bytes) -> NDArray[Any]:
    """Return the array in an entry of NumPy format 1.0; its header is matched, where NumPy would evaluate it."""
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[:start])
    if header is None:
        raise ElmanError("an entry is not a float32 or float64 array as written by numpy.savez")
    shape = tuple(int(n) for n in header["shape"].split(b",") if n.strip())
    order: Literal["F", "C"] = "F" if header["fortran"] == b"True" else "C"
    return np.frombuffer(data[start:], header["dtype"].decode()).reshape(shape, order=order)
