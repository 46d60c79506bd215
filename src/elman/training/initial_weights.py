"""A run whose initial weights the caller sets, such as those of a program that its losses are compared with.

Unlike fine-tuning (`elman.training.fine_tuning`), the arrays belong to no model: their characters are in the order of
the text's alphabet, that of first occurrence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.model.loading import fingerprint
from elman.network.optimizer import Optimizer
from elman.network.parameters import Arrays, Parameters
from elman.runs.manifest import ModelOrigin
from elman.runs.snapshot import METADATA_KEY
from elman.runs.texts import TrainingData
from elman.storage import exists, make_absolute
from elman.storage.tensors import read_arrays
from elman.training.run import Run

InitialWeights = str | os.PathLike[str] | Mapping[str, ArrayLike] | Parameters
"""An .npz file, or arrays by the names in `elman.network.parameters`."""


def read_initial_weights(source: InitialWeights) -> Arrays:
    """Return the arrays by name, from a file that `numpy.savez` wrote or from the caller."""
    if isinstance(source, str | os.PathLike):
        if not exists(Path(source)):
            raise ElmanError(f"there is no file {quote(source)}: initial is an .npz file or a dict of arrays")
        try:
            arrays = read_arrays(Path(source))
        except ElmanError as error:
            raise ElmanError(f"initial {quote(source)}: {error}") from None
        if METADATA_KEY in arrays:
            raise ElmanError(f"initial {quote(source)} is an exported model: pass init_from=elman.import_(path)")
        return Arrays(arrays)
    if not isinstance(source, Mapping):
        raise ElmanError(f"initial must be an .npz file or arrays by name (got {type(source).__name__})")
    return {str(name): _read_array(name, array) for name, array in source.items()}


def _read_array(name: Any, value: ArrayLike) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf":
        raise ElmanError(f"initial[{name!r}] must be an array of real numbers (got {array.dtype})")
    return array


@dataclass(frozen=True, eq=False)
class GivenArrays:
    """The arrays that a run starts from, and the file they are from."""

    arrays: Arrays
    path: str | None

    @classmethod
    def open(cls, source: InitialWeights) -> GivenArrays:
        """Read the arrays."""
        path = make_absolute(source) if isinstance(source, str | os.PathLike) else None
        return cls(read_initial_weights(source), path)

    def adopt_settings(self, options: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with the hidden size of the weights, unless it is passed."""
        V = self.arrays.get("V")
        return {"hidden_size": V.shape[1], **options} if V is not None and V.ndim == 2 else dict(options)

    def translate_ngrams(self, data: TrainingData) -> None:
        """Return no counts: arrays have none."""

    def initialize(self, run: Run) -> ModelOrigin:
        """Overwrite the parameters of a run before its first update, and what the optimizer derives from them."""
        set_initial_weights(run.state, self.arrays, run.optimizer)
        return ModelOrigin(self.path, fingerprint(run.model).hex())


def set_initial_weights(state: TrainState, arrays: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Overwrite the parameters of a state before its first update, and what the optimizer derives from them.

    A bias may be a column, (m, 1), as the reference experiment has it. The weights of an n-gram prior may be left out.
    """
    parameters = state.parameters
    names = [name for name in parameters if name != "alpha" or name in arrays]
    if arrays.keys() != set(names):
        raise ElmanError(f"initial must have the arrays {', '.join(names)} (got {', '.join(arrays) or 'none'})")
    for name in names:
        array, target = arrays[name], parameters[name]
        if array.shape not in (target.shape, (*target.shape, 1)):
            needed = f"the network and the {parameters.architecture.K} characters of the text need {target.shape}"
            raise ElmanError(f"initial[{name!r}] has shape {array.shape}, but {needed}")
        with np.errstate(over="ignore"):  # float64 weights that are too large for float32
            target[...] = array.reshape(target.shape)
        if not np.isfinite(target).all():
            raise ElmanError(f"initial[{name!r}] contains values that are not finite in {target.dtype}")
    state.M, state.N, state.average = optimizer.init(parameters)
