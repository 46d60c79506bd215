"""The interface of pyctcdecode: ``from elman.pyctcdecode import build_ctcdecoder``."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
