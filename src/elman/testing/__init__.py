"""Comparisons with the reference, `elman.network`: of an engine, and of the functions of the assignment."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
