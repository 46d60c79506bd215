"""Export and import of models: ONNX, PyTorch state dict, NumPy npz."""

from elman.interop.formats import SUFFIXES as SUFFIXES
from elman.interop.formats import export as export
from elman.interop.formats import import_ as import_
