"""A network in the formats of others: ONNX, a state dict of PyTorch, NumPy's npz; and the way back."""

from elman.experiment.exchange.formats import SUFFIXES as SUFFIXES
from elman.experiment.exchange.formats import export as export
from elman.experiment.exchange.formats import import_ as import_
