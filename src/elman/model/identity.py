"""Which model it is: its fingerprint, by which compressed files and fine-tuned runs identify it."""

from __future__ import annotations

import hashlib

import numpy as np

from elman.errors import ElmanError
from elman.model.model import Model
from elman.ngram.file import ngram_tensors


def fingerprint(model: Model) -> bytes:
    """Return the SHA-256 of everything that predictions depend on.

    That is the alphabet, the weights as float32 and the table of the n-gram prior.
    """
    alphabet = model.alphabet
    digest = hashlib.sha256(f"{alphabet.has_unknown}\0{alphabet.characters}\0".encode("utf-8", "surrogatepass"))
    with np.errstate(over="ignore"):
        weights = {name: array.astype("<f4", copy=False) for name, array in sorted(model.parameters.items())}
    for name, array in (weights | ngram_tensors(model.parameters.ngrams)).items():
        digest.update(f"{name} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.digest()


def check_is_model(value: object) -> None:
    """Check an argument that must be a model, in functions that users also call with a run or a path."""
    if not isinstance(value, Model):
        remedy = "pass elman.load(path) or the model of a run"
        raise ElmanError(f"model must be an elman.Model (got {type(value).__name__}): {remedy}")
