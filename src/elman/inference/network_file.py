"""The file of a single network, and what it shares with the checkpoints of `elman.runs.checkpoint`.

Tensors and a JSON description in safetensors, no code. The tensors are the parameters by name and ``h``; with an n-gram
prior, ``ngrams.strings`` … are its table, see `elman.network.ngram_table`, as signed integers, and ``ngrams.histogram``
is that of its model. Of a model of independent lines, ``line_hashes`` are the hashes of the training lines, see
`elman.text.lines`, and ``line_scores`` the quantiles of the scores of held-out lines. The description contains the
configuration, the alphabet and, under ``ngrams``, the size of the table and the minimum count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.network.ngram import NgramModel
from elman.network.ngram_table import ARRAYS, NgramTable, check_table
from elman.network.parameters import Array, Parameters, architecture
from elman.storage.atomic import replace_file
from elman.storage.tensors import read_description, serialize_with_digest
from elman.storage.untrusted import require_int
from elman.text import Alphabet
from elman.text.lines import LineHashes

if TYPE_CHECKING:
    from elman.text.masks import Masker

FORMAT = 1
NGRAMS, LINE_HASHES, LINE_SCORES = "ngrams.", "line_hashes", "line_scores"
SUFFIX = ".safetensors"
LINE_SCORES_SHAPE = 4, 1001
"""The aggregations of `elman.inference.score_lines`, and quantiles from 0 to 1 in steps of a thousandth."""


@dataclass(frozen=True, eq=False)
class NetworkSnapshot:
    """A network as it is used, without the training state.

    Parameters
    ----------
    parameters : Parameters
    h : ndarray, shape (D,)
        The hidden state from which it continues.
    update : int
        The update after which it was taken.
    validation_loss : float or None
        In nats per character; None if it was not evaluated.
    """

    parameters: Parameters
    h: Array
    update: int
    validation_loss: float | None = None

    @classmethod
    def of(cls, state: TrainState, validation_loss: float | None = None) -> NetworkSnapshot:
        """Copy the current network of a training state."""
        return cls(state.eval_parameters.map(np.copy), state.final_hidden.copy(), state.update, validation_loss)


@dataclass(frozen=True, eq=False)
class LineData:
    """What a model of independent lines knows of its text; nothing where it is another one, or was imported.

    Parameters
    ----------
    hashes : ndarray of uint64, optional
        Of the training lines.
    score_quantiles : ndarray of float64, optional
        Of the scores of held-out lines, see `elman.inference.score_lines`.
    """

    hashes: LineHashes | None = None
    score_quantiles: Array | None = None

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file."""
        arrays = {LINE_HASHES: self.hashes, LINE_SCORES: self.score_quantiles}
        return {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def pop(cls, tensors: dict[str, NDArray[Any]], config: Config) -> LineData:
        """Remove them from the arrays of a file that may be invalid."""
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
class ModelFile:
    """The contents of a network's file, or the part of a checkpoint that is needed to use its network."""

    config: Config
    alphabet: Alphabet
    network: NetworkSnapshot
    lines: LineData = NO_LINE_DATA

    @classmethod
    def of_network(
        cls, alphabet: Alphabet, parameters: Parameters, h: Array, lines: LineData, masker: Masker | None
    ) -> ModelFile:
        """Return a network without a run, with the settings that follow from it."""
        net, ngrams = architecture(parameters), parameters.ngrams
        prior: dict[str, Any] = (
            {}
            if ngrams is None
            else {"ngram_order": ngrams.order, "ngram_min_count": ngrams.min_count, "ngram_folds": 0}
        )
        config = Config(
            cell=net.cell,
            hidden_size=net.m,
            layers=net.layers,
            dtype=str(h.dtype),  # type: ignore[arg-type]
            engine="numba" if net.spec.compiled else "numpy",
            min_count=int(alphabet.has_unknown),
            lines=parameters.reset_at is not None,
            mask=masker.names if masker else "",
            mask_regex=masker.regex if masker else "",
            **prior,
        )
        return cls(config, alphabet, NetworkSnapshot(parameters, h, update=0), lines)


def save_imported(path: Path, imported: ModelFile) -> None:
    """Write a network that was not trained by a run, atomically.

    Raises
    ------
    ElmanError
        If the file is the checkpoint of a run, or cannot be written.
    """
    check_holds_no_run(path)
    replace_file(path, serialize_model(imported))


def serialize_model(file: ModelFile) -> bytes:
    """Return the bytes of the file of a network without a run."""
    network, ngrams = file.network, file.network.parameters.ngrams
    description = describe_model(file.config, file.alphabet, ngrams) | {"network": describe_network(network)}
    return serialize_with_digest(json.dumps(description), network_tensors(network) | file.lines.tensors())


def check_holds_no_run(path: Path) -> None:
    """Check that a file that a model would replace is not the checkpoint of a run.

    Raises
    ------
    ElmanError
        If it is.
    """
    if "sample_generator" in read_description(path):  # of the training state
        raise ElmanError(f"{quote(path)} is the checkpoint of a run, which a model must not replace: use another file")


def describe_model(config: Config, alphabet: Alphabet, ngrams: NgramModel | None) -> dict[str, Any]:
    """Return the part of the description that every file has.

    Weights are passed on, so of the file of a validation set they contain the name, and ``run.json`` the path.
    """
    description = {"format": FORMAT, "config": config.without_paths(), "alphabet": alphabet.characters}
    return description if ngrams is None else description | {"ngrams": describe_ngrams(ngrams)}


def describe_network(network: NetworkSnapshot) -> dict[str, Any]:
    """Return the description of a network."""
    return {"update": network.update, "validation_loss": network.validation_loss}


def network_tensors(network: NetworkSnapshot) -> dict[str, NDArray[Any]]:
    """Return the tensors of a network."""
    return {**network.parameters, "h": network.h, **ngram_tensors(network.parameters.ngrams)}


# --- The n-gram prior, which exported files contain in the same form ---


def describe_ngrams(ngrams: NgramModel) -> dict[str, int]:
    """Return the description of an n-gram model."""
    return {"nodes": ngrams.table.nodes, "contexts": ngrams.table.contexts, "min_count": ngrams.min_count}


def ngram_tensors(ngrams: NgramModel | None, prefix: str = NGRAMS) -> dict[str, NDArray[Any]]:
    """Return the tensors of an n-gram model, if there is one: signed integers, which every format has."""
    if ngrams is None:
        return {}
    signed = {name: array.view(array.dtype.str.replace("u", "i")) for name, array in ngrams.table.arrays().items()}
    return {prefix + name: array for name, array in (signed | {"histogram": ngrams.histogram}).items()}


def pop_ngram_tensors(tensors: dict[str, Any], prefix: str = NGRAMS) -> dict[str, NDArray[Any]]:
    """Remove the tensors of an n-gram model from others, and return them."""
    return {name: tensors.pop(name) for name in sorted(tensors) if name.startswith(prefix)}


def restore_ngrams(
    description: Any,
    tensors: Mapping[str, NDArray[Any]],
    K: int,
    order: int,
    reset_at: int | None,
    prefix: str = NGRAMS,
) -> NgramModel:
    """Return the n-gram model in a file that may be invalid.

    Raises
    ------
    ElmanError, ValueError, LookupError, TypeError
        If it is.
    """
    nodes, contexts, min_count = (require_int(description[name], name, minimum=1) for name in DESCRIBED)
    arrays = {name.removeprefix(prefix): array for name, array in tensors.items()}
    kinds = {name: np.int32 if name == "ones" else np.int64 for name in (*ARRAYS, "histogram")}
    if {name: array.dtype for name, array in arrays.items()} != kinds:
        raise ValueError("the arrays of its n-gram counts are invalid")
    histogram = arrays["histogram"]
    if histogram.shape != (order + 1, 4) or histogram.min() < 0:
        raise ValueError("the histogram of its n-gram counts is invalid")
    table = NgramTable(
        K, order, nodes, contexts, **{name: arrays[name].view(f"u{kinds[name]().itemsize}") for name in ARRAYS}
    )
    check_table(table)
    return NgramModel(table, histogram, min_count, reset_at)


DESCRIBED = ("nodes", "contexts", "min_count")
"""The numbers in the description of an n-gram model."""
