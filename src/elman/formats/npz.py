"""NumPy npz: the parameters under their own names, the state ``h``, and the metadata as UTF-8 bytes ``elman``.

The table of an n-gram prior is ``ngrams.strings`` …, see `elman.ngram.model`.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from elman.formats.contents import (
    METADATA_KEY,
    check_arrays,
    export_metadata,
    parse_metadata,
    read_architecture,
    restore_snapshot,
)
from elman.formats.format import Format, ModelInfo
from elman.model import Model
from elman.ngram.model import ngram_tensors, pop_ngram_tensors
from elman.runs.snapshot import Snapshot
from elman.storage.tensors import read_arrays
from elman.text import Alphabet


def write(model: Model, _: ModelInfo) -> bytes:
    """Return the bytes of a file; the state is the array ``h`` instead of metadata."""
    metadata = {name: value for name, value in export_metadata(model).items() if name != "state"}
    arrays: dict[str, Any] = {**model.parameters, **ngram_tensors(model.parameters.ngrams), "h": model.state.recurrent}
    arrays[METADATA_KEY] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read(path: Path, alphabet: Alphabet | None) -> Snapshot:
    """Return the network in an untrusted file."""
    arrays = read_arrays(path)
    metadata = parse_metadata(bytes(arrays.pop(METADATA_KEY, np.empty(0, np.uint8))).decode())
    net = read_architecture(metadata, arrays)
    ngrams = pop_ngram_tensors(arrays) if net.context_length else {}
    check_arrays(arrays, net.shapes() | {"h": (net.state_size,)})
    return restore_snapshot(metadata, net, arrays, ngrams, alphabet)


FORMAT = Format(".npz", "NumPy arrays", write, read)
