"""The mathematics in NumPy, written to be read: parameters, cells, output layer, dropout, optimizer, sampling."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
