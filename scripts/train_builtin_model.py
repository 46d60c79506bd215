"""Train the built-in model on the texts of ``scripts/builtin_texts.py``, and write its file.

    python scripts/builtin_texts.py CACHE TEXTS
    NUMBA_NUM_THREADS=1 python scripts/train_builtin_model.py TEXTS RUN

RUN is the run directory; an interrupted run is resumed. The file is written into the package, and the row of
`elman.model.loading.MODELS` that describes it is printed. No bit of the result depends on the number of threads.
Training takes about half an hour on one core. The file in the package has the weights of a run of 9,000 updates whose
prior contained every string of the counted text. Its alpha were fitted to the table afterwards, on the same text,
without the counts of each fold.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import lzma
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import elman
from builtin_texts import COUNTED
from elman.model import Model
from elman.model.loading import BUILTIN_FILES, MODELS, fingerprint, load_builtin
from elman.network.parameters import Array, Parameters
from elman.ngram.counting import count_ngrams
from elman.ngram.merging import translate
from elman.ngram.model import PREFIX, Indices, NgramModel
from elman.ngram.table import NgramSpec
from elman.text import Alphabet

MAX_UPDATES = 9000
SETTINGS: dict[str, Any] = {
    "hidden_size": 224,
    "batch_size": 32,
    "seq_length": 64,
    "learning_rate": 0.006,
    "final_lr_fraction": 0.02,
    "warmup": 200,
    "ema_decay": 0.999,
    "ngram_order": 7,
    "ngram_min_count": 3,
    "ngram_start": 0.2,
    "metrics_every": 20,
    "sample_every": 2000,
    "seed": 1,
}
"""Settings that differ from the preset ``quick``."""

TAB_BIAS = 6.0
"""Difference by which the logit of a tab is lower than the logit of a space."""
MANTISSA_BITS = 8
"""Bits of the mantissa that the weights keep, of 23: the file is smaller by two thirds."""
_LZMA2: dict[str, int] = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
_WEIGHTS, _TABLE = _LZMA2 | {"lc": 2, "lp": 2, "pb": 2}, _LZMA2 | {"lc": 4, "lp": 0, "pb": 0}
"""Filters of xz for numbers of four bytes, and for packed numbers."""


def train(texts: Path, run: Path, max_updates: int) -> Model:
    """Return the trained model; its n-gram prior counts only the end of the text, which the file has to contain."""
    options: dict[str, Any] = {"out": run, "progress": True, "max_updates": max_updates, "keep_crlf": True}
    options |= {"resume": True} if (run / "run.json").exists() else {"preset": "quick"} | SETTINGS
    with mock.patch("elman.ngram.counting.count_ngrams", count_end):  # no setting: other models have room for more
        return elman.train(texts / "train.txt", **options).model


def count_end(text: Indices, *args: Any, **options: Any) -> NgramModel | None:
    """Return the counts of the end of a text, whose folds are parts of it; earlier text belongs to the first fold."""
    start = max(0, len(text) - COUNTED)
    ngrams = count_ngrams(text[start:], *args, **options)
    if ngrams is None or not ngrams.folds:
        return ngrams
    return replace(ngrams, fold_starts=np.append(0, ngrams.fold_starts[1:] + start))


def add_tab(model: Model) -> Model:
    """Return the model with a tab in its alphabet: the texts have none, so the tab is a less likely space."""
    space, parameters = model.alphabet.characters.index(" "), dict(model.parameters)
    parameters["U"] = np.append(parameters["U"], parameters["U"][:, [space]], axis=1)
    parameters["V"] = np.append(parameters["V"], parameters["V"][[space]], axis=0)
    parameters["c"] = np.append(parameters["c"], parameters["c"][[space]] - TAB_BIAS, axis=0)
    alphabet, ngrams = Alphabet(model.alphabet.characters + "\t"), model.parameters.ngrams
    ngrams = ngrams and translate(ngrams, np.arange(ngrams.K), NgramSpec(len(alphabet), ngrams.context_length))
    net = model.parameters.architecture._replace(K=len(alphabet))
    return replace(model, alphabet=alphabet, parameters=Parameters(net, parameters, ngrams))


def round_weights(weights: Array) -> Array:
    """Return weights in float32, rounded to `MANTISSA_BITS`."""
    dropped = 23 - MANTISSA_BITS
    bits = weights.astype(np.float32).view(np.uint32) + np.uint32(1 << (dropped - 1))
    return (bits >> dropped << dropped).view(np.float32)


def serialize(model: Model) -> bytes:
    """Return a model with rounded weights as the contents of its file."""
    data = replace(model, parameters=model.parameters.map(round_weights)).snapshot().serialize()
    return b"".join(lzma.compress(part, filters=[options]) for part, options in split(data))


def split(data: bytes) -> Iterator[tuple[bytes, dict[str, int]]]:
    """Yield the parts of a safetensors file, each with its filter: the header, and tensors of one kind in a row."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    yield data[:start], _TABLE
    places = sorted((about["data_offsets"], name) for name, about in header.items() if name != "__metadata__")
    for is_table, group in itertools.groupby(places, lambda place: place[1].startswith(PREFIX)):
        offsets = [place[0] for place in group]
        yield data[start + offsets[0][0] : start + offsets[-1][1]], _TABLE if is_table else _WEIGHTS


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--max-updates", type=int, default=MAX_UPDATES)
    options = parser.parse_args()
    file = serialize(add_tab(train(options.texts, options.run, options.max_updates)))
    path = Path(str(BUILTIN_FILES)) / MODELS[-1].file
    path.write_bytes(file)
    row = MODELS[-1]._replace(sha256=hashlib.sha256(file).hexdigest())
    print(f"{len(file):,} bytes: {row._replace(fingerprint=fingerprint(load_builtin(row)).hex())}")


if __name__ == "__main__":
    main()
