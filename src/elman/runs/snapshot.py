"""A network for use without its training state, and its file; a `Model` is made of it.

The file has tensors and a JSON description in safetensors, no code. The tensors are the parameters by name; ``h``, the
initial recurrent state, which is zero unless the network was imported; and, with an n-gram prior, the arrays of
`elman.ngram.model`. A model of independent lines also has ``line_hashes``, the hashes of the training lines, see
`elman.text.lines`, and ``line_scores``, the quantiles of the scores of held-out lines. The description contains the
configuration, the alphabet and, under ``ngrams``, the size of the table and the minimum count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.errors import ElmanError, VersionError, quote
from elman.network.parameters import Array, Parameters
from elman.ngram.model import describe_ngrams, ngram_tensors
from elman.storage.files import replace_file
from elman.storage.tensors import read_description, serialize_tensors
from elman.text import Alphabet
from elman.text.lines import LineHashes

if TYPE_CHECKING:
    from elman.text.masks import Masker

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
"""The files of weights in a run directory: the training state, and the network that is used."""
METADATA_KEY = "elman"
"""The key of the metadata in an exported file."""
FORMAT = 1
BEFORE_0_3 = 2
"""The format of the versions before 0.3.0; the next format gets the number 3."""
LINE_HASHES, LINE_SCORES = "line_hashes", "line_scores"
LINE_SCORES_SHAPE = 5, 1001
"""The aggregations of `elman.model.score_lines`, and quantiles from 0 to 1 in steps of a thousandth."""


@dataclass(frozen=True, eq=False)
class LineData:
    """Data about the text of a model of independent lines; empty for other models and for imported ones."""

    hashes: LineHashes | None = None
    """The hashes of the training lines, uint64."""
    score_quantiles: Array | None = None
    """The quantiles of the scores of held-out lines, float64, see `elman.model.score_lines`."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file."""
        arrays = {LINE_HASHES: self.hashes, LINE_SCORES: self.score_quantiles}
        return {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def pop(cls, tensors: dict[str, NDArray[Any]], config: Config) -> LineData:
        """Remove the data from the arrays of a file, which may be invalid, and return it."""
        hashes, scores = tensors.pop(LINE_HASHES, None), tensors.pop(LINE_SCORES, None)
        if hashes is not None and not (config.lines and hashes.ndim == 1 and hashes.dtype == np.uint64):
            raise ValueError(f"{LINE_HASHES} is not the array of a text of independent lines")
        if scores is not None and not (
            config.lines and scores.shape == LINE_SCORES_SHAPE and np.isfinite(scores).all()
        ):
            raise ValueError(f"{LINE_SCORES} is not the array of a text of independent lines")
        return cls(hashes, scores)


NO_LINE_DATA = LineData()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A network as it is used, without the training state.

    It contains no text: a model begins with an empty history.
    """

    config: Config
    alphabet: Alphabet
    parameters: Parameters
    h: Array
    """The initial recurrent state, (S,)."""
    update: int = 0
    """The update after which it was taken; 0 if there was no run."""
    validation_loss: float | None = None
    """The validation loss in nats per character; None if it was not evaluated."""
    lines: LineData = NO_LINE_DATA

    def describe(self) -> dict[str, Any]:
        """Return the entries of this network in a checkpoint's description."""
        return {"update": self.update, "validation_loss": self.validation_loss}

    def copy(self) -> Snapshot:
        """Return the network with copied arrays: the arrays of a run change when training continues."""
        return replace(self, parameters=self.parameters.map(np.copy), h=self.h.copy())

    def serialize(self) -> bytes:
        """Return the bytes of the file."""
        description = describe_model(self.config, self.alphabet, self.parameters) | {"network": self.describe()}
        tensors = {**self.parameters, "h": self.h, **ngram_tensors(self.parameters.ngrams), **self.lines.tensors()}
        return b"".join(serialize_tensors(json.dumps(description), tensors))


def check_format(path: Path, description: dict[str, Any]) -> None:
    """Raise VersionError if a file, by its description, was written by a version of Elman with another format."""
    found = description.get("format", FORMAT)
    if found == BEFORE_0_3:
        remedy = "use that version, or train again"
        raise VersionError(f"{quote(path)} was written by a version of Elman before 0.3.0 (format {found}): {remedy}")
    if type(found) is int and found != FORMAT:
        raise VersionError(f"{quote(path)} was written by a newer version of Elman (format {found}): update Elman")


def infer_config(alphabet: Alphabet, parameters: Parameters, masker: Masker | None) -> Config:
    """Return the settings that follow from a network without a run."""
    net, ngrams = parameters.architecture, parameters.ngrams
    prior = {"ngram_order": ngrams.order, "ngram_folds": 0, "ngram_min_count": ngrams.min_count} if ngrams else {}
    return Config(
        cell=net.cell,
        hidden_size=net.m,
        layers=net.layers,
        dtype=str(parameters["V"].dtype),  # type: ignore[arg-type]
        min_count=int(alphabet.has_unknown),
        lines=net.is_of_lines,
        mask=masker.names if masker else "",
        mask_regex=masker.regex if masker else "",
        **prior,  # type: ignore[arg-type]
    )


def save_network(path: Path, snapshot: Snapshot) -> None:
    """Write a network without a run to a file, atomically."""
    check_holds_no_run(path)
    replace_file(path, snapshot.serialize())


def check_holds_no_run(path: Path) -> None:
    """Check that the file that a model will replace is not the checkpoint of a run."""
    if "sample_generator" in read_description(path):  # the entry of the training state
        raise ElmanError(f"{quote(path)} is the checkpoint of a run, which a model must not replace: use another file")


def describe_model(config: Config, alphabet: Alphabet, parameters: Parameters) -> dict[str, Any]:
    """Return the entries of the description that every file has."""
    prior = {"ngrams": describe_ngrams(parameters.ngrams)} if parameters.ngrams else {}
    return {"format": FORMAT, "config": config.without_paths(), "alphabet": alphabet.characters} | prior
