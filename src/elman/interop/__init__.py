"""A network in the formats of others: ONNX, a state dict of PyTorch, NumPy's npz; and the way back."""

from elman.interop.formats import SUFFIXES as SUFFIXES
from elman.interop.formats import export as export
from elman.interop.formats import import_ as import_
