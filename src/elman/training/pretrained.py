"""Weights that a run starts with in place of random ones: a trained model's, or arrays of the caller.

With a model, the cell, the hidden size and the layers are the model's; every other setting and the optimizer's state
are new. The alphabet is the model's, extended by the characters of the text that it lacks, which keep initial weights.
The n-gram prior starts with the model's alpha and has the counts of both texts. If one text is part of the other, it
has only the new counts: cross-fitting could not leave out strings that are counted twice.

Arrays belong to no model: their characters are in the order of the text's alphabet, the order of first occurrence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.config import Config, normalize
from elman.errors import ElmanError, is_path, option, quote
from elman.model import Model
from elman.model.loading import fingerprint, load, locate_model
from elman.network.parameters import Arrays, Parameters
from elman.ngram.model import NgramModel
from elman.runs.directory import ModelOrigin
from elman.runs.snapshot import METADATA_KEY
from elman.runs.texts import TrainingData
from elman.storage import exists, make_absolute
from elman.storage.tensors import read_arrays
from elman.text import Alphabet
from elman.training.run import Run

ModelSource = str | os.PathLike[str] | Run | Model
"""A run directory, a file of weights or a name on the Hugging Face Hub, see `elman.load`; a run, or a model."""


@dataclass(frozen=True, eq=False)
class PretrainedModel:
    """The model that a run starts from, and where it is from."""

    model: Model
    origin: ModelOrigin

    @property
    def alphabet(self) -> Alphabet:
        """Its characters, which the run has too."""
        return self.model.alphabet

    @classmethod
    def open(cls, source: ModelSource) -> PretrainedModel:
        """Load a model, and compute its hash."""
        if isinstance(source, Model):
            model, path = source, None
        elif isinstance(source, Run):
            model = source.model
            path = None if source.directory is None else str(source.directory.path.absolute())
        elif is_path(source):
            model, path = load(source), locate_model(source)
        else:
            raise ElmanError(f"{option.init_from} must be a path, a Run or a Model (got {type(source).__name__})")
        return cls(model, ModelOrigin(path, fingerprint(model).hex()))

    def adopt_settings(self, options: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with the model's cell, hidden size, layers and, unless passed, its lines and masks."""
        network = self.model.parameters.architecture
        shape = {"cell": network.cell, "hidden_size": network.m, "layers": network.layers}
        changed = [name for name, value in shape.items() if normalize(name, options.get(name, value)) != value]
        if changed:
            names = " and ".join(option[name] for name in changed)
            values = "; ".join(f"model: {shape[name]}, given: {options[name]}" for name in changed)
            remedy = f"remove {'it' if len(changed) == 1 else 'them'}"
            raise ElmanError(f"cannot change {names} with {option.init_from} ({values}); {remedy}")
        asked, counts = options.get("hidden_size", preset.get("hidden_size", Config.hidden_size)), option.preset
        if asked and not network.m:
            raise ElmanError(f"{option.init_from} is a model of counts: add {counts:counts}")
        if network.m and asked == 0:
            raise ElmanError(f"{option.init_from} is a model with a network, which {counts:counts} does not train")
        settings: dict[str, Any] = {"lines": self.model.is_of_lines}
        settings |= {"min_count": 1} if self.alphabet.has_unknown else {}  # keeps the unknown symbol
        if (masker := self.model.masker) is not None and options.get("lines", True):
            settings |= {"mask": masker.names, "mask_regex": masker.regex}
        return {**settings, **options, **shape}

    def translate_ngrams(self, data: TrainingData) -> NgramModel | None:
        """Return the model's n-gram prior for a text with another alphabet; None without one, or for order 0."""
        from elman.ngram.merging import translate

        ngrams, alphabet = self.model.parameters.ngrams, data.corpus.alphabet
        spec = data.config.architecture(alphabet).ngram_spec
        if ngrams is None or spec.context_length == 0:
            return None
        before, after = match_characters(self.model.alphabet, alphabet)
        index = np.full(len(self.model.alphabet), spec.K - 1 if alphabet.has_unknown else spec.K)
        index[before] = after
        return translate(ngrams, index, spec)

    def initialize(self, run: Run) -> ModelOrigin:
        """Overwrite the parameters of a run before its first update, character by character."""
        parameters, weights = run.state.parameters, self.model.parameters
        before, after = match_characters(self.model.alphabet, run.corpus.alphabet)
        with np.errstate(over="ignore"):  # float64 weights that are too large for float32
            for name, array in parameters.items():
                if name == "U":
                    array[:, after] = weights[name][:, before]
                elif name in ("V", "c"):
                    array[after] = weights[name][before]
                elif name != "alpha":
                    array[...] = weights[name]
                elif weights.prior.model:
                    array[...] = weights[name][np.minimum(np.arange(len(array)), len(weights[name]) - 1)]
        if not all(np.isfinite(array).all() for array in parameters.values()):
            remedy = f"pass another model or {option.dtype:float64}"
            raise ElmanError(f"the weights of the model are not finite in {parameters['V'].dtype}: {remedy}")
        run.state.M, run.state.N, run.state.average = run.optimizer.init(parameters)
        return self.origin


def match_characters(before: Alphabet, after: Alphabet) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the characters that two alphabets share, in each of them; unknown symbols are the same."""
    index = {symbol: n for n, symbol in enumerate(_symbols(before))}
    pairs = [(index[symbol], n) for n, symbol in enumerate(_symbols(after)) if symbol in index]
    shared = np.array(pairs, np.intp).reshape(-1, 2)
    return shared[:, 0], shared[:, 1]


def _symbols(alphabet: Alphabet) -> list[str | None]:
    """Return the characters, with None for the unknown symbol."""
    return [*alphabet.characters[:-1], None] if alphabet.has_unknown else [*alphabet.characters]


InitialWeights = str | os.PathLike[str] | Mapping[str, ArrayLike] | Parameters
"""An .npz file, or arrays by the names in `elman.network.parameters`."""


@dataclass(frozen=True, eq=False)
class GivenArrays:
    """The arrays that a run starts from, and the file they are from."""

    arrays: Arrays
    path: str | None
    alphabet: None = None  # they belong to no characters

    @classmethod
    def open(cls, source: InitialWeights) -> GivenArrays:
        """Read the arrays, from a file that `numpy.savez` wrote or from the caller."""
        if isinstance(source, Mapping):
            return cls({str(name): _check_array(name, array) for name, array in source.items()}, None)
        if not is_path(source):
            raise ElmanError(f"initial must be an .npz file or arrays by name (got {type(source).__name__})")
        if not exists(Path(source)):
            raise ElmanError(f"there is no file {quote(source)}: initial is an .npz file or a dict of arrays")
        try:
            arrays = read_arrays(Path(source))
        except ElmanError as error:
            raise ElmanError(f"initial {quote(source)}: {error}") from None
        if METADATA_KEY in arrays:
            raise ElmanError(f"initial {quote(source)} is an exported model: pass init_from=elman.import_(path)")
        return cls(Arrays(arrays), make_absolute(source))

    def adopt_settings(self, options: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with the hidden size of the weights, unless it is passed."""
        V = self.arrays.get("V")
        return {"hidden_size": V.shape[1], **options} if V is not None and V.ndim == 2 else dict(options)

    def translate_ngrams(self, data: TrainingData) -> None:
        """Return no counts: arrays have none."""

    def initialize(self, run: Run) -> ModelOrigin:
        """Overwrite the parameters of a run before its first update."""
        parameters, arrays = run.state.parameters, self.arrays
        names = [name for name in parameters if name != "alpha" or name in arrays]
        if arrays.keys() != set(names):
            raise ElmanError(f"initial must have the arrays {', '.join(names)} (got {', '.join(arrays) or 'none'})")
        for name in names:
            array, target = arrays[name], parameters[name]
            if array.shape not in (target.shape, (*target.shape, 1)):  # a bias may be a column
                needed = f"the network and the {parameters.architecture.K} characters of the text need {target.shape}"
                raise ElmanError(f"initial[{name!r}] has shape {array.shape}, but {needed}")
            with np.errstate(over="ignore"):  # float64 weights that are too large for float32
                target[...] = array.reshape(target.shape)
            if not np.isfinite(target).all():
                raise ElmanError(f"initial[{name!r}] contains values that are not finite in {target.dtype}")
        run.state.M, run.state.N, run.state.average = run.optimizer.init(parameters)
        return ModelOrigin(self.path, fingerprint(run.model).hex())


def _check_array(name: Any, value: ArrayLike) -> Any:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, or a tensor without NumPy's type
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf":
        raise ElmanError(f"initial[{name!r}] must be an array of real numbers (got {array.dtype})")
    return array
