"""The report of the reference experiment, carried out on any text."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
