"""Decoding the output of a recognizer (CTC) and rescoring hypotheses, with a model of the text."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
