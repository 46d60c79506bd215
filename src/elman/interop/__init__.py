"""Export and import of models: ONNX, PyTorch state dict, NumPy npz."""

from elman.interop.formats import FORMATS as FORMATS
from elman.interop.formats import export as export
from elman.interop.formats import import_ as import_
