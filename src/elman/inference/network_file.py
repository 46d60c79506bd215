"""The file of a single network, and what it shares with the checkpoints of `elman.runs.checkpoint`.

Tensors and a JSON description in safetensors, no code. The tensors are the parameters by name and ``h``; with an n-gram
prior, ``ngram.text`` is the text that is counted, as indices. Of a model of independent lines, ``line_hashes`` are the
hashes of the training lines, see `elman.text.lines`. The description contains the configuration and the alphabet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.network.parameters import Array, Parameters, architecture
from elman.storage.tensors import read_description, save_tensors
from elman.text import Alphabet
from elman.text.lines import LineHashes

FORMAT = 1
NGRAM_TEXT, LINE_HASHES = "ngram.text", "line_hashes"
SUFFIX = ".safetensors"


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
class ModelFile:
    """The contents of a network's file, or the part of a checkpoint that is needed to use its network."""

    config: Config
    alphabet: Alphabet
    network: NetworkSnapshot
    line_hashes: LineHashes | None = None

    @classmethod
    def of_model(
        cls, alphabet: Alphabet, parameters: Parameters, h: Array, line_hashes: LineHashes | None
    ) -> ModelFile:
        """Return a network without a run, with the settings that follow from it."""
        net, ngrams = architecture(parameters), parameters.ngrams
        prior: dict[str, Any] = (
            {} if ngrams is None else {"ngram_order": ngrams.order, "ngram_discount": ngrams.discount, "ngram_folds": 0}
        )
        config = Config(
            cell=net.cell,
            hidden_size=net.m,
            layers=net.layers,
            dtype=str(h.dtype),  # type: ignore[arg-type]
            engine="numba" if net.spec.compiled else "numpy",
            min_count=int(alphabet.has_unknown),
            lines=parameters.reset_at is not None,
            **prior,
        )
        return cls(config, alphabet, NetworkSnapshot(parameters, h, update=0), line_hashes)


def save_imported(path: Path, imported: ModelFile) -> None:
    """Write a network that was not trained by a run, atomically.

    Raises
    ------
    ElmanError
        If the file is the checkpoint of a run, or cannot be written.
    """
    check_holds_no_run(path)
    description = describe_model(imported.config, imported.alphabet) | {"network": describe_network(imported.network)}
    save_tensors(path, description, network_tensors(imported.network) | line_tensors(imported.line_hashes))


def check_holds_no_run(path: Path) -> None:
    """Check that a file that a model would replace is not the checkpoint of a run.

    Raises
    ------
    ElmanError
        If it is.
    """
    if "sample_generator" in read_description(path):  # of the training state
        raise ElmanError(f"{quote(path)} is the checkpoint of a run, which a model must not replace: use another file")


def describe_model(config: Config, alphabet: Alphabet) -> dict[str, Any]:
    """Return the part of the description that every file has."""
    return {"format": FORMAT, "config": asdict(config), "alphabet": alphabet.characters}


def describe_network(network: NetworkSnapshot) -> dict[str, Any]:
    """Return the description of a network."""
    return {"update": network.update, "validation_loss": network.validation_loss}


def network_tensors(network: NetworkSnapshot) -> dict[str, NDArray[Any]]:
    """Return the tensors of a network."""
    return {**network.parameters, "h": network.h, **ngram_tensors(network.parameters)}


def ngram_tensors(parameters: Parameters) -> dict[str, NDArray[Any]]:
    """Return the counted text of the n-gram prior, if there is one."""
    return {} if parameters.ngrams is None else {NGRAM_TEXT: parameters.ngrams.text}


def line_tensors(line_hashes: LineHashes | None) -> dict[str, NDArray[Any]]:
    """Return the hashes of the training lines, if it is a model of independent lines."""
    return {} if line_hashes is None else {LINE_HASHES: line_hashes}
